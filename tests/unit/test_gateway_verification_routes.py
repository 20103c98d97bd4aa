"""A verification of the whole book that is watched: bounded, and over with whoever watches it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.gateway.domain.ledger_verification import Verification
from services.gateway.errors import Overloaded
from services.gateway.http.streams import Events
from services.gateway.routes.verification import WALKS_MAX, VerificationRoutes

_REQUEST = cast("Any", SimpleNamespace(method="GET"))


class _Ledger:
    """A book of so many accounts whose walk waits until it is let go, or fails then."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.failure: Exception | None = None
        self.walks = 0

    async def count_accounts(self) -> int:
        return 7

    async def whole_book(self) -> AsyncIterator[list[Verification]]:
        self.walks += 1
        try:
            yield []
            await self.goes_on.wait()
            if self.failure is not None:
                raise self.failure
        finally:
            self.walks -= 1


class _Callers:
    """One operator, as long as he is one."""

    def __init__(self) -> None:
        self.is_operator = True

    async def admin(self, _: object) -> Any:
        return SimpleNamespace(context=None)

    async def stands(self, _: object) -> bool:
        return self.is_operator


class _Activities:
    """Takes whatever is told, in its own time."""

    def __init__(self) -> None:
        self.takes = asyncio.Event()
        self.takes.set()

    async def tell(self, _: object) -> None:
        await self.takes.wait()


class _House:
    """The routes, with what is around them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("services.gateway.routes.verification.activity", lambda *_, **__: None)
        monkeypatch.setattr("services.gateway.routes.verification._EVERY_S", 0.01)
        self.ledger, self.callers, self.stop = _Ledger(), _Callers(), asyncio.Event()
        self.activities = _Activities()
        self.routes = VerificationRoutes(
            cast("Any", self.callers), cast("Any", self.ledger), cast("Any", self.activities), self.stop
        )

    async def opened(self) -> Events:
        answer = await self.routes.events(_REQUEST)
        assert isinstance(answer, Events)
        return answer

    async def watch(self) -> AsyncGenerator[bytes]:
        return cast("AsyncGenerator[bytes]", (await self.opened()).body_iterator)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> _House:
    return _House(monkeypatch)


def _name(part: bytes) -> str:
    name, data, *_ = part.decode().splitlines()
    json.loads(data.removeprefix("data: "))
    return name.removeprefix("event: ")


async def test_progress_is_told_while_it_goes_on_and_then_the_result(house: _House) -> None:
    events = await house.watch()
    assert [_name(await anext(events)) for _ in range(3)] == ["progress"] * 3
    house.ledger.goes_on.set()
    rest = [_name(part) async for part in events]
    assert rest[-3:] == ["progress", "result", "end"]


async def test_so_many_are_made_at_a_time_and_a_place_is_free_when_its_reader_has_gone(house: _House) -> None:
    """Whether he has read of it or not."""
    held = [await house.opened() for _ in range(WALKS_MAX)]
    await anext(cast("AsyncGenerator[bytes]", held[0].body_iterator))
    for reader_gone in held[:2]:
        with pytest.raises(Overloaded):
            await house.opened()
        await reader_gone.aclose()
        await reader_gone.aclose()
        held.append(await house.opened())
    for answer in held:
        await answer.aclose()


async def test_a_burst_of_calls_gets_no_more_places_than_there_are(house: _House) -> None:
    house.activities.takes.clear()
    calls = [asyncio.create_task(house.opened()) for _ in range(WALKS_MAX + 2)]
    refused, _ = await asyncio.wait(calls, timeout=0.05)
    assert [type(call.exception()) for call in refused] == [Overloaded] * 2
    house.activities.takes.set()
    for call in set(calls) - refused:
        await (await call).aclose()


async def test_a_call_that_fails_gives_its_place_back(house: _House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails() -> int:
        raise OSError("away")

    with monkeypatch.context() as broken:
        broken.setattr(house.ledger, "count_accounts", fails)
        for _ in range(WALKS_MAX + 1):
            with pytest.raises(OSError, match="away"):
                await house.opened()
    await (await house.opened()).aclose()


async def test_nobody_reads_on_for_a_reader_who_has_gone(house: _House) -> None:
    events = await house.watch()
    for _ in range(2):
        await anext(events)
    assert house.ledger.walks == 1
    await events.aclose()
    assert house.ledger.walks == 0


async def test_who_is_no_operator_any_more_is_told_no_result(house: _House) -> None:
    events = await house.watch()
    await anext(events)
    house.callers.is_operator = False
    assert [_name(part) async for part in events] == ["end"]


async def test_a_gateway_that_leaves_waits_for_none(house: _House) -> None:
    events = await house.watch()
    await anext(events)
    house.stop.set()
    assert [_name(part) async for part in events] == ["end"]


async def test_what_cannot_be_read_breaks_the_stream_off(house: _House) -> None:
    """No reader takes half a book for the whole one."""
    events = await house.watch()
    await anext(events)
    house.ledger.failure = ConnectionError("gone")
    house.ledger.goes_on.set()
    with pytest.raises(ConnectionError):
        async for part in events:
            assert _name(part) == "progress"
