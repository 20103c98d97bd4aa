"""What operators look up: where transfers are, all that is known of one, use of the limits, what a book comes to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remit.client.models import Account, Answer, Entry, Page, Reason, Transfer
from remit.client.reports import AuditRow, DeadLetter


class Finding(Answer, frozen=True, kw_only=True):
    """Something that is not as it should be, in a sentence; `severity` is critical or warning."""

    severity: str
    code: str
    text: str
    stage: str | None = None


class Lag(Answer, frozen=True, kw_only=True):
    """How long the oldest row of the stage before waits, in seconds, and how many do from it on."""

    behind: str
    age_s: float
    rows: int
    rows_capped: bool


class Queue(Answer, frozen=True, kw_only=True):
    """A queue that a stage consumes; None where it could not be found out."""

    name: str
    depth: int | None = None
    unacknowledged: int | None = None
    consumers: int | None = None
    published_per_s: float | None = None
    delivered_per_s: float | None = None


class Chore(Answer, frozen=True, kw_only=True):
    """Work that an instance does again and again."""

    name: str
    ended_at: datetime | None = None
    postponed: int = 0


class Instance(Answer, frozen=True, kw_only=True):
    """One process, by its own word of `silent_s` seconds ago; `rates` per second over the last minute."""

    instance: str
    started_at: datetime
    silent_s: float
    rates: dict[str, dict[str, float]]
    figures: dict[str, float]
    chores: list[Chore]


class PipelineStage(Answer, frozen=True, kw_only=True):
    """One stage; `unknown` says why a part of it is None."""

    stage: str
    queues: list[Queue]
    lag: Lag | None = None
    dead_letters_open: int | None = None
    instances: list[Instance] | None = None
    unknown: dict[str, str]


class Server(Answer, frozen=True, kw_only=True):
    """A server as the gateway meets it; `state` is up, blocked or down."""

    name: str
    state: str


class Pipeline(Answer, frozen=True, kw_only=True):
    """The five stages at one look; `status` is ok, or the worst severity among the problems."""

    looked_at: datetime
    status: str
    problems: list[Finding]
    stages: list[PipelineStage]
    servers: list[Server]
    settled_per_s: dict[str, float] | None = None
    pending: int | None = None
    oldest_pending_s: float | None = None
    unknown: dict[str, str]


class FoundTransfer(Transfer, frozen=True, kw_only=True):
    """A transfer as an operator finds it. The key is its caller's, as the API tells it."""

    owner_id: str
    caller_id: str
    is_deleted: bool = False


class FoundPage(Page[FoundTransfer], frozen=True, kw_only=True):
    """One page of a search; `searched_to` is how far back it has looked, `unknown` what may be missing, and why."""

    searched_to: datetime | None = None
    unknown: dict[str, str]


class FoundAccount(Account, frozen=True, kw_only=True):
    """An account as an operator finds it, and how its owner is called."""

    owner_email: str | None = None
    owner_reference: str | None = None


class Hop(Answer, frozen=True, kw_only=True):
    """When a stage had a transfer, and how many seconds after the stage before it."""

    stage: str
    at: datetime
    after_s: float
    detail: dict[str, Any]


class Verdict(Answer, frozen=True, kw_only=True):
    """What fraud decided, under which version of the limits."""

    verdict: str
    policy: str
    limits_version: str
    decided_at: datetime
    reasons: list[Reason]
    released_at: datetime | None = None


class EntryOfTransfer(Entry, frozen=True, kw_only=True):
    """A ledger entry, and when it was booked."""

    recorded_at: datetime


class Wait(Answer, frozen=True, kw_only=True):
    """A stage that has not had the transfer; `stuck_because` is None while that is nothing unusual."""

    stage: str
    queue: str
    since: datetime
    waited_s: float
    stuck_because: str | None = None
    evidence: list[Finding]


class WholeTimeline(Answer, frozen=True, kw_only=True):
    """All that is known of one transfer; `unknown` says why a part of it is None."""

    transfer: FoundTransfer
    hops: list[Hop]
    verdict: Verdict | None = None
    entries: list[EntryOfTransfer] | None = None
    audit: list[AuditRow] | None = None
    dead_letters: list[DeadLetter]
    waits: list[Wait]
    stuck_because: str | None = None
    unknown: dict[str, str]


class CountUsage(Answer, frozen=True, kw_only=True):
    """Transfers in a window; `limit` and `left` are None where it is off, or not known."""

    used: int
    limit: int | None = None
    left: int | None = None
    oldest_leaves_at: datetime | None = None


class AmountUsage(Answer, frozen=True, kw_only=True):
    """Their amount in one currency, in major units."""

    used: str
    limit: str | None = None
    left: str | None = None
    oldest_leaves_at: datetime | None = None


class Usage(Answer, frozen=True, kw_only=True):
    """What a user has used of fraud's limits; `day_amount` by currency."""

    user_id: str
    at: datetime
    hour_count: CountUsage
    day_count: CountUsage
    day_amount: dict[str, AmountUsage]
    limits_version: str | None = None
    unknown: dict[str, str]


class CurrencyBalance(Answer, frozen=True, kw_only=True):
    """One currency's entries, in major units; `difference` is debits less credits."""

    debits: str
    credits: str
    difference: str
    accounts: int
    entries: int


class TrialBalance(Answer, frozen=True, kw_only=True):
    """What all entries came to at `as_of`; `status` is balanced or unbalanced."""

    status: str
    as_of: datetime
    took_s: float
    currencies: dict[str, CurrencyBalance]
    newest_entry_at: datetime | None = None
