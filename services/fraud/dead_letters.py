"""Which parked items have ended after all: requests that are decided, failed transfers whose amount is given back."""

from __future__ import annotations

from shared.contracts.base import Message
from shared.contracts.gateway import TransferRequested
from shared.contracts.transfer import Status, TransferSettled
from shared.database import Database, load_queries
from shared.messaging.replaying import IsFinal

SQL = load_queries(__file__, "dead_letters.sql")


def finality(database: Database) -> IsFinal:
    """Asks the rows of `fraud`."""

    async def is_final(item: Message) -> bool:
        if isinstance(item, TransferRequested):
            return bool(await database.fetchval(SQL.has_decision, item.instruction.transfer_id))
        if isinstance(item, TransferSettled):
            released = item.status is not Status.FAILED
            return released or bool(await database.fetchval(SQL.has_release, item.instruction.transfer_id))
        return False

    return is_final
