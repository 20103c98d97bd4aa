"""Answers that are streamed: files, whole or visibly broken off; events, for as long as somebody listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from services.gateway.domain import bodies
from services.gateway.errors import Overloaded

# A client that takes nothing for so long has gone, whatever its connection says.
SEND_TIMEOUT_S = 30.0

EVENT_STREAM = "text/event-stream"

Found = TypeVar("Found")


class Places:
    """How many answers of one kind a gateway makes at a time; `said` tells a caller for whom there is no place why."""

    def __init__(self, places: int, said: str) -> None:
        self._free = places
        self._said = f"{places} {said}"

    @contextmanager
    def taken(self) -> Iterator[Place]:
        """A place for the answer that is made in this block, from now on: nobody else can come in between.

        Raises:
            Overloaded: there is none.
        """
        if self._free == 0:
            raise Overloaded(self._said)
        self._free -= 1
        place = Place(self._back)
        try:
            yield place
        finally:
            if not place.is_kept:
                place.give_back()

    def _back(self) -> None:
        self._free += 1


class Place:
    """One of them, given back once."""

    def __init__(self, back: Callable[[], None]) -> None:
        self._back: Callable[[], None] | None = back
        self.is_kept = False

    def kept_by(self, answer: Stream) -> Stream:
        """The answer, which has the place from now on."""
        answer.keep(self)
        self.is_kept = True
        return answer

    def give_back(self) -> None:
        """Again is no matter."""
        if self._back is not None:
            self._back()
            self._back = None


class Stream(StreamingResponse):
    """An answer made while it is sent.

    Where making it fails, the error goes up to the server, which closes the connection without the last chunk: over
    HTTP/1.1 no client takes that for the end (RFC 9112, 8).
    """

    def __init__(self, parts: AsyncGenerator[bytes], media_type: str) -> None:
        super().__init__(parts, headers={"Content-Type": media_type})
        self._parts = parts
        self._place: Place | None = None

    def keep(self, place: Place) -> None:
        """The place is given back when this answer has ended."""
        self._place = place

    async def aclose(self) -> None:
        """Ends the answer, however far it has come."""
        await self._parts.aclose()
        if self._place is not None:
            self._place.give_back()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)

        async with aclosing(self):
            await super().__call__(scope, receive, send_in_time)


class Download(Stream):
    """A file."""

    def __init__(self, parts: AsyncGenerator[bytes], *, media_type: str, filename: str) -> None:
        super().__init__(parts, media_type)
        self.headers["Content-Disposition"] = f'attachment; filename="{filename}"'


class Events(Stream):
    """Server-sent events (WHATWG HTML, 9.2); no proxy may hold them back."""

    def __init__(self, parts: AsyncGenerator[bytes]) -> None:
        super().__init__(parts, EVENT_STREAM)
        self.headers["X-Accel-Buffering"] = "no"


def event(name: str, body: Any) -> bytes:
    """One event; JSON has no line breaks of its own here."""
    return b"".join((b"event: ", name.encode(), b"\ndata: ", bodies.encode(body), b"\n\n"))


async def found_at_last(
    steps: AsyncGenerator[Any], found: type[Found], goes_on: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes]:
    """Events `progress`, then one `result`, which is of the type `found`, then `end`; without a result where `goes_on`
    says so. Where finding fails, the stream breaks off."""
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, found):
                yield event("result", step)
            elif await goes_on():
                yield event("progress", step)
            else:
                break
    yield event("end", {})


async def nothing_sent() -> AsyncGenerator[bytes]:
    """What HEAD is answered with."""
    no_parts: tuple[bytes, ...] = ()
    for part in no_parts:
        yield part
