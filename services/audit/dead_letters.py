"""Which parked items have ended after all: events that the log holds."""

from __future__ import annotations

from shared.contracts.base import Message
from shared.database import Database, load_queries
from shared.messaging.replaying import IsFinal

SQL = load_queries(__file__, "dead_letters.sql")


def finality(database: Database) -> IsFinal:
    """Asks the rows of `audit`."""

    async def is_final(item: Message) -> bool:
        return bool(await database.fetchval(SQL.has_event, item.event_id))

    return is_final
