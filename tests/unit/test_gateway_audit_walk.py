"""A walk over the audit log as an operator watches it: how far it is, what it found, and that it ends with him."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from services.gateway.errors import Overloaded
from services.gateway.http.streams import Events
from services.gateway.identity.callers import Caller
from services.gateway.reads import audit_walk
from services.gateway.reads.audit_log import AuditLogReads
from services.gateway.reads.audit_walk import AuditWalks, WalkProgress
from services.gateway.routes.audit import WATCHES_MAX, AuditRoutes
from shared.audit_chain.chain import Archive
from shared.audit_chain.stream import CheckpointStream, Sent, StreamUnavailable
from shared.audit_chain.walk import Log, Page, Verification
from shared.contracts.base import Context
from shared.contracts.gateway import ActivityRecorded
from shared.errors import TransientError
from tests.support.waiting import eventually
from tests.unit.test_audit_walk import MemoryLog, archive, good, without


class HeldLog(MemoryLog):
    """Its pages are given when they are let go; `walks` are those that were begun."""

    def __init__(self, **log: Any) -> None:
        super().__init__(**log)
        self.let_go = asyncio.Event()
        self.walks = 0

    async def has_begun(self) -> bool:
        return self.walks > 0

    async def archives(self) -> Sequence[Archive]:
        self.walks += 1
        return await super().archives()

    async def page(self, after_seq: int, until_seq: int) -> Page:
        await self.let_go.wait()
        return await super().page(after_seq, until_seq)


class BrokenLog(MemoryLog):
    """Its database goes away."""

    async def page(self, after_seq: int, until_seq: int) -> Page:
        raise TransientError("gone")


class Told:
    """What was sent to the stream: nothing, or nobody can tell."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self._is_gone = is_gone

    async def read(self) -> Mapping[int, Sent]:
        if self._is_gone:
            raise StreamUnavailable
        return {}


def walks(log: Log, **told: bool) -> AuditWalks:
    return AuditWalks(log, cast("CheckpointStream", Told(**told)))


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits here."""
    monkeypatch.setattr(audit_walk, "_TOLD_EVERY_S", 0.01)


async def test_a_walk_tells_where_it_is_and_then_what_it_found() -> None:
    steps = [step async for step in await walks(MemoryLog(archives=[archive(1, 2)], rows=without(1, 2))).begin()]
    assert steps[0] == WalkProgress(walked=0, total=None)
    assert steps[-2:] == [WalkProgress(walked=6, total=6), good(4, 2)]


async def test_one_walks_at_a_time_and_the_next_one_is_told_that_it_waits() -> None:
    log = HeldLog()
    together = walks(log)
    first, second = await together.begin(), await together.begin()
    await anext(first)
    while (step := await anext(first)) != WalkProgress(walked=0, total=6):
        assert step == WalkProgress(walked=0, total=None)
    assert [await anext(second) for _ in range(3)] == [WalkProgress(walked=0, total=None)] * 3
    assert log.walks == 1
    log.let_go.set()
    assert [step async for step in first][-1] == good(6)
    assert [step async for step in second][-1] == good(6)


async def test_a_walk_that_nobody_watches_any_more_is_given_up_and_gives_its_turn_back() -> None:
    log = HeldLog()
    together = walks(log)
    watched = await together.begin()
    await anext(watched)
    await eventually(log.has_begun)
    await watched.aclose()
    log.let_go.set()
    assert await together.verify() == good(6)


async def test_a_log_that_goes_away_breaks_the_walk_off_without_a_finding() -> None:
    steps = await walks(BrokenLog()).begin()
    with pytest.raises(TransientError, match="gone"):
        assert [step async for step in steps if isinstance(step, Verification)] == []


async def test_nothing_is_begun_where_nobody_can_tell_what_was_sent() -> None:
    with pytest.raises(StreamUnavailable):
        await walks(MemoryLog(), is_gone=True).begin()


class Anyone:
    """An operator, for as long as he `is_one`, and a log that takes whatever is told."""

    def __init__(self) -> None:
        self.is_one = True

    async def admin(self, _: Request) -> Caller:
        return cast("Caller", SimpleNamespace(context=Context(request_id="watch")))

    async def stands(self, _: Caller) -> bool:
        return self.is_one

    async def tell(self, _: ActivityRecorded) -> None:
        pass


def routes_of(anyone: Any, stop: asyncio.Event) -> AuditRoutes:
    """Over a log whose walk does not end."""
    return AuditRoutes(anyone, cast("AuditLogReads", None), walks(HeldLog()), anyone, stop)


async def opened(routes: AuditRoutes) -> Events:
    return cast("Events", await routes.watch(Request({"type": "http", "method": "GET", "headers": []})))


def parts_of(answer: Events) -> AsyncGenerator[bytes]:
    return cast("AsyncGenerator[bytes]", answer.body_iterator)


async def test_watches_are_bounded_and_a_place_is_free_again_when_its_watcher_has_gone() -> None:
    routes = routes_of(Anyone(), asyncio.Event())
    held = [await opened(routes) for _ in range(WATCHES_MAX)]
    assert {await anext(parts_of(answer)) for answer in held} == {
        b'event: progress\ndata: {"walked":0,"total":null}\n\n'
    }
    with pytest.raises(Overloaded):
        await opened(routes)
    await held[0].aclose()
    assert await anext(parts_of(await opened(routes)))


@pytest.mark.parametrize("what", ["the operator", "the gateway"])
async def test_a_watch_ends_with_whoever_watches_and_with_the_gateway(what: str) -> None:
    """Nothing was found out then, and nobody waits for the rest of the walk."""
    anyone, stop = Anyone(), asyncio.Event()
    watch = parts_of(await opened(routes_of(anyone, stop)))
    assert (await anext(watch)).startswith(b"event: progress")
    if what == "the operator":
        anyone.is_one = False
    else:
        stop.set()
    assert [part async for part in watch] == [b"event: end\ndata: {}\n\n"]
