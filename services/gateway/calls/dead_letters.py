"""What an operator decides on a dead letter: audited, handed to the service that parked it, and looked after."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from services.gateway.calls.publishing import Requests
from services.gateway.errors import DeadLetterResolved, OutcomeUnknown
from services.gateway.identity.activity import FAILED, Activities, activity
from services.gateway.identity.callers import Caller
from services.gateway.identity.store import IdentityStore
from services.gateway.reads.dead_letters import DeadLetter, DeadLetterReads
from shared.contracts.gateway import ActivityRecorded, DeadLetterAct, DeadLetterCommand
from shared.database import is_transient
from shared.ids import random_id

_DISCARDED = "discarded"
# Workers may not reply to gateways, all but one; their rows say the same.
_LOOK_EVERY_S = 0.05


class DeadLetterActs:
    """Replays and discards."""

    def __init__(
        self, requests: Requests, reads: DeadLetterReads, store: IdentityStore, activities: Activities
    ) -> None:
        self._requests = requests
        self._reads = reads
        self._store = store
        self._activities = activities

    async def act(self, caller: Caller, letter: DeadLetter, act: DeadLetterAct, wait_s: float) -> DeadLetter | None:
        """The letter as the service leaves it: closed, or parked once more. None if it has not answered in time.

        Raises:
            DeadLetterResolved: it was closed the other way before.
            ServiceUnavailable: there is no broker now; nothing was begun.
            OutcomeUnknown: the broker did not confirm the command, or the letter cannot be read now.
        """
        if letter.resolution is not None:
            return await self._closed(caller, letter, act)
        self._requests.check()
        # Audited before it is done: an act that is not in the log cannot happen.
        await self._store.put_outbox([_told(caller, letter, act)])
        self._activities.wake()
        await self._requests.dead_letter(
            DeadLetterCommand(
                command_id=random_id(),
                letter_id=letter.id,
                service=letter.service,
                act=act,
                requested_at=datetime.now(UTC),
                context=caller.context,
            )
        )
        return await self._answered(letter, wait_s)

    async def _closed(self, caller: Caller, letter: DeadLetter, act: DeadLetterAct) -> DeadLetter:
        is_same = (letter.resolution == _DISCARDED) == (act is DeadLetterAct.DISCARD)
        await self._activities.tell(_told(caller, letter, act, error=None if is_same else DeadLetterResolved.code))
        if not is_same:
            raise DeadLetterResolved(f"This letter was {letter.resolution}.")
        return letter

    async def _answered(self, before: DeadLetter, wait_s: float) -> DeadLetter | None:
        deadline_s = time.monotonic() + wait_s
        try:
            while True:
                letter = await self._reads.of(before.service, before.id)
                if letter is not None and (letter.resolution, letter.times_parked) != (None, before.times_parked):
                    return letter
                if time.monotonic() > deadline_s:
                    return None
                await asyncio.sleep(_LOOK_EVERY_S)
        except Exception as error:
            if is_transient(error):
                raise OutcomeUnknown from error
            raise


def _told(caller: Caller, letter: DeadLetter, act: DeadLetterAct, *, error: str | None = None) -> ActivityRecorded:
    details = {
        "act": act.value,
        "service": letter.service,
        "message_type": letter.message_type,
        "reason": letter.reason,
        "origin": letter.origin,
    }
    if letter.resolution is not None:
        details["resolution"] = letter.resolution
    if error is not None:
        return activity("ADMIN", "dead_letter", letter.id, caller.context, status=FAILED, details=details, error=error)
    return activity("ADMIN", "dead_letter", letter.id, caller.context, details=details)
