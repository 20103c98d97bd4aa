"""Examples for the document. One story: Ada pays her rent."""

from __future__ import annotations

from typing import Any

_ADA = "0b9c2c52-5a3e-4d1a-9a53-2f1f6d1f7a01"
_CHECKING = "5d3f2f0e-93a4-4b6e-8a53-0b8f0f7d9c11"
_LANDLORD = "c1f7d1a2-6a5b-4f0e-9f3a-7d2b1c0e5f22"
_TRANSFER = "a7e2c9d4-1b3f-5c6d-8e9f-0a1b2c3d4e33"
_REQUEST = "b1946ac92492d2347c6235b4d2611184"
_MADE, _SETTLED = "2026-11-01T09:00:00Z", "2026-11-01T09:00:00.012345Z"

_ORDER = {
    "from_account_id": _CHECKING,
    "to_account_id": _LANDLORD,
    "amount": "12.34",
    "currency": "USD",
    "description": "Rent",
    "metadata": {"invoice": "2026-11"},
}
_ACCOUNT = {
    "id": _CHECKING,
    "owner_id": _ADA,
    "name": "Checking",
    "currency": "USD",
    "balance": "100.00",
    "account_seq": 1,
    "version": 1,
    "created_at": _MADE,
    "updated_at": _MADE,
}
_SENT = {
    "id": _TRANSFER,
    "kind": "transfer",
    "status": "completed",
    **_ORDER,
    "failure_reason": None,
    "reasons": [],
    "retry_count": 0,
    "created_at": _MADE,
    "updated_at": _SETTLED,
    "settled_at": _SETTLED,
}
_OPERATOR_ORDER = {"account_id": _CHECKING, "amount": "100.00", "currency": "USD", "description": "Cash"}

_VERIFIED = {
    "account_id": _CHECKING,
    "status": "verified",
    "account_balance": "87.66",
    "ledger_balance": "87.66",
    "account_seq": 2,
    "ledger_position": 2,
    "entries": 2,
    "total_debits": "12.34",
    "total_credits": "100.00",
    "checks": [{"name": "no_gap", "ok": True, "detail": "2 entries up to position 2"}],
}
_LOGGED = {
    "seq": 42,
    "recorded_at": _SETTLED,
    "occurred_at": _SETTLED,
    "event_id": "9e107d9d-372b-5b6e-8f5f-9d9d419a4c55",
    "user_id": _ADA,
    "action": "TRANSFER",
    "resource_type": "transaction",
    "resource_id": _TRANSFER,
    "status": "success",
    "ip_address": "192.0.2.7",
    "user_agent": "curl/8.5",
    "request_id": _REQUEST,
    "error_message": None,
    "details": {"amount": "12.34", "currency": "USD"},
    "hash": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
}

# By the name of the body's type, and of its module where two have the same name.
_EXAMPLES: dict[str, Any] = {
    "Register": {"email": "ada@example.com", "password": "correct horse", "full_name": "Ada"},
    "Login": {"email": "ada@example.com", "password": "correct horse"},
    "ChangeUser": {"role": "admin"},
    "UserBody": {
        "id": _ADA,
        "email": "ada@example.com",
        "full_name": "Ada",
        "role": "customer",
        "is_active": True,
        "created_at": _MADE,
    },
    "TokenBody": {"access_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl", "expires_in": 900, "token_type": "bearer"},
    "OpenAccount": {"name": "Checking", "currency": "USD"},
    "RenameAccount": {"name": "Everyday"},
    "AccountBody": _ACCOUNT,
    "EntryBody": {
        "id": "f3b1d2c4-5e6a-5b7c-9d8e-1f2a3b4c5d44",
        "transfer_id": _TRANSFER,
        "account_id": _CHECKING,
        "account_seq": 2,
        "direction": "debit",
        "amount": "12.34",
        "currency": "USD",
        "balance_before": "100.00",
        "balance_after": "87.66",
        "created_at": _SETTLED,
    },
    "Transfer": _ORDER,
    "TransferBody": _SENT,
    "TransferBatch": {"transfers": [_ORDER]},
    "TransferItems": {"items": [{"index": 0, "status_code": 201, "transfer": _SENT}]},
    "OperatorTransfer": _OPERATOR_ORDER,
    "KeyedTransferBatch": {"transfers": [{**_ORDER, "idempotency_key": "line-1"}]},
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
    "AccountItems": {"items": [{"index": 0, "status_code": 201, "account": _ACCOUNT}]},
    "TimelineBody": {
        "items": [
            {"stage": "gateway", "at": _MADE, "detail": {"request_id": _REQUEST}},
            {"stage": "transfer", "at": _SETTLED, "detail": {"status": "completed"}},
        ]
    },
}


_EXAMPLES |= {
    "ledger_verification.Verification": _VERIFIED,
    "BookVerification": {
        "status": "verified",
        "accounts": 3,
        "entries": 4,
        "mismatches": [],
        "totals": {"USD": {"debits": "112.34", "credits": "112.34"}},
    },
    "walk.Verification": {"status": "verified", "rows": 42, "first_bad": None, "archived_rows": 0},
    "AuditLogPage": {
        "items": [_LOGGED],
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
    },
    "DeadLetter": {
        "id": "3b5d5c37-12fe-4c0f-9c53-6c2f0c1e9d66",
        "service": "ledger",
        "message_type": "transfer.settled",
        "reason": "unparsable",
        "detail": "Object missing required field `status`",
        "origin": "ledger.settled",
        "item": "{}",
        "item_bytes": 2,
        "parked_at": _SETTLED,
        "times_parked": 1,
        "resolution": None,
        "resolved_at": None,
        "resolved_by": None,
    },
}

# By media type.
STREAMS = {
    "text/csv": f"seq,occurred_at,action,status\r\n42,{_SETTLED},TRANSFER,success\r\n",
    "application/x-ndjson": f'{{"seq":42,"occurred_at":"{_SETTLED}","action":"TRANSFER","status":"success"}}\n',
}


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
        "request_id": _REQUEST,
    }
