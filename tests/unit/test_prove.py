"""The campaign's own judgement: what answers mean, what repeats from a seed, what is too much, what a proxy does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from remit.invariants import Status
from remit.prove.checks import Limits, ended_unasked, exceeded, works_again
from remit.prove.history import Fate, History, Told, Tracked, fate_of
from remit.prove.nemesis import NEMESES
from remit.prove.proxy import Proxy
from remit.prove.schedule import steps
from remit.prove.workload import Client, Intent, Item, Kind, Population

_POPULATION = Population(customers=5, accounts_each=2)
_ITEM = Item(source=1, to=2, amount_minor=100)
_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "has_transfer", "fate"),
    [
        (201, "", False, Fate.COMPLETED),
        (403, "transfer_blocked", True, Fate.REFUSED),
        (404, "account_not_found", True, Fate.REFUSED),
        (422, "insufficient_funds", True, Fate.REFUSED),
        (422, "validation_failed", False, Fate.NOT_BEGUN),
        (401, "unauthenticated", False, Fate.NOT_BEGUN),
        (429, "rate_limited", False, Fate.NOT_BEGUN),
        (503, "unavailable", False, Fate.NOT_BEGUN),
        (503, "overloaded", False, Fate.NOT_BEGUN),
        (503, "outcome_unknown", False, Fate.OPEN),
        (409, "request_in_progress", False, Fate.OPEN),
        (202, "", False, Fate.OPEN),
        (500, "internal_error", False, Fate.OPEN),
        (None, "", False, Fate.OPEN),
    ],
)
def test_an_answer_is_an_end_a_definite_no_or_open(
    status: int | None, code: str, has_transfer: bool, fate: Fate
) -> None:
    assert fate_of(status, code, has_transfer=has_transfer) is fate


@pytest.mark.parametrize(
    ("answers", "breach"),
    [
        ([(Fate.OPEN, 202), (Fate.COMPLETED, 201)], False),
        ([(Fate.NOT_BEGUN, 503), (Fate.OPEN, None), (Fate.REFUSED, 422)], False),
        ([(Fate.COMPLETED, 201), (Fate.NOT_BEGUN, 503), (Fate.OPEN, None), (Fate.COMPLETED, 201)], False),
        ([(Fate.COMPLETED, 201), (Fate.OPEN, 202)], True),
        ([(Fate.COMPLETED, 201), (Fate.REFUSED, 422)], True),
        ([(Fate.REFUSED, 403), (Fate.COMPLETED, 201)], True),
        ([(Fate.COMPLETED, 201), (Fate.NOT_BEGUN, 404)], True),
    ],
)
def test_an_end_that_is_taken_back_is_a_breach(answers: list[tuple[Fate, int | None]], breach: bool) -> None:
    history, transfer_id = _asked()
    for fate, status in answers:
        history.learn(transfer_id, fate, status, 0.0)
    assert bool(history.breaches) is breach


def test_only_what_was_refused_every_time_leaves_no_trace() -> None:
    history, transfer_id = _asked()
    history.learn(transfer_id, Fate.NOT_BEGUN, 503, 0.0)
    assert not history.items[transfer_id].may_exist
    assert not history.may_be_open("key")
    history.learn(transfer_id, Fate.OPEN, None, 0.0)
    assert history.may_be_open("key")
    history.learn(transfer_id, Fate.NOT_BEGUN, 503, 0.0)
    assert history.items[transfer_id].may_exist


@pytest.mark.parametrize(
    ("took_s", "fallen", "breach"),
    [(29.9, [], False), (30.0, [], True), (0.1, ["gateway-2"], True)],
    ids=["in time", "never", "a service that died by itself"],
)
def test_what_does_not_work_again_is_a_breach(took_s: float, fallen: list[str], breach: bool) -> None:
    result = works_again([("redis killed", 0.1), ("kill", took_s)], fallen, 30.0)
    assert (result.status is Status.BREACH) is breach


def test_other_bytes_for_the_same_key_are_a_breach() -> None:
    history, _ = _asked()
    history.heard("key", b"one")
    history.heard("key", b"one")
    assert history.breaches == []
    history.heard("key", b"another")
    assert len(history.breaches) == 1


def _asked() -> tuple[History, UUID]:
    intent = Intent(
        number=1, kind=Kind.TRANSFER, key="key", customer=0, items=(_ITEM,), polls=False, tries=1, repeats=False,
        alters=False,
    )  # fmt: skip
    history, transfer_id = History(), uuid4()
    history.calls["key"] = Told(intent=intent, transfer_ids=(transfer_id,))
    history.items[transfer_id] = Tracked(transfer_id=transfer_id, item=_ITEM, is_withdrawal=False)
    return history, transfer_id


def test_workload_and_faults_repeat_from_the_seed() -> None:
    def intents(seed: int) -> list[Intent]:
        return list(islice(Client(seed, 3, _POPULATION).intents(), 200))

    def faults(seed: int) -> list[Any]:
        schedule = steps(seed, list(NEMESES))
        return [schedule.next() for _ in range(60)]

    assert intents(7) == intents(7)
    assert intents(7) != intents(8)
    assert faults(7) == faults(7)
    assert faults(7) != faults(8)


def test_every_fault_is_alone_once_before_any_are_mixed() -> None:
    schedule = steps(1, list(NEMESES))
    first = [schedule.next() for _ in NEMESES]
    assert {step.faults[0].nemesis.name for step in first} == set(NEMESES)
    assert all(len(step.faults) == 1 for step in first)


@pytest.mark.parametrize("seed", range(20))
def test_no_two_faults_of_one_part_are_mixed(seed: int) -> None:
    """What may be lost at once is any one part: the promise goes no further."""
    schedule = steps(seed, list(NEMESES))
    mixed = [step for step in (schedule.next() for _ in range(200)) if len(step.faults) > 1]
    assert mixed
    for step in mixed:
        one, other = (planned.nemesis for planned in step.faults)
        assert not (one.touches and other.touches)


def test_a_workload_has_every_kind_and_every_end() -> None:
    intents = list(islice(Client(1, 0, _POPULATION).intents(), 2_000))
    assert {intent.kind for intent in intents} == set(Kind)
    transfers = [item for intent in intents if intent.kind is Kind.TRANSFER for item in intent.items]
    assert any(item.to is None for item in transfers)
    assert any(item.source == item.to for item in transfers)
    assert any(item.amount_minor > 100_000_000 for item in transfers)
    assert len({intent.key for intent in intents}) == len(intents)


def test_the_rich_meet_the_daily_limit_and_fail_often_on_the_way() -> None:
    """What failed must count for nothing: that can only be seen where limits are met soon, and much fails before."""
    population = Population(customers=5, accounts_each=2, rich=frozenset({1}))
    intents = islice(Client(1, 0, population).intents(), 400)
    own = set(population.accounts_of(1))
    large = [i for intent in intents for i in intent.items if i.source in own and i.amount_minor > 90_000_000]
    assert len(large) > 20
    assert 0.1 < sum(item.to is None for item in large) / len(large) < 0.6


class _Rows:
    """An owner's connection that has these rows, one look after the other."""

    def __init__(self, *looks: set[UUID]) -> None:
        self._looks = list(looks)

    async def fetch(self, _: str, asked: list[UUID]) -> list[dict[str, UUID]]:
        there = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return [{"id": one} for one in asked if one in there]


