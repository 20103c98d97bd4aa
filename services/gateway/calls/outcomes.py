"""Waiting for outcomes: futures that the reply queue resolves, by (id, fingerprint)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

from shared.contracts.base import Message
from shared.contracts.transfer import AccountChanged, TransferRefused, TransferSettled

Outcome = TransferSettled | TransferRefused | AccountChanged


class Expected:
    """The outcomes that one call waits for, and those that have come."""

    def __init__(self, wanted: Mapping[UUID, str]) -> None:
        self.wanted = wanted
        self.arrived: dict[UUID, Outcome] = {}
        self._all_here: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_complete(self) -> bool:
        return len(self.arrived) == len(self.wanted)

    def take(self, subject_id: UUID, fingerprint: str, outcome: Outcome) -> None:
        """An outcome under another fingerprint is another call's."""
        if self.wanted.get(subject_id) != fingerprint:
            return
        self.arrived[subject_id] = outcome
        if self.is_complete and not self._all_here.done():
            self._all_here.set_result(None)

    async def wait(self, timeout_s: float) -> None:
        """Returns when all are here or the time is up."""
        if self.is_complete or timeout_s <= 0:
            return
        timer = asyncio.get_running_loop().call_later(timeout_s, self._give_up)
        try:
            await self._all_here
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        if not self._all_here.done():
            self._all_here.set_result(None)


class Outcomes:
    """Who waits for what. `unawaited` gets the settled transfers that no open call waits for."""

    def __init__(self, unawaited: Callable[[TransferSettled], None]) -> None:
        self._waiting: dict[UUID, list[Expected]] = {}
        self._unawaited = unawaited

    @contextmanager
    def expect(self, wanted: Mapping[UUID, str]) -> Iterator[Expected]:
        """Collects the outcomes of `wanted` (id to fingerprint) while the block runs."""
        expected = Expected(wanted)
        for subject_id in wanted:
            self._waiting.setdefault(subject_id, []).append(expected)
        try:
            yield expected
        finally:
            for subject_id in wanted:
                waiting = self._waiting[subject_id]
                waiting.remove(expected)
                if not waiting:
                    del self._waiting[subject_id]

    def receive(self, messages: Sequence[Message]) -> None:
        """What the reply queue delivered."""
        for message in messages:
            if isinstance(message, TransferSettled):
                self._settled(message)
            elif isinstance(message, TransferRefused):
                self._tell(message.transfer_id, message.fingerprint, message)
            elif isinstance(message, AccountChanged):
                self._tell(message.command_id, message.fingerprint, message)

    def _settled(self, message: TransferSettled) -> None:
        instruction = message.instruction
        if not self._tell(instruction.transfer_id, instruction.fingerprint, message):
            self._unawaited(message)

    def _tell(self, subject_id: UUID, fingerprint: str, outcome: Outcome) -> bool:
        waiting = self._waiting.get(subject_id, ())
        for expected in waiting:
            expected.take(subject_id, fingerprint, outcome)
        return bool(waiting)
