"""A Remit that answers from a script, a clock that moves by sleeping, and both clients on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from remit.client import AsyncClient, Client, Credentials, NewTransfer, Patience

ADA = Credentials(email="ada@example.com", password="secret of Ada")
TOKEN_LIFE_S = 900
TRANSFER = {
    "id": "t",
    "kind": "transfer",
    "status": "completed",
    "from_account_id": "a",
    "to_account_id": "b",
    "amount": "1.00",
    "currency": "USD",
}
ORDER = NewTransfer(from_account_id="a", to_account_id="b", amount="1.00", currency="USD")
PENDING = {**TRANSFER, "status": "pending"}

Kind = type[AsyncClient | Client]
Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def problem(status: int, code: str, retry_after: str | None = None, **more: object) -> httpx.Response:
    """A problem document."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(status, json={"status": status, "code": code, "title": code, **more}, headers=headers)


def completed() -> httpx.Response:
    """The answer to a transfer that is done."""
    return httpx.Response(201, json=TRANSFER)


def accepted(**headers: str) -> httpx.Response:
    """The answer to a transfer that is not."""
    return httpx.Response(202, json=PENDING, headers=headers)


class Time:
    """Seconds that pass while somebody sleeps, and at no other time."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        """Now."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """For callers that block."""
        self.slept.append(seconds)
        self.now_s += seconds

    async def pause(self, seconds: float) -> None:
        """For callers that await."""
        self.sleep(seconds)


class Api:
    """Answers from a script, the last line for ever, and keeps what it was asked. Logging in always works."""

    def __init__(self, *answers: Answer) -> None:
        self.answers: Sequence[Answer] = answers
        self.asked: list[httpx.Request] = []
        self.logins = 0
        self.time = Time()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/auth/login":
            self.logins += 1
            return httpx.Response(
                200, json={"access_token": f"token-{self.logins}", "token_type": "bearer", "expires_in": TOKEN_LIFE_S}
            )
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        said = answer(request) if callable(answer) else answer
        # A response belongs to the client that took it.
        return httpx.Response(said.status_code, headers=said.headers, content=said.content)

    def client(self, kind: Kind, **options: Any) -> Any:
        """A client of this API, on its clock, drawing always the same."""
        chosen = {"credentials": ADA, "patience": Patience(), "draw": lambda: 1.0, **options}
        sleep = self.time.pause if kind is AsyncClient else self.time.sleep
        transport: Any = httpx.MockTransport(self)
        made: Any = kind
        return made("http://remit.test", transport=transport, clock=self.time.clock, sleep=sleep, **chosen)


async def result(called: Any) -> Any:
    """What a call of either client comes to."""
    return await called if inspect.isawaitable(called) else called


async def listed(items: Any) -> list[Any]:
    """Everything that a list of either client holds."""
    return [item async for item in items] if hasattr(items, "__aiter__") else list(items)