@pytest.mark.parametrize(("looks", "breaches"), [(0, 1), (1, 0)])
async def test_what_was_accepted_must_end_though_nobody_asks_again(looks: int, breaches: int) -> None:
    history, accepted = _asked()
    history.learn(accepted, Fate.OPEN, 202, 0.0)
    unknown = uuid4()
    history.items[unknown] = Tracked(transfer_id=unknown, item=_ITEM, is_withdrawal=False)
    history.learn(unknown, Fate.OPEN, 503, 0.0)
    lab: Any = SimpleNamespace(owner=_Rows(set(), *[{accepted}] * looks))
    result = await ended_unasked(lab, history, within_s=0.3)
    assert len(result.detail) == breaches


_LIMITS = Limits(max_minor=1_000, max_daily_minor=2_000, max_hourly_count=3, max_daily_count=5)


@pytest.mark.parametrize(
    ("decisions", "found"),
    [
        ([(0, 1_000, None), (1, 1_000, None)], []),
        ([(0, 1_001, None)], ["amount"]),
        ([(0, 1_000, None), (1, 1_000, None), (2, 1, None)], ["daily amount"]),
        ([(0, 1_000, 1), (2, 1_000, None), (3, 1_000, None)], []),
        ([(0, 1_000, 5), (2, 1_000, None), (3, 1_000, None)], ["daily amount"]),
        ([(n, 1, None) for n in range(4)], ["hourly count"]),
        ([(0, 1, None), (1, 1, None), (2, 1, None), (60, 1, None)], []),
        ([(n * 60, 1, None) for n in range(6)], ["daily count"]),
        ([(0, 1_000, None), (60, 1_000, None), (24 * 60, 1_000, None)], []),
    ],
)
def test_a_window_that_holds_too_much_is_named(decisions: list[tuple[int, int, int | None]], found: list[str]) -> None:
    """Minutes, minor units, minute of the release."""

    def at(minute: int | None) -> datetime | None:
        return None if minute is None else _NOON + timedelta(minutes=minute)

    rows = [
        {"transfer_id": n, "amount_minor": minor, "decided_at": at(minute), "released_at": at(released)}
        for n, (minute, minor, released) in enumerate(decisions)
    ]
    named = [line.partition(": ")[2].rpartition(" of ")[0].rpartition(" ")[0] for line in exceeded(rows, _LIMITS)]
    assert named == found


