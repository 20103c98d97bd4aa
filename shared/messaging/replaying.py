"""Replaying: what an operator decides on a dead letter, carried out by the service that parked it.

A replay runs the service's own handler on the item alone, as a redelivery would: it is idempotent, and tells downstream
again what the rows say. The letter is closed unless the item was parked once more meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from shared.contracts.base import Message
from shared.contracts.envelope import Unreadable, decode_item, open_header, read_items
from shared.contracts.gateway import DeadLetterAct, DeadLetterCommand
from shared.database import Database, is_transient
from shared.messaging.consumer import Handlers, described
from shared.messaging.dead_letters import ALREADY_FINAL, DISCARDED, REPLAYED, DeadLetters, Parked
from shared.messaging.publisher import Emission
from shared.messaging.retry import Attempt, Handler, carry
from shared.observability import traces
from shared.observability.metrics import LETTER_ACTS

log = structlog.get_logger(__name__)

# Whether the service's rows say already how this item ended.
IsFinal = Callable[[Message], Awaitable[bool]]

# The handler that is run inside has its own retries; around it one more try is enough.
_WAITS_S = (1.0,)
# Where traces say that a replayed item comes from.
_LETTERS = "dead_letters"


class Replays:
    """`dead_letter.command`: replays or discards the letters of one service."""

    def __init__(self, letters: DeadLetters, handlers: Handlers, is_final: IsFinal) -> None:
        self._letters = letters
        self._handlers = handlers
        self._is_final = is_final

    async def act(self, commands: Sequence[DeadLetterCommand], _: Attempt) -> Emission:
        """Carries out the commands, one after the other."""
        return Emission.joined([await self._act(command) for command in commands])

    async def _act(self, command: DeadLetterCommand) -> Emission:
        letter_id = command.letter_id
        letter = await self._letters.find(letter_id)
        if letter is None or letter.is_discarded:
            return _done(command, "nothing")
        if command.act is DeadLetterAct.DISCARD:
            await self._letters.resolve(letter_id, DISCARDED, by=command.context.user_id)
            return _done(command, DISCARDED)
        try:
            items = self._read(letter)
        except Unreadable as error:
            await self._letters.keep(letter_id, f"still cannot be read: {error}")
            return _done(command, "unreadable")
        return await self._replay(command, letter, items)

    async def _replay(self, command: DeadLetterCommand, letter: Parked, items: Sequence[Message]) -> Emission:
        # Before it runs: afterwards everything has ended.
        was_final = all([await self._is_final(item) for item in items])
        emission = Emission.joined([await self._carry(item) for item in items])
        for item in items:
            await self._letters.forget(item.event_id)
        resolution = ALREADY_FINAL if was_final else REPLAYED
        await self._letters.resolve(
            command.letter_id, resolution, by=command.context.user_id, times_parked=letter.times_parked
        )
        return _done(command, resolution, emission)

    async def _carry(self, item: Message) -> Emission:
        handler = self._handlers[item.TYPE]
        with traces.batch(handler.name, _LETTERS, [item], redelivered={id(item)}):
            return await carry(handler, [item])

    def _read(self, letter: Parked) -> Sequence[Message]:
        """The item; or, of a letter that no release could read until now, the items of the envelope it holds."""
        try:
            items: Sequence[Message] = [decode_item(letter.message_type, letter.item)]
        except Unreadable as unreadable:
            try:
                items = read_items(open_header(letter.item.encode()))
            except Unreadable:
                raise unreadable from None
        foreign = next((item.TYPE for item in items if item.TYPE not in self._handlers), None)
        if foreign is not None:
            raise Unreadable(f"nothing here handles {foreign}")
        return items

    async def give_up(self, command: DeadLetterCommand, error: Exception, _: Attempt) -> Emission:
        """The replay itself has failed: the letter stays open and says why."""
        await self._letters.keep(command.letter_id, described(error))
        return _done(command, "failed")


def _done(command: DeadLetterCommand, outcome: str, emission: Emission | None = None) -> Emission:
    LETTER_ACTS.labels(command.act, outcome).inc()
    log.info("dead_letter_act", letter_id=str(command.letter_id), act=command.act, outcome=outcome)
    return emission or Emission()


def replaying(
    database: Database, letters: DeadLetters, handlers: Handlers, is_final: IsFinal
) -> Mapping[str, Handler[Any]]:
    """The handler of a service's own `dead_letter.command`s, over the table of its other handlers."""
    replays = Replays(letters, handlers, is_final)
    handler: Handler[Any] = Handler(
        name="act",
        work=replays.act,
        give_up=replays.give_up,
        is_transient=is_transient,
        is_writable=database.is_writable,
        waits_s=_WAITS_S,
    )
    return {DeadLetterCommand.TYPE: handler}
