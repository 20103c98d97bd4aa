"""One call, carried to its end: token, key, retries, problem documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

import httpx
import msgspec

from remit.client.errors import UnexpectedAnswer, Unreachable, error_of, problem_of
from remit.client.models import Token
from remit.client.retry import Fate, Patience, after_answer, after_loss, retry_after_s
from shared.errors import RemitError

Value = TypeVar("Value")

# A token is renewed when less than this part of its life is left.
_RENEW_BELOW = 0.2
# Nothing of the request can have left when one of these is raised.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who the client is. The password stays out of every representation."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the API. `repeatable`: doing it twice is doing it once."""

    method: str
    path: str
    body: bytes | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    authenticated: bool = True

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.parameters)}" if self.parameters else self.path


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer below 400."""

    status: int
    body: bytes
    location: str | None
    retry_after_s: float | None

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
class Trouble:
    """A try that gave no answer below 400, what to do now, and how long the server asked us to wait."""

    fate: Fate
    error: RemitError
    asked_s: float | None = None


class Session:
    """Carries calls over one HTTP client, as one user."""

    def __init__(self, http: httpx.AsyncClient, credentials: Credentials | None, patience: Patience) -> None:
        self._http = http
        self._credentials = credentials
        self._patience = patience
        self._token: str | None = None
        self._renew_at_s = 0.0
        self._logging_in = asyncio.Lock()

    async def carry(self, call: Call) -> Reply:
        """The answer of `call`, after as many tries as are right.

        Raises:
            ApiError: the API refused it.
            Unreachable: no answer, or none but "not now", for as long as our patience lasts.
        """
        deadline_s = time.monotonic() + self._patience.give_up_after_s
        attempt, renewed = 0, False
        while True:
            attempt += 1
            token = await self._current_token() if call.authenticated else None
            outcome = await self._try(call, token, token_is_fresh=renewed or token is None)
            if isinstance(outcome, Reply):
                return outcome
            if outcome.fate is Fate.FAIL:
                raise outcome.error
            if outcome.fate is Fate.RENEW_TOKEN:
                renewed = True
                self._forget(token)
                continue
            pause_s = self._patience.pause_s(attempt, outcome.asked_s)
            if time.monotonic() + pause_s > deadline_s:
                raise Unreachable(f"{call.method} {call.path}: {outcome.error} (tried {attempt} times)")
            await asyncio.sleep(pause_s)

    async def _try(self, call: Call, token: str | None, *, token_is_fresh: bool) -> Reply | Trouble:
        try:
            response = await self._send(call, token)
        except httpx.TransportError as error:
            fate = after_loss(was_sent=not isinstance(error, _NEVER_SENT), repeatable=call.repeatable)
            may_be_done = "; it may have been done" if fate is Fate.FAIL else ""
            lost = f"no answer from {self._http.base_url} ({type(error).__name__}){may_be_done}"
            return Trouble(fate=fate, error=Unreachable(lost))
        if response.status_code < 400:
            return _reply(response)
        problem = problem_of(response.status_code, response.content)
        fate = after_answer(problem.status, problem.code, repeatable=call.repeatable, token_is_fresh=token_is_fresh)
        return Trouble(fate=fate, error=error_of(problem), asked_s=retry_after_s(response.headers.get("Retry-After")))

    async def _send(self, call: Call, token: str | None) -> httpx.Response:
        headers = dict(call.headers)
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self._http.request(call.method, call.target, content=call.body, headers=headers)

    async def _current_token(self) -> str | None:
        if self._credentials is None:
            return None
        async with self._logging_in:
            if self._token is None or time.monotonic() >= self._renew_at_s:
                await self._log_in(self._credentials)
            return self._token

    async def _log_in(self, credentials: Credentials) -> None:
        body = msgspec.json.encode({"email": credentials.email, "password": credentials.password})
        reply = await self.carry(Call(method="POST", path="/api/v1/auth/login", body=body, authenticated=False))
        token = reply.read(Token)
        self._token = token.access_token
        self._renew_at_s = time.monotonic() + token.expires_in * (1 - _RENEW_BELOW)

    def _forget(self, token: str | None) -> None:
        # Another call may have renewed it meanwhile; that one stays.
        if self._token == token:
            self._token = None


def _reply(response: httpx.Response) -> Reply:
    return Reply(
        status=response.status_code,
        body=response.content,
        location=response.headers.get("Location"),
        retry_after_s=retry_after_s(response.headers.get("Retry-After")),
    )
