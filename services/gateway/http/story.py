"""What the document's examples tell: one story, in which Ada pays her rent."""

from __future__ import annotations

ADA = "0b9c2c52-5a3e-4d1a-9a53-2f1f6d1f7a01"
CHECKING = "5d3f2f0e-93a4-4b6e-8a53-0b8f0f7d9c11"
LANDLORD = "c1f7d1a2-6a5b-4f0e-9f3a-7d2b1c0e5f22"
TRANSFER = "a7e2c9d4-1b3f-5c6d-8e9f-0a1b2c3d4e33"
REQUEST = "b1946ac92492d2347c6235b4d2611184"
MADE, SETTLED = "2026-11-01T09:00:00Z", "2026-11-01T09:00:00.012345Z"

ORDER = {
    "from_account_id": CHECKING,
    "to_account_id": LANDLORD,
    "amount": "12.34",
    "currency": "USD",
    "description": "Rent",
    "metadata": {"invoice": "2026-11"},
}
ACCOUNT = {
    "id": CHECKING,
    "owner_id": ADA,
    "name": "Checking",
    "currency": "USD",
    "balance": "100.00",
    "account_seq": 1,
    "version": 1,
    "created_at": MADE,
    "updated_at": MADE,
}
SENT = {
    "id": TRANSFER,
    "kind": "transfer",
    "status": "completed",
    **ORDER,
    "failure_reason": None,
    "reasons": [],
    "retry_count": 0,
    "created_at": MADE,
    "updated_at": SETTLED,
    "settled_at": SETTLED,
}
LOGGED = {
    "seq": 42,
    "recorded_at": SETTLED,
    "occurred_at": SETTLED,
    "event_id": "9e107d9d-372b-5b6e-8f5f-9d9d419a4c55",
    "user_id": ADA,
    "action": "TRANSFER",
    "resource_type": "transaction",
    "resource_id": TRANSFER,
    "status": "success",
    "ip_address": "192.0.2.7",
    "user_agent": "curl/8.5",
    "request_id": REQUEST,
    "error_message": None,
    "details": {"amount": "12.34", "currency": "USD"},
    "hash": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
}
