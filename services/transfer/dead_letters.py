"""Which parked items have ended after all: those whose outcome a row holds."""

from __future__ import annotations

from shared.contracts.base import Message
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import AccountCommand
from shared.database import Database, load_queries
from shared.messaging.replaying import IsFinal

SQL = load_queries(__file__, "dead_letters.sql")


def finality(database: Database) -> IsFinal:
    """Asks the rows of `transfer`."""

    async def is_final(item: Message) -> bool:
        if isinstance(item, TransferScreened):
            return bool(await database.fetchval(SQL.has_transaction, item.instruction.transfer_id))
        if isinstance(item, AccountCommand):
            return bool(await database.fetchval(SQL.has_command, item.command_id))
        return False

    return is_final
