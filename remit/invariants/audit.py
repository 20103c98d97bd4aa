"""The audit log tells every decision and every end exactly once, of no other transfer, and has not been edited."""

from __future__ import annotations

from uuid import UUID

from remit.invariants.book import Book
from remit.invariants.comparison import Difference, Side, compare
from remit.invariants.result import Result, judged
from shared.audit_chain.views import LogViews
from shared.audit_chain.walk import LogStatus, verify
from shared.contracts.fraud import TransferScreened
from shared.contracts.transfer import TransferSettled
from shared.database import load_queries
from shared.ids import event_id

SQL = load_queries(__file__, "audit.sql")

_TYPES = {"FRAUD_CHECK": TransferScreened.TYPE, "TRANSFER": TransferSettled.TYPE}


async def audited(book: Book) -> Result:
    """Each decision has its FRAUD_CHECK and each row its TRANSFER, with the same outcome; none is of anything else."""
    lag = (book.lag_s,)
    checks = await compare(
        Side(view=book.fraud, digests=SQL.decided_digests, rows=SQL.decided_rows, arguments=lag),
        Side(view=book.audit, digests=SQL.check_digests, rows=SQL.check_rows),
    )
    ends = await compare(
        Side(view=book.transfer, digests=SQL.settled_digests, rows=SQL.settled_rows, arguments=lag),
        Side(view=book.audit, digests=SQL.settlement_digests, rows=SQL.settlement_rows),
    )
    breaches = [*_breaches(checks, "decisions", "FRAUD_CHECK"), *_breaches(ends, "transactions", "TRANSFER")]
    figure = f"{checks.facts:,} decisions, {ends.facts:,} transfers"
    return judged("audited", figure, breaches, checks.on_their_way + ends.on_their_way)


async def audit_ids_derived(book: Book) -> Result:
    """Each event about a transfer has the id that derives from the transfer, so that it is recorded once."""
    events, wrong = 0, list[str]()
    async for page in book.audit.pages(SQL.transfer_events):
        events += len(page)
        wrong += (
            f"{recorded}: not the id of {action} of {transfer}"
            for recorded, action, transfer in page
            if recorded != expected_event_id(action, transfer)
        )
    return judged("audit ids derived", f"{events:,} events", wrong)


async def audit_chain(book: Book) -> Result:
    """Every row of the log carries the hash of itself and of the row before it."""
    found = await verify(LogViews(book.audit.database))
    breaches = [f"row {found.first_bad.seq}: {found.first_bad.reason}"] if found.first_bad else []
    if found.status is not LogStatus.VERIFIED and not breaches:
        breaches = [f"status {found.status}"]
    return judged("audit chain", f"{found.rows:,} rows", breaches)


def expected_event_id(action: str, resource_id: str) -> UUID | None:
    """The id of the event behind a row about a transfer, or None where the row names no transfer."""
    try:
        return event_id(UUID(resource_id), _TYPES[action])
    except (ValueError, KeyError):
        return None


def _breaches(difference: Difference, subject: str, action: str) -> list[str]:
    found = difference.breaches(left=subject, right=f"{action} rows of the audit log")
    return [f"{action} of {line}" for line in found]
