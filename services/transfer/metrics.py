"""What transfer counts, once it is committed. All series begin at zero, so that a rate sees the first event."""

from collections.abc import Iterable

from prometheus_client import Counter

from shared.contracts.gateway import Kind
from shared.contracts.transfer import AccountChanged, FailureReason, Status, TransferSettled

SETTLED = Counter("remit_transfers_settled_total", "Transfers that ended, once each.", ["kind", "status", "reason"])
REFUSED = Counter("remit_transfers_refused_total", "Requests, as met, whose id was used before with another payload.")
COMMANDS = Counter("remit_account_commands_total", "Account commands that ended, once each.", ["operation", "outcome"])

for _kind in Kind:
    SETTLED.labels(_kind, Status.COMPLETED, "")
    SETTLED.labels(_kind, Status.BLOCKED, "")
    for _reason in FailureReason:
        SETTLED.labels(_kind, Status.FAILED, _reason)


def count_settled(settled: Iterable[TransferSettled]) -> None:
    """Counts transfers whose rows were committed just now."""
    for item in settled:
        SETTLED.labels(item.instruction.kind, item.status, item.failure_reason or "").inc()


def count_commands(changed: Iterable[AccountChanged]) -> None:
    """Counts commands whose outcomes were committed just now."""
    for item in changed:
        COMMANDS.labels(item.operation, item.outcome).inc()
