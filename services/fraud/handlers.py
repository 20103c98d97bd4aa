"""What fraud does with each type of message. The table at the end is the whole of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from services.fraud.domain import Fate
from services.fraud.metrics import REASONS, RELEASES, REPEATED, VERDICTS
from services.fraud.store import Screened, Store
from shared.contracts.base import Message
from shared.contracts.gateway import TransferRequested
from shared.contracts.transfer import Status, TransferSettled
from shared.database import Database, is_transient
from shared.messaging.consumer import described, letter_of
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.publisher import Emission
from shared.messaging.retry import Attempt, GiveUp, Handler


class Requested:
    """`transfer.requested`: screens what clients ask for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def screen(self, items: Sequence[TransferRequested], _: Attempt) -> Emission:
        """One verdict a request, in order; conflicts too, so that whoever waits is told."""
        screened = await self._store.screen(items)
        _count(screened)
        return Emission(events=[item.event for item in screened])


class Settled:
    """`transfer.settled`: a failed transfer gives back the amount it held; the others hold theirs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def release(self, items: Sequence[TransferSettled], _: Attempt) -> Emission:
        """Releases what failed; nobody needs to be told."""
        failed = [item for item in items if item.status is Status.FAILED]
        if failed:
            RELEASES.inc(await self._store.release(failed))
        return Emission()


def parking(dead_letters: DeadLetters, origin: str) -> GiveUp[Any]:
    """Parks the item with its stack: fraud never fails a transfer, and never approves one on error."""

    async def park(item: Message, error: Exception, _: Attempt) -> Emission:
        await dead_letters.park([letter_of(item, reason="failed_alone", detail=described(error), origin=origin)])
        return Emission()

    return park


def _count(screened: Sequence[Screened]) -> None:
    verdicts: Counter[tuple[str, str]] = Counter()
    for item in screened:
        if item.outcome.fate is Fate.REPEATED:
            continue
        verdicts[item.event.screening.policy, item.event.screening.verdict] += 1
        for reason in item.outcome.exceeded:
            REASONS.labels(reason.code).inc()
    for labels, number in verdicts.items():
        VERDICTS.labels(*labels).inc(number)
    REPEATED.inc(len(screened) - verdicts.total())


def handlers(database: Database, store: Store, dead_letters: DeadLetters) -> Mapping[str, Handler[Any]]:
    """Message type -> what is done with it."""
    common: dict[str, Any] = {"is_transient": is_transient, "is_writable": database.is_writable}
    return {
        TransferRequested.TYPE: Handler(
            name="screen", work=Requested(store).screen, give_up=parking(dead_letters, "fraud.requested"), **common
        ),
        TransferSettled.TYPE: Handler(
            name="release", work=Settled(store).release, give_up=parking(dead_letters, "fraud.settled"), **common
        ),
    }
