"""What an answer is written in: head and body in one piece, nothing held longer than a turn, and all in order."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from shared.http import JoiningTransport

_LARGE = b"x" * 1_000_000


class Wire:
    """Notes each write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def joining(wire: Wire) -> JoiningTransport:
    return JoiningTransport(cast("Any", wire), asyncio.get_running_loop())


async def test_a_head_and_its_body_are_one_write(wire: Wire, joining: JoiningTransport) -> None:
    for _ in range(2):
        joining.write(b"head ")
        joining.write(b"body")
    assert wire.written == [b"head body"] * 2
    await asyncio.sleep(0)
    assert wire.written == [b"head body"] * 2


async def test_a_head_alone_goes_out_in_the_next_turn(wire: Wire, joining: JoiningTransport) -> None:
    joining.write(b"head")
    assert wire.written == []
    await asyncio.sleep(0)
    assert wire.written == [b"head"]


async def test_much_is_not_copied_and_keeps_its_place(wire: Wire, joining: JoiningTransport) -> None:
    for part in (b"head", _LARGE, b"tail"):
        joining.write(part)
    await asyncio.sleep(0)
    assert wire.written == [b"head", _LARGE, b"tail"]
    assert wire.written[1] is _LARGE


async def test_what_is_held_goes_before_the_end(wire: Wire, joining: JoiningTransport) -> None:
    joining.write(b"last")
    joining.close()
    assert (wire.written, wire.is_closed, joining.is_closing()) == ([b"last"], True, True)
    await asyncio.sleep(0)
    assert wire.written == [b"last"]


async def test_a_cut_sends_nothing_more(wire: Wire, joining: JoiningTransport) -> None:
    joining.write(b"unsent")
    joining.abort()
    await asyncio.sleep(0)
    assert wire.written == []
