"""Examples for the document. One story: Ada pays her rent."""

from __future__ import annotations

import json
from typing import Any

from services.gateway.http.operator_examples import OPERATORS
from services.gateway.http.story import ACCOUNT, ADA, CHECKING, LOGGED, MADE, ORDER, REQUEST, SENT, SETTLED, TRANSFER

_GRACE = "9a6e1d70-2f4b-4c8e-b1d3-7c5a90e2f8b6"
_USER = {
    "id": ADA,
    "email": "ada@example.com",
    "full_name": "Ada",
    "role": "customer",
    "is_active": True,
    "created_at": MADE,
}

_OPERATOR_ORDER = {"account_id": CHECKING, "amount": "100.00", "currency": "USD", "description": "Cash"}

_VERIFIED = {
    "account_id": CHECKING,
    "status": "verified",
    "currency": "USD",
    "account_balance": "87.66",
    "ledger_balance": "87.66",
    "difference": "0.00",
    "account_seq": 2,
    "ledger_position": 2,
    "entries": 2,
    "total_debits": "12.34",
    "total_credits": "100.00",
    "checks": [{"name": "no_gap", "ok": True, "detail": "2 entries up to position 2"}],
}

_BOOK = {
    "status": "verified",
    "accounts": 3,
    "entries": 4,
    "mismatched": 0,
    "catching_up": 0,
    "mismatches": [],
    "totals": {"USD": {"debits": "112.34", "credits": "112.34"}},
}

_PIPELINE = {
    "looked_at": SETTLED,
    "status": "warning",
    "problems": [
        {
            "severity": "warning",
            "code": "stage_behind",
            "stage": "ledger",
            "text": "ledger is 12 s behind transfer (3400 rows).",
        }
    ],
    "settled_per_s": {"completed": 281.5, "failed": 1.2},
    "pending": 41,
    "oldest_pending_s": 0.182,
    "servers": [{"name": "broker", "state": "up"}, {"name": "redis", "state": "down"}],
    "stages": [
        {
            "stage": "ledger",
            "queues": [
                {
                    "name": "ledger.settled",
                    "depth": 12,
                    "unacknowledged": 8,
                    "consumers": 1,
                    "published_per_s": 282.7,
                    "delivered_per_s": 0.4,
                }
            ],
            "lag": {"behind": "transfer", "age_s": 12.034, "rows": 3400, "rows_capped": False},
            "dead_letters_open": 0,
            "instances": [
                {
                    "instance": "ledger-7c9f-1-5b2e91aa",
                    "started_at": MADE,
                    "silent_s": 0.4,
                    "rates": {"consumed": {"ledger.settled": 0.4}, "batches": {"ledger.settled": 0.2}},
                    "figures": {},
                    "chores": [],
                }
            ],
            "unknown": {},
        }
    ],
    "unknown": {},
}

# By the name of the body's type, and of its module where two have the same name.
_EXAMPLES: dict[str, Any] = {
    "Register": {"email": "ada@example.com", "password": "correct horse", "full_name": "Ada"},
    "Login": {"email": "ada@example.com", "password": "correct horse"},
    "ChangeUser": {"role": "admin"},
    "UserBody": _USER,
    "TokenBody": {"access_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl", "expires_in": 900, "token_type": "bearer"},
    "SessionBody": {
        "user": {**_USER, "id": _GRACE, "email": "grace@example.com", "full_name": "Grace", "role": "admin"},
        "expires_in": 900,
        "ends_in": 43200,
    },
    "OpenAccount": {"name": "Checking", "currency": "USD"},
    "RenameAccount": {"name": "Everyday"},
    "AccountBody": ACCOUNT,
    "EntryBody": {
        "id": "f3b1d2c4-5e6a-5b7c-9d8e-1f2a3b4c5d44",
        "transfer_id": TRANSFER,
        "account_id": CHECKING,
        "account_seq": 2,
        "direction": "debit",
        "amount": "12.34",
        "currency": "USD",
        "balance_before": "100.00",
        "balance_after": "87.66",
        "created_at": SETTLED,
    },
    "Transfer": ORDER,
    "TransferBody": SENT,
    "TransferBatch": {"transfers": [ORDER]},
    "TransferItems": {"items": [{"index": 0, "status_code": 201, "transfer": SENT}]},
    "OperatorTransfer": _OPERATOR_ORDER,
    "KeyedTransferBatch": {"transfers": [{**ORDER, "idempotency_key": "line-1"}]},
    "KeyedAccountBatch": {
        "accounts": [
            {
                "owner_reference": "customer-4711",
                "name": "Checking",
                "currency": "USD",
                "opening_balance": "100.00",
                "idempotency_key": "line-1",
            }
        ]
    },
    "AccountItems": {"items": [{"index": 0, "status_code": 201, "account": ACCOUNT}]},
    "TimelineBody": {
        "items": [
            {"stage": "gateway", "at": MADE, "detail": {"request_id": REQUEST}},
            {"stage": "transfer", "at": SETTLED, "detail": {"status": "completed"}},
        ]
    },
}


