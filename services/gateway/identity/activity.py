"""What the gateway tells the audit: its own writes through the outbox, audited reads before they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog

from services.gateway.background import repeatedly
from services.gateway.identity.store import IdentityStore
from shared.contracts.base import Context
from shared.contracts.gateway import ActivityRecorded
from shared.database import Database
from shared.errors import TransientError
from shared.ids import random_id
from shared.messaging.batching import Batcher
from shared.messaging.connection import Link
from shared.messaging.publisher import Publisher, TopologyMissing

log = structlog.get_logger(__name__)

_TOGETHER_MAX = 500
_RELAY_EVERY_S = 5.0
# One relay for all gateways of a database; the number is drawn.
_RELAY_LOCK = 5_846_120_911

SUCCESS, FAILED, BLOCKED = "success", "failed", "blocked"


def activity(
    action: str,
    resource_type: str,
    resource_id: UUID | str | None,
    context: Context,
    *,
    status: str = SUCCESS,
    details: Mapping[str, Any] | None = None,
    error: str | None = None,
    activity_id: UUID | None = None,
) -> ActivityRecorded:
    """One thing that the gateway saw, now."""
    return ActivityRecorded(
        activity_id=activity_id or random_id(),
        action=action,
        resource_type=resource_type,
        resource_id=None if resource_id is None else str(resource_id),
        status=status,
        occurred_at=datetime.now(UTC),
        context=context,
        details={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in details.items()} if details else None,
        error_message=error,
    )


class Activities:
    """Hands activity on to the audit, so that none is lost between the act and its row."""

    def __init__(self, database: Database, store: IdentityStore, link: Link, publisher: Publisher) -> None:
        self._database = database
        self._link = link
        self._store = store
        self._publisher = publisher
        self._reads: Batcher[ActivityRecorded, None] = Batcher(self._tell, items_max=_TOGETHER_MAX)
        self._due = asyncio.Event()

    async def tell(self, act: ActivityRecorded) -> None:
        """Returns when the broker has confirmed it or, while the broker is away, the outbox has it.

        Raises:
            Unavailable: neither took it.
        """
        await self._reads.submit(act)

    def wake(self) -> None:
        """Something was put into the outbox, or the broker came back."""
        self._due.set()

    async def drain(self) -> None:
        """Returns when nothing is in flight."""
        await self._reads.drain()

    async def _tell(self, acts: Sequence[ActivityRecorded]) -> Sequence[None]:
        try:
            if not self._link.takes_messages:
                raise TopologyMissing("no connection")
            await self._publisher.publish(acts)
        except (TransientError, TopologyMissing) as error:
            # The event id makes a copy that was taken all the same count once.
            log.warning("activity_to_outbox", items=len(acts), error=repr(error))
            await self._store.put_outbox(acts)
            self.wake()
        return [None] * len(acts)

    async def run(self) -> None:
        """Relays the outbox until cancelled."""
        await repeatedly("outbox relay", self._relay, every_s=_RELAY_EVERY_S, due=self._due)

    async def _relay(self) -> None:
        if not self._link.takes_messages:
            return
        async with self._database.advisory_lock(_RELAY_LOCK) as held:
            while held and (waiting := await self._store.read_outbox(_TOGETHER_MAX)):
                await self._publisher.publish([act for _, act in waiting])
                await self._store.delete_outbox([position for position, _ in waiting])
