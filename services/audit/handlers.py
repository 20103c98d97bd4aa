"""What audit does with each type of message. The table at the end is the whole of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from services.audit.domain import entry_of
from services.audit.metrics import ROWS
from services.audit.store import Store
from shared.contracts.base import Message
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import ActivityRecorded
from shared.contracts.transfer import AccountChanged, TransferSettled
from shared.database import Database, is_transient
from shared.messaging.consumer import described, letter_of
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.publisher import Emission
from shared.messaging.retry import Attempt, Handler

QUEUE = "audit.events"


class Events:
    """Every type alike: one row an event."""

    def __init__(self, store: Store, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters

    async def record(self, items: Sequence[Message], _: Attempt) -> Emission:
        """Records what is not recorded yet, in order of arrival."""
        recorded = await self._store.record([entry_of(item) for item in items])
        for action, rows in Counter(entry.action for entry in recorded).items():
            ROWS.labels(action).inc(rows)
        return Emission()

    async def give_up(self, item: Message, error: Exception, _: Attempt) -> Emission:
        """Parks the event: it is missing in the log, and not lost, until an operator replays it."""
        letter = letter_of(item, reason="failed_alone", detail=described(error), origin=QUEUE)
        await self._dead_letters.park([letter])
        return Emission()


def handlers(database: Database, store: Store, dead_letters: DeadLetters) -> Mapping[str, Handler[Any]]:
    """Message type -> what is done with it. One handler for all, so that a run of mixed types is one batch."""
    events = Events(store, dead_letters)
    handler: Handler[Any] = Handler(
        name="record",
        work=events.record,
        give_up=events.give_up,
        is_transient=is_transient,
        is_writable=database.is_writable,
    )
    return {
        TransferScreened.TYPE: handler,
        TransferSettled.TYPE: handler,
        AccountChanged.TYPE: handler,
        ActivityRecorded.TYPE: handler,
    }