_EXAMPLES |= OPERATORS | {
    "ledger_verification.Verification": _VERIFIED,
    "BookVerification": _BOOK,
    "walk.Verification": {"status": "verified", "rows": 42, "first_bad": None, "archived_rows": 0},
    "AuditLogPage": {
        "items": [LOGGED],
        "page": 1,
        "page_size": 50,
        "total": 1,
        "pages": 1,
        "total_capped": False,
    },
    "FraudStats": {
        "total_checks": 2,
        "approved": 1,
        "blocked": 1,
        "block_rate": 0.5,
        "approved_amount": {"USD": "12.34"},
        "blocked_amount": {"USD": "1000000.01"},
        "by_reason": {"amount_above_maximum": 1},
        "by_day": [{"date": "2026-11-01", "total_checks": 2, "approved": 1, "blocked": 1}],
        "by_hour": [{"at": MADE, "total_checks": 2, "approved": 1, "blocked": 1}],
        "by_user": [
            {"user_id": ADA, "blocked": 1, "last_blocked_at": SETTLED, "by_reason": {"amount_above_maximum": 1}}
        ],
    },
    "PipelineBody": _PIPELINE,
    "DeadLetter": {
        "id": "3b5d5c37-12fe-4c0f-9c53-6c2f0c1e9d66",
        "service": "ledger",
        "message_type": "transfer.settled",
        "reason": "unparsable",
        "detail": "Object missing required field `status`",
        "origin": "ledger.settled",
        "item": "{}",
        "item_bytes": 2,
        "parked_at": SETTLED,
        "times_parked": 1,
        "resolution": None,
        "resolved_at": None,
        "resolved_by": None,
    },
}

# By media type.
_STREAMS = {
    "text/csv": f"seq,occurred_at,action,status\r\n42,{SETTLED},TRANSFER,success\r\n",
    "application/x-ndjson": f'{{"seq":42,"occurred_at":"{SETTLED}","action":"TRANSFER","status":"success"}}\n',
}


_EVENTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "/api/v1/admin/pipeline/events": [("look", _PIPELINE), ("end", {})],
    "/api/v1/admin/ledger/verify/events": [
        ("progress", {"accounts": 0, "accounts_total": 3, "entries": 0, "mismatched": 0, "elapsed_s": 0.001}),
        ("progress", {"accounts": 3, "accounts_total": 3, "entries": 4, "mismatched": 0, "elapsed_s": 0.012}),
        ("result", _BOOK),
        ("end", {}),
    ],
    "/api/v1/admin/audit-logs/verify/events": [
        ("progress", {"walked": 0, "total": None}),
        ("progress", {"walked": 24_000, "total": 51_200}),
        ("result", {"status": "verified", "rows": 51_200, "first_bad": None, "archived_rows": 0}),
        ("end", {}),
    ],
}


def stream_example(path: str, media: str) -> str:
    """What a call sends as a stream."""
    if path in _EVENTS:
        return "".join(f"event: {name}\ndata: {json.dumps(body)}\n\n" for name, body in _EVENTS[path])
    return _STREAMS[media]


def example_of(body_type: type[Any]) -> Any:
    """A body of this type; None where nobody wrote one."""
    name = body_type.__name__
    return _EXAMPLES.get(f"{body_type.__module__.rpartition('.')[2]}.{name}", _EXAMPLES.get(name))


def problem_example(status: int, code: str, detail: str) -> dict[str, Any]:
    """A problem as a client meets it."""
    return {
        "type": f"urn:remit:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": REQUEST,
    }
