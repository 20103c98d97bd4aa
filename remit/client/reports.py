"""What operators read: verifications, the audit log, what fraud's checks came to, dead letters."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from remit.client.models import Answer


class Check(Answer, frozen=True, kw_only=True):
    """One named check of a verification."""

    name: str
    ok: bool
    detail: str | dict[str, Any] | None = None


class Verification(Answer, frozen=True, kw_only=True):
    """An account against its ledger; `status` is verified, catching_up or mismatch."""

    account_id: str
    status: str
    account_balance: str
    ledger_balance: str
    account_seq: int
    ledger_position: int
    checks: list[Check]
    entries: int = 0
    total_debits: str = "0"
    total_credits: str = "0"
    currency: str = ""
    difference: str = ""


class Totals(Answer, frozen=True, kw_only=True):
    """The sums of one currency's entries, in major units."""

    debits: str
    credits: str


class BookVerification(Answer, frozen=True, kw_only=True):
    """The whole book; `status` as an account's, `totals` by currency. At most a thousand mismatches are named."""

    status: str
    accounts: int
    entries: int
    mismatches: list[Verification]
    mismatched: int = 0
    catching_up: int = 0
    totals: dict[str, Totals]


class FirstBad(Answer, frozen=True, kw_only=True):
    """The first row of the audit log that is not as it was recorded, or is not there, and in one word why."""

    seq: int
    reason: str


class AuditVerification(Answer, frozen=True, kw_only=True):
    """The audit log's chain; `status` is verified or broken, `rows` are those that were found good."""

    status: str
    rows: int
    first_bad: FirstBad | None = None
    archived_rows: int = 0


class AuditRow(Answer, frozen=True, kw_only=True):
    """One row of the audit log. `hash` is SHA-256 in hex."""

    seq: int
    recorded_at: datetime
    occurred_at: datetime
    event_id: str
    user_id: str | None
    action: str
    resource_type: str
    resource_id: str | None
    status: str
    ip_address: str | None
    user_agent: str | None
    request_id: str
    error_message: str | None
    details: dict[str, Any]
    hash: str


class AuditPage(Answer, frozen=True, kw_only=True):
    """One numbered page; `pages` are those that can be asked for, `total_capped` says that there are more rows."""

    items: list[AuditRow]
    page: int
    pages: int
    total: int
    total_capped: bool


class DayStats(Answer, frozen=True, kw_only=True):
    """One day (UTC) on which something was checked."""

    date: date
    total_checks: int
    approved: int
    blocked: int


class HourStats(Answer, frozen=True, kw_only=True):
    """One hour, from `at` on, in which something was checked."""

    at: datetime
    total_checks: int
    approved: int
    blocked: int


class UserStats(Answer, frozen=True, kw_only=True):
    """One user, and how many of his transfers were blocked, and why."""

    user_id: str
    blocked: int
    last_blocked_at: datetime
    by_reason: dict[str, int]


class FraudStats(Answer, frozen=True, kw_only=True):
    """What fraud's checks came to. Amounts by currency, in major units; `block_rate` from 0 to 1.

    `by_hour` is None where the range is long; `by_user` names those who were blocked most often. Older gateways tell
    neither.
    """

    total_checks: int
    approved: int
    blocked: int
    block_rate: float
    approved_amount: dict[str, str]
    blocked_amount: dict[str, str]
    by_reason: dict[str, int]
    by_day: list[DayStats]
    by_hour: list[HourStats] | None = None
    by_user: list[UserStats] | None = None


class DeadLetter(Answer, frozen=True, kw_only=True):
    """What a service could not carry. `item_bytes` is the whole item's size; a list shows its beginning."""

    id: str
    service: str
    message_type: str
    reason: str
    detail: str
    origin: str
    item: str
    item_bytes: int
    parked_at: datetime
    times_parked: int
    resolution: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
