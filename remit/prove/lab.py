"""The stack that a campaign breaks: private servers, services behind proxies, and the means to hurt each of them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import httpx
import redis.asyncio as aioredis

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from remit.prove.proxy import Proxy
from shared.database import Database, open_database

WORKERS = ("fraud", "transfer", "ledger", "audit")
SERVICES = ("gateway", *WORKERS)
# How many of each there are; the gateways share every key.
INSTANCES: Mapping[str, int] = {"gateway": 2, "fraud": 1, "transfer": 1, "ledger": 1, "audit": 1}

# By the scheme of a service's addresses: the server behind them.
_SERVER_OF = {"postgresql": "postgres", "postgres": "postgres", "redis": "redis", "amqp": "rabbitmq"}
_HTTP_TIMEOUT_S = 10.0


class Lab:
    """One private Remit. Every service meets each server through a proxy of its own."""

    def __init__(
        self, stack: Stack, proxies: Mapping[tuple[str, str], Proxy], owner: Database, planted: Mapping[str, str]
    ) -> None:
        self.stack = stack
        self.proxies = proxies
        self._planted = planted
        # The whole database, as its owner, past the proxies.
        self.owner = owner
        self._locks: dict[str, asyncio.Lock] = {}
        # Bodies that a nemesis has put on a queue and that must be parked, each by its marker.
        self.planted: list[str] = []

    @property
    def env(self) -> Mapping[str, str]:
        """Where everything is, past the proxies."""
        return self.stack.env

    def proxy(self, service: str, server: str) -> Proxy:
        """The one between a service and a server."""
        return self.proxies[service, server]

    def gateway_urls(self) -> list[str]:
        """Where clients call."""
        return [self.stack.service_url("gateway", n + 1) for n in range(INSTANCES["gateway"])]

    def fallen(self) -> list[str]:
        """The instances that should run and do not: none of them may die by itself."""
        names = (f"{service}-{n + 1}" if n else service for service, count in INSTANCES.items() for n in range(count))
        return [name for name in names if self.stack.pid(name) is None]

    async def start(self, service: str, n: int = 1) -> None:
        """Starts an instance and waits until it is ready."""
        overrides = self._overrides(service)
        async with self._lock(f"{service}-{n}"):
            await asyncio.to_thread(self.stack.start_service, service, n, overrides)

    async def stop(self, service: str, signal_number: int = signal.SIGTERM, n: int = 1) -> None:
        """Ends an instance, in its own clean way or by a signal, and waits until it is gone."""
        async with self._lock(f"{service}-{n}"):
            await asyncio.to_thread(self.stack.stop_service, service, signal_number, n)

    def signal(self, process: str, signal_number: int) -> None:
        """Sends a signal to a server or an instance (`gateway-2`), and waits for nothing."""
        self.stack.signal(process, signal_number)

    async def stop_server(self, name: str, signal_number: int | None = None) -> None:
        """Ends a server, in its own clean way or by a signal."""
        async with self._lock(name):
            await asyncio.to_thread(self.stack.stop_server, name, signal_number)

    async def wipe_server(self, name: str) -> None:
        """Kills a server and loses all its data."""
        async with self._lock(name):
            await asyncio.to_thread(self.stack.stop_server, name, signal.SIGKILL)
            await asyncio.to_thread(self.stack.wipe_server, name)

    async def start_server(self, name: str) -> None:
        """Starts a server and waits until it answers."""
        async with self._lock(name):
            await asyncio.to_thread(self.stack.start_servers, [name])

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[aioredis.Redis]:
        """The lab's Redis, past the proxies."""
        client = aioredis.Redis.from_url(self.env["REMIT_REDIS_URL"])
        try:
            yield client
        finally:
            await client.aclose()

    @asynccontextmanager
    async def management(self) -> AsyncIterator[httpx.AsyncClient]:
        """The broker's HTTP API, as its administrator."""
        async with httpx.AsyncClient(
            base_url=self.env["REMIT_AMQP_MANAGEMENT_URL"], timeout=_HTTP_TIMEOUT_S, trust_env=False
        ) as client:
            yield client

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _overrides(self, service: str) -> dict[str, str]:
        """The service's addresses, each through its proxy, and how workers of a kind share."""
        settings = self.stack.service_settings(service)
        through = {
            name: _through(value, self.proxies[service, server].port)
            for name, value in settings.items()
            if name.endswith("_URL") and (server := _SERVER_OF.get(urlsplit(value).scheme))
        }
        # Where there are two of a kind, both shall work.
        turns = {f"REMIT_{service.upper()}_CONSUMER_PRIORITY": "0"} if service in WORKERS else {}
        return {**through, **turns, **self._planted}


@asynccontextmanager
async def open_lab(
    settings: Mapping[str, str], *, planted: Mapping[str, str], damage: Sequence[str]
) -> AsyncIterator[Lab]:
    """A lab with everything running; nothing of it is left afterwards. What is `planted` and `damage`: see `Plan`."""
    async with AsyncExitStack() as exits:
        stack = exits.enter_context(temporary_stack(durable=True, settings=settings))
        await asyncio.to_thread(stack.start_servers)
        await asyncio.to_thread(stack.migrate)
        proxies = {
            (service, server): await exits.enter_async_context(Proxy(*_place(stack, server)).running())
            for service in SERVICES
            for server in ("postgres", "redis", "rabbitmq")
        }
        owner = await exits.enter_async_context(open_database(stack.env["REMIT_POSTGRES_URL"], name="remit prove"))
        for statement in damage:
            await owner.fetch(statement)
        lab = Lab(stack, proxies, owner, planted)
        for service, count in INSTANCES.items():
            for n in range(count):
                await lab.start(service, n + 1)
        yield lab


def _place(stack: Stack, server: str) -> tuple[str, int]:
    parts = urlsplit(stack.servers.url(server))
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"the address of {server} names no host and port")
    return parts.hostname, parts.port


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))
