"""What the ledger does with each type of message. The table at the end is the whole of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from services.ledger.domain import Difference
from services.ledger.metrics import CONTRADICTIONS, ENTRIES
from services.ledger.store import Store
from shared.contracts.transfer import TransferSettled
from shared.database import Database, is_transient
from shared.messaging.consumer import described, letter_of
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.publisher import Emission
from shared.messaging.retry import Attempt, Handler

log = structlog.get_logger(__name__)

QUEUE = "ledger.settled"


class Settled:
    """`transfer.settled`: two entries for each completed one."""

    def __init__(self, store: Store, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters

    async def book(self, items: Sequence[TransferSettled], _: Attempt) -> Emission:
        """Books what is missing. What contradicts the book is parked after the rest is committed."""
        booked, differences = await self._store.book(items)
        ENTRIES.inc(booked)
        if differences:
            await self._park(differences)
        return Emission()

    async def _park(self, differences: Sequence[Difference]) -> None:
        letters = [
            letter_of(item, reason="ledger_difference", detail=detail, origin=QUEUE) for item, detail in differences
        ]
        await self._dead_letters.park(letters)
        CONTRADICTIONS.inc(len(differences))
        for item, detail in differences:
            log.error("ledger_difference", transfer_id=str(item.instruction.transfer_id), detail=detail)

    async def give_up(self, item: TransferSettled, error: Exception, _: Attempt) -> Emission:
        """Parks the item: the transfer stands, and verification names its entries as missing until it is replayed."""
        letter = letter_of(item, reason="failed_alone", detail=described(error), origin=QUEUE)
        await self._dead_letters.park([letter])
        return Emission()


def handlers(database: Database, store: Store, dead_letters: DeadLetters) -> Mapping[str, Handler[Any]]:
    """Message type -> what is done with it."""
    settled = Settled(store, dead_letters)
    return {
        TransferSettled.TYPE: Handler(
            name="book",
            work=settled.book,
            give_up=settled.give_up,
            is_transient=is_transient,
            is_writable=database.is_writable,
        ),
    }
