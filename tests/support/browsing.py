"""What a browser sends for a page of the console, without a browser: the session's cookie and the proofs of origin."""

from __future__ import annotations

from typing import Any

import httpx

SESSION = "/api/v1/auth/session"


class Page:
    """A page of a gateway in some browser; nothing but what it is told to send is sent."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.origin = str(client.base_url).rstrip("/")
        self.cookie = ""

    def proofs(self, method: str) -> dict[str, str]:
        """What a browser adds for a page of the same origin, and what the page adds itself."""
        origin = {} if method in {"GET", "HEAD"} else {"Origin": self.origin}
        return {"X-Remit-Console": "1", "Sec-Fetch-Site": "same-origin", **origin}

    def call(self, method: str, path: str, *, without: str = "", **arguments: Any) -> httpx.Response:
        """A request as the page sends it, `without` one of its headers, or with others."""
        headers = {**self.proofs(method), **({"Cookie": self.cookie} if self.cookie else {})}
        headers |= arguments.pop("headers", {})
        headers.pop(without, None)
        # The jar would add what a real browser keeps back.
        self._client.cookies.clear()
        answer = self._client.request(method, path, headers=headers, **arguments)
        self._client.cookies.clear()
        return answer

    def log_in(self, email: str, password: str, **arguments: Any) -> httpx.Response:
        """Keeps the cookie as a browser does."""
        answer = self.call("POST", SESSION, json={"email": email, "password": password}, **arguments)
        self.cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
        return answer
