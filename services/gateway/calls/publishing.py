"""Publishing requests: single ones gathered into envelopes, a batch call always in one of its own."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.errors import OutcomeUnknown, ServiceUnavailable
from shared.contracts import topology
from shared.contracts.gateway import AccountCommand, DeadLetterCommand, TransferRequested
from shared.messaging.batching import GATHERING_APART_S, Batcher
from shared.messaging.connection import BrokerUnavailable, Link
from shared.messaging.publisher import Publisher, TopologyMissing
from shared.observability import traces

_TOGETHER_MAX = 500
_PUBLISH = "publish"
_EXCHANGE = topology.exchange_name("gateway")

Asked = TransferRequested | AccountCommand


class Requests:
    """Hands requests to the broker; returns once they are confirmed."""

    def __init__(self, link: Link, publisher: Publisher) -> None:
        self._link = link
        self._publisher = publisher
        self._transfers: Batcher[TransferRequested, None] = Batcher(
            self._together, items_max=_TOGETHER_MAX, apart_s_max=GATHERING_APART_S
        )
        self._commands: Batcher[AccountCommand, None] = Batcher(self._together, items_max=_TOGETHER_MAX)

    @property
    def is_up(self) -> bool:
        return self._link.takes_messages

    def check(self) -> None:
        """Before anything is begun.

        Raises:
            ServiceUnavailable: there is no broker now, or it takes nothing.
        """
        if not self.is_up:
            raise ServiceUnavailable("The message broker does not answer. Nothing was begun.")

    async def transfer(self, request: TransferRequested) -> None:
        """One request, with all others that are ready.

        Raises:
            OutcomeUnknown: the broker did not confirm it.
        """
        try:
            await self._transfers.submit(request)
        except (BrokerUnavailable, TopologyMissing) as error:
            raise OutcomeUnknown from error

    async def command(self, command: AccountCommand) -> None:
        """One account command, with all others that are ready.

        Raises:
            OutcomeUnknown: the broker did not confirm it.
        """
        try:
            await self._commands.submit(command)
        except (BrokerUnavailable, TopologyMissing) as error:
            raise OutcomeUnknown from error

    async def dead_letter(self, command: DeadLetterCommand) -> None:
        """One operator's decision, to the service that it names.

        Raises:
            OutcomeUnknown: the broker did not confirm it.
        """
        try:
            await self._publisher.publish([command])
        except (BrokerUnavailable, TopologyMissing) as error:
            raise OutcomeUnknown from error

    async def whole(self, asked: Sequence[Asked]) -> None:
        """One envelope, neither split nor merged: its items are applied in their order.

        Raises:
            OutcomeUnknown: the broker did not confirm it.
        """
        if not asked:
            return
        try:
            with traces.batch(_PUBLISH, _EXCHANGE, asked, is_sent=True):
                await self._publisher.publish(asked)
        except (BrokerUnavailable, TopologyMissing) as error:
            raise OutcomeUnknown from error

    async def drain(self) -> None:
        """Returns when nothing is in flight."""
        await self._transfers.drain()
        await self._commands.drain()

    async def _together(self, asked: Sequence[Asked]) -> Sequence[None]:
        with traces.batch(_PUBLISH, _EXCHANGE, asked, is_sent=True):
            await self._publisher.publish(asked)
        return [None] * len(asked)
