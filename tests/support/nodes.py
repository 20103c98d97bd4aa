"""Three RabbitMQ nodes of one cluster on this machine; each can be killed, frozen, or cut off from the others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.local import rabbitmq, secrets
from deploy.local.daemons import Daemons
from deploy.local.layout import Layout
from deploy.local.parts import Bringing, bring_up
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.private import PrivateServers
from deploy.local.rabbitmq import Membership, RabbitMQ
from deploy.local.secrets import Secrets
from deploy.local.stack import silent
from deploy.local.testing import temporary_state
from remit.prove.proxy import Proxy
from tests.support.mapper import Mapper
from tests.support.waiting import eventually

NAMES = ("a", "b", "c")
# A peer is down after three quarters to five quarters of it, seconds.
TICK_TIME_S = 4
_START_TIMEOUT_S = 90.0
_CHANGE_TIMEOUT_S = 60.0
# A node asks its peers before it answers, and is patient with a silent one.
_HTTP_TIMEOUT_S = 20.0


class Node:
    """One of them: a process with ports and a home of its own."""

    def __init__(self, name: str, folder: Path, known: Secrets, mapper_port: int) -> None:
        self.name = name
        self.layout = Layout(folder)
        self.layout.create()
        self._daemons = Daemons(self.layout, tied=True)
        self._ports = Ports(self.layout.ports)
        self._known = known
        self._cluster = Membership(first=_erlang_name(NAMES[0]), mapper_port=mapper_port, tick_time_s=TICK_TIME_S)

    def way(self) -> Bringing:
        """How to bring it up."""
        servers = PrivateServers(self.layout, self._daemons, self._ports, self._known, durable=True, report=silent)
        servers.install_missing(["rabbitmq"])
        servers.place_data()
        program = rabbitmq.find()
        assert program is not None
        part = RabbitMQ(
            program=program,
            layout=self.layout,
            password=self._known.amqp_administrator_password,
            cookie=self._known.erlang_cookie,
            processes=("rabbitmq",),
            node=_erlang_name(self.name),
            cluster=self._cluster,
        )
        return Bringing(part, self.layout, self._daemons, self._ports)

    def port(self, purpose: str) -> int:
        """Where it listens; it must have been started once."""
        record = self._daemons.running("rabbitmq")
        assert record is not None, f"{self.name} does not run"
        return record.ports[purpose]

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, and waits for nothing."""
        self._daemons.signal("rabbitmq", number)

    def kill(self) -> None:
        """Ends it at once."""
        self._daemons.stop(["rabbitmq"], signal_number=signal.SIGKILL)

    def end(self) -> None:
        """Ends it, frozen or not, and removes what it leaves."""
        self.kill()
        self.layout.wipe()


class Nodes:
    """The cluster."""

    def __init__(self, nodes: Sequence[Node], mapper: Mapper, amqp: Proxy, management: Proxy, password: str) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._mapper = mapper
        self._amqp = amqp
        self._management = management
        self._password = password

    def addresses(self) -> dict[str, str]:
        """The settings that name the broker: the nodes in turn."""
        return {
            "REMIT_AMQP_URL": rabbitmq.address(self._password, {"amqp": self._amqp.port}),
            "REMIT_AMQP_MANAGEMENT_URL": rabbitmq.management_address(
                self._password, {"management": self._management.port}
            ),
        }

    async def leader(self) -> str:
        """The node that leads the queue of screened transfers."""
        queues = await self._ask(NAMES[0], "/api/queues")
        (leader,) = {str(one["leader"]) for one in queues if one["name"] == "transfer.screened"}
        return leader.partition("@")[0]

    async def kill(self, name: str) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self._nodes[name].kill)

    async def start(self, name: str) -> None:
        """Starts a node on its data."""
        await _bring_up([self._nodes[name]])

    def freeze(self, name: str) -> None:
        """The node does nothing, and its connections stay."""
        self._nodes[name].signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """The node goes on, unaware that time has passed."""
        self._nodes[name].signal(signal.SIGCONT)

    def cut_off(self, name: str) -> None:
        """A partition: nothing passes between this node and the others; clients still reach it."""
        self._mapper.cut_off(name)

    async def join(self, name: str) -> None:
        """The partition is over."""
        await self._mapper.join(name)

    async def missed(self, name: str) -> None:
        """Returns once another one knows that this one is gone."""
        other = next(one for one in NAMES if one != name)

        async def known() -> bool:
            nodes = {one["name"]: one["running"] for one in await self._ask(other, "/api/nodes")}
            return nodes.get(_erlang_name(name)) is False

        await eventually(known, timeout_s=_CHANGE_TIMEOUT_S)

    async def paused(self, name: str) -> None:
        """Returns once this node, of a minority, has shut its clients out."""
        port = self._nodes[name].port("amqp")

        async def shut() -> bool:
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, port)
            except (ConnectionRefusedError, ConnectionResetError):
                return True
            writer.close()
            return False

        await eventually(shut, timeout_s=_CHANGE_TIMEOUT_S)

    async def whole(self) -> None:
        """Returns once every node serves, and each of the durable queues has its three members online."""

        async def known() -> bool:
            return all([await self._sees_all(name) for name in NAMES])

        await eventually(known, timeout_s=_CHANGE_TIMEOUT_S)

    async def _sees_all(self, name: str) -> bool:
        nodes = await self._ask(name, "/api/nodes")
        queues = [one for one in await self._ask(name, "/api/queues") if one.get("type") == "quorum"]
        complete = all(len(one["members"]) == len(one["online"]) == len(NAMES) for one in queues)
        return len(nodes) == len(NAMES) and all(one["running"] for one in nodes) and complete

    async def _ask(self, name: str, path: str) -> list[dict[str, Any]]:
        """What a node's HTTP API lists; nothing while it does not answer."""
        url = rabbitmq.management_address(self._password, {"management": self._nodes[name].port("management")})
        async with httpx.AsyncClient(trust_env=False, timeout=_HTTP_TIMEOUT_S) as client:
            try:
                found: list[dict[str, Any]] = (await client.get(f"{url}{path}")).raise_for_status().json()
            except httpx.HTTPError:
                return []
        return found


@asynccontextmanager
async def open_nodes() -> AsyncIterator[Nodes]:
    """A cluster without queues; nothing of it is left afterwards."""
    async with AsyncExitStack() as exits:
        state = exits.enter_context(temporary_state())
        mapper = await exits.enter_async_context(Mapper(NAMES).running())
        known = secrets.load(state / "secrets")
        nodes = [Node(name, state / name, known, mapper.port(name)) for name in NAMES]
        for node in nodes:
            exits.push_async_callback(asyncio.to_thread, node.end)
        await _bring_up(nodes[:1])
        await _bring_up(nodes[1:])
        amqp = await exits.enter_async_context(_before(nodes, "amqp").running())
        management = await exits.enter_async_context(_before(nodes, "management").running())
        cluster = Nodes(nodes, mapper, amqp, management, known.amqp_administrator_password)
        await cluster.whole()
        yield cluster


def _before(nodes: Sequence[Node], purpose: str) -> Proxy:
    first, *others = ((LOOPBACK, node.port(purpose)) for node in nodes)
    return Proxy(*first, *others)


async def _bring_up(nodes: Sequence[Node]) -> None:
    ways = [node.way() for node in nodes]
    await asyncio.to_thread(bring_up, ways, timeout_s=_START_TIMEOUT_S, report=silent)


def _erlang_name(name: str) -> str:
    return f"{name}@localhost"