class _Echo:
    """A server that answers every chunk in upper case."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1_000):
            self.heard.append(data)
            writer.write(data.upper())
        writer.close()


@asynccontextmanager
async def _echo_behind_proxy() -> AsyncIterator[tuple[_Echo, Proxy]]:
    echo = _Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]).running() as proxy:
        yield echo, proxy


async def _said(proxy: Proxy, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(text)
        async with asyncio.timeout(20):
            return await reader.read(1_000)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_proxy_passes_what_it_is_given() -> None:
    async with _echo_behind_proxy() as (_, proxy):
        assert await _said(proxy, b"hello") == b"HELLO"


async def test_a_stalled_proxy_says_nothing_until_it_resumes() -> None:
    async with _echo_behind_proxy() as (echo, proxy):
        proxy.stall()
        asking = asyncio.create_task(_said(proxy, b"hello"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.shield(asking)
        assert echo.heard == []
        proxy.resume()
        assert await asking == b"HELLO"


async def test_a_commit_arrives_and_its_answer_does_not() -> None:
    async with _echo_behind_proxy() as (echo, proxy):
        proxy.commits_to_cut = 1
        assert await _said(proxy, b"BEGIN;\0") == b"BEGIN;\0"
        assert await _said(proxy, b"Q\0\0\0\x0cCOMMIT;\0") == b""
        assert echo.heard[-1].endswith(b"COMMIT;\0")
        assert proxy.commits_cut == 1
        assert await _said(proxy, b"Q\0\0\0\x0cCOMMIT;\0") != b""


async def test_a_cut_ends_what_is_open_and_a_refusal_what_is_new() -> None:
    async with _echo_behind_proxy() as (_, proxy):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        assert await reader.read(1_000) == b"HELLO"
        await proxy.cut()
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                assert await reader.readexactly(1)
        proxy.refusing = True
        assert await _said(proxy, b"hello") == b""
        writer.close()


async def test_a_proxy_with_several_places_takes_the_next_that_answers_until_it_is_turned_to_one() -> None:
    async with (
        _echo_behind_proxy() as (first, one),
        _echo_behind_proxy() as (second, other),
        Proxy("127.0.0.1", _nobody(), ("127.0.0.1", one.port), ("127.0.0.1", other.port)).running() as proxy,
    ):
        for _ in range(4):
            assert await _said(proxy, b"hello") == b"HELLO"
        assert first.heard
        assert second.heard
        first.heard.clear()
        second.heard.clear()
        proxy.turn_to("127.0.0.1", other.port)
        for _ in range(4):
            assert await _said(proxy, b"hello") == b"HELLO"
        assert (len(first.heard), len(second.heard)) == (0, 4)


def _nobody() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
