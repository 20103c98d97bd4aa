"""What goes over the wire and what comes back, as values, and what a flow may ask of whoever drives it.

A flow is a generator: it yields what it wants done, is sent what came of it, and returns its result. So each decision
stands once, without I/O, for callers that await and for callers that block.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec

from remit.client.errors import UnexpectedAnswer

Value = TypeVar("Value")
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who the client is. The password stays out of every representation."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the API. `repeatable`: doing it twice is doing it once; `changes`: it does more than read;
    `items_keyed`: it has no key of its own, and each of its items has one.

    `wait_s`: how long the API may wait for an end before it answers "pending", 0 for not at all, None where the call
    knows no such thing. `slow_s`: what the answer may take beyond the usual.
    """

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    items_keyed: bool = False
    wait_s: int | None = None
    slow_s: float = 0.0
    repeatable: bool = True
    changes: bool = True
    authenticated: bool = True
    streamed: bool = False

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.parameters)}" if self.parameters else self.path

    @property
    def is_keyed(self) -> bool:
        """Whether the API knows what this call did before, also if it was another try."""
        return self.key is not None or self.items_keyed


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer below 300. `stream` is the open response of a call that asked for one, whose `body` is empty."""

    status: int
    body: bytes = field(repr=False)
    location: str | None = None
    retry_after_s: float | None = None
    stream: Any = None

    def read(self, kind: type[Value]) -> Value:
        """The body as `kind`.

        Raises:
            UnexpectedAnswer: it is something else.
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnexpectedAnswer(f"the API answered something unexpected: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Send:
    """One try over the wire, wanted by a flow; it is sent a `Heard` or a `Lost`. No header stands in a log."""

    method: str
    target: str
    body: bytes | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float
    streamed: bool


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the API, or something in front of it, answered."""

    status: int
    headers: httpx.Headers
    body: bytes = field(repr=False)
    stream: Any = None


@dataclass(frozen=True, kw_only=True)
class Lost:
    """There was no answer. `was_sent`: something of the request may have left."""

    was_sent: bool
    reason: str


@dataclass(frozen=True)
class Pause:
    """A wait of so many seconds, wanted by a flow."""

    seconds: float


@dataclass(frozen=True)
class Alone:
    """A flow to be run while no other of this client's stands under `Alone`; the error that ended it is sent back."""

    flow: Generator[Any, Any, None]


@dataclass(frozen=True)
class Found(Generic[Item]):
    """What a flow that lists has found: for the caller, who may or may not want more."""

    item: Item


Step = Send | Pause | Alone
Flow = Generator[Step, Any, Value]
Listing = Generator[Step | Found[Item], Any, None]

_CONNECT_TIMEOUT_S = 5.0
# Nothing of the request can have left when one of these is raised.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# What the wire can do to a call. Its other errors are the program's, and go up as they are.
LOSSES = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    httpx.DecodingError,
)


def part(text: str) -> str:
    """A part of a path, which no text can leave."""
    return quote(text, safe="")


def timeouts_of(step: Send) -> httpx.Timeout:
    """What httpx may take for a try: a host that does not even connect is given up soon."""
    return httpx.Timeout(step.timeout_s, connect=min(step.timeout_s, _CONNECT_TIMEOUT_S))


def lost(error: httpx.RequestError) -> Lost:
    """An error of the wire as a fact, without what stands in the address beside the host."""
    where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    return Lost(was_sent=not isinstance(error, _NEVER_SENT), reason=f"from {where} ({type(error).__name__})")


def heard(response: httpx.Response, *, is_open: bool) -> Heard:
    """A response as a fact; `is_open`: its body has not been read."""
    return Heard(
        status=response.status_code,
        headers=response.headers,
        body=b"" if is_open else response.content,
        stream=response if is_open else None,
    )
