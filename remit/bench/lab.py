"""The stack that is measured: private, durable, every limit checked; only raised to what one machine can send."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from shared.database import Database, open_database

SERVERS = ("postgres", "rabbitmq", "redis")
SERVICES = ("gateway", "fraud", "transfer", "ledger", "audit")
SETTINGS: Mapping[str, str] = {
    # What processes cost is read from the kernel of this machine.
    "REMIT_INFRA": "local",
    # One address sends what ten thousand would.
    "REMIT_GATEWAY_IP_RATE_LIMIT": "100000",
    "REMIT_GATEWAY_IP_RATE_WINDOW_S": "10",
    "REMIT_GATEWAY_JWT_TTL_S": "86400",
    "REMIT_FRAUD_MAX_DAILY_AMOUNT": "1000000000000",
    "REMIT_FRAUD_MAX_HOURLY_COUNT": "100000000",
    "REMIT_FRAUD_MAX_DAILY_COUNT": "100000000",
}
_HTTP_TIMEOUT_S = 10.0
_BATCH_LINE = re.compile(r"^(remit_batch_items_(?:sum|count|bucket))\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_BOOKED_LINE = re.compile(r"^(?:remit_ledger_entries_total|remit_audit_rows_total\{.*\}) (\S+)$", re.MULTILINE)
_HELD_LINE = re.compile(r"^remit_held_transfers (\S+)$", re.MULTILINE)


class Batches:
    """The histogram of one queue's batches: how many there were of at most each size, and what they held in all."""

    def __init__(self) -> None:
        self.items = 0.0
        self.count = 0.0
        self.up_to: dict[float, float] = {}

    def since(self, before: Batches | None) -> Batches:
        """What was added."""
        if before is None:
            return self
        added = Batches()
        added.items, added.count = self.items - before.items, self.count - before.count
        added.up_to = {size: count - before.up_to.get(size, 0) for size, count in self.up_to.items()}
        return added

    @property
    def mean(self) -> float:
        """Items a batch."""
        return self.items / self.count if self.count else 0.0

    @property
    def largest(self) -> float:
        """A size that no batch exceeded, as closely as the histogram tells."""
        return min((size for size, count in self.up_to.items() if count >= self.count), default=0.0)


class Lab:
    """One private Remit."""

    def __init__(self, stack: Stack, owner: Database, http: httpx.AsyncClient) -> None:
        self.stack = stack
        # The whole database, as its owner.
        self.owner = owner
        self._http = http
        # How many of each service run.
        self.instances: dict[str, int] = dict.fromkeys(SERVICES, 0)

    @property
    def env(self) -> Mapping[str, str]:
        """Where everything is."""
        return self.stack.env

    async def start(self, service: str) -> None:
        """One more instance of a service, ready."""
        await asyncio.to_thread(self.stack.start_service, service, self.instances[service] + 1)
        self.instances[service] += 1

    async def stop(self, service: str) -> None:
        """One instance less, ended in its own clean way."""
        await asyncio.to_thread(self.stack.stop_service, service, n=self.instances[service])
        self.instances[service] -= 1

    def pids(self) -> dict[str, int]:
        """The main process of each server and instance."""
        found = {name: self.stack.pid(name) for name in (*SERVERS, *self.processes())}
        return {name: pid for name, pid in found.items() if pid is not None}

    def processes(self) -> list[str]:
        """The instances that run: `transfer`, `transfer-2`."""
        return [
            service if n == 1 else f"{service}-{n}"
            for service, count in self.instances.items()
            for n in range(1, count + 1)
        ]

    async def batches(self) -> dict[str, Batches]:
        """By queue, over all instances."""
        found: dict[str, Batches] = {}
        for text in await self._metrics(("fraud", "transfer", "ledger", "audit")):
            read_batches(text, found)
        return found

    async def booked(self) -> float:
        """Entries and audit rows written so far; it stands still when nothing is on its way any more."""
        return sum(float(value) for text in await self._metrics(("ledger", "audit")) for value in booked_in(text))

    async def held(self) -> float:
        """Transfers that the gateways have taken and not seen end."""
        return sum(float(value) for text in await self._metrics(("gateway",)) for value in _HELD_LINE.findall(text))

    async def _metrics(self, services: tuple[str, ...]) -> list[str]:
        urls = [
            f"{self.stack.service_url(service, n + 1)}/metrics"
            for service in services
            for n in range(self.instances[service])
        ]
        return [(await self._http.get(url)).raise_for_status().text for url in urls]


def read_batches(text: str, found: dict[str, Batches]) -> None:
    """Adds what one `/metrics` page says of batches."""
    for name, labels, value in _BATCH_LINE.findall(text):
        of = dict(_LABEL.findall(labels))
        batches = found.setdefault(of["queue"], Batches())
        match name:
            case "remit_batch_items_sum":
                batches.items += float(value)
            case "remit_batch_items_count":
                batches.count += float(value)
            case _:
                size = float(of["le"])
                batches.up_to[size] = batches.up_to.get(size, 0) + float(value)


def booked_in(text: str) -> list[str]:
    """The counters of a `/metrics` page that grow with each entry and each audit row."""
    return _BOOKED_LINE.findall(text)


@asynccontextmanager
async def open_lab() -> AsyncIterator[Lab]:
    """Servers and schemas; services are started by the caller. Nothing of it is left afterwards."""
    with temporary_stack(durable=True, settings=SETTINGS) as stack:
        await asyncio.to_thread(stack.start_servers)
        await asyncio.to_thread(stack.migrate)
        async with (
            open_database(stack.env["REMIT_POSTGRES_URL"], name="remit bench", connections_max=3) as owner,
            httpx.AsyncClient(timeout=_HTTP_TIMEOUT_S, trust_env=False) as http,
        ):
            yield Lab(stack, owner, http)
