"""Examples for what operators look up. The same story: Ada pays her rent."""

from __future__ import annotations

from typing import Any

from services.gateway.http.story import ACCOUNT, ADA, LOGGED, MADE, REQUEST, SENT, SETTLED

_FOUND = {**SENT, "owner_id": ADA, "caller_id": ADA, "idempotency_key": "rent-2026-11", "is_deleted": False}
_TIMELINE = {
    "transfer": _FOUND,
    "hops": [
        {"stage": "gateway", "at": MADE, "after_s": 0.0, "detail": {"request_id": REQUEST}},
        {"stage": "transfer", "at": SETTLED, "after_s": 0.012345, "detail": {"status": "completed"}},
    ],
    "verdict": {
        "verdict": "approved",
        "policy": "user",
        "reasons": [],
        "limits_version": "2f1c9a0b7d6e5f43",
        "decided_at": MADE,
        "released_at": None,
    },
    "entries": [],
    "audit": [LOGGED],
    "dead_letters": [],
    "waits": [
        {
            "stage": "ledger",
            "queue": "ledger.settled",
            "since": SETTLED,
            "waited_s": 12.034,
            "stuck_because": "It has waited for ledger for 12 s. No ledger worker is connected to the broker.",
            "evidence": [
                {
                    "severity": "critical",
                    "code": "worker_missing",
                    "stage": "ledger",
                    "text": "No ledger worker is connected to the broker.",
                }
            ],
        }
    ],
    "stuck_because": "It has waited for ledger for 12 s. No ledger worker is connected to the broker.",
    "unknown": {},
}

OPERATORS: dict[str, Any] = {
    "TransferSearchPage": {
        "items": [_FOUND],
        "next_cursor": None,
        "searched_to": None,
        "unknown": {},
    },
    "FoundAccount": {**ACCOUNT, "is_deleted": False, "owner_email": "ada@example.com", "owner_reference": None},
    "WholeTimeline": _TIMELINE,
    "Usage": {
        "user_id": ADA,
        "at": SETTLED,
        "limits_version": "2f1c9a0b7d6e5f43",
        "hour_count": {"limit": 50, "used": 1, "left": 49, "oldest_leaves_at": "2026-11-01T10:00:00Z"},
        "day_count": {"limit": 200, "used": 1, "left": 199, "oldest_leaves_at": "2026-11-02T09:00:00Z"},
        "day_amount": {
            "USD": {
                "limit": "5000000.00",
                "used": "12.34",
                "left": "4999987.66",
                "oldest_leaves_at": "2026-11-02T09:00:00Z",
            }
        },
        "unknown": {},
    },
    "TrialBalance": {
        "status": "balanced",
        "as_of": SETTLED,
        "newest_entry_at": SETTLED,
        "took_s": 0.004,
        "currencies": {
            "USD": {"debits": "112.34", "credits": "112.34", "difference": "0.00", "accounts": 3, "entries": 4}
        },
    },
}
