"""Which parked items have ended after all: transfers that are booked, or of which nothing is to be booked."""

from __future__ import annotations

from shared.contracts.base import Message
from shared.contracts.transfer import Status, TransferSettled
from shared.database import Database, load_queries
from shared.messaging.replaying import IsFinal

SQL = load_queries(__file__, "dead_letters.sql")


def finality(database: Database) -> IsFinal:
    """Asks the rows of `ledger`."""

    async def is_final(item: Message) -> bool:
        if not isinstance(item, TransferSettled):
            return False
        unbooked = item.status is not Status.COMPLETED
        return unbooked or bool(await database.fetchval(SQL.has_both_entries, item.instruction.transfer_id))

    return is_final
