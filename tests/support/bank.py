"""Remit as its clients see it: HTTP and nothing else."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import httpx

_WAIT_S = 20.0
_PASSWORD = "correct horse battery"


class Session:
    """A person with a token."""

    def __init__(self, client: httpx.Client, token: str, user: dict[str, Any]) -> None:
        self._client = client
        self.token = token
        self.user = user

    def call(self, method: str, path: str, *, key: str | None = None, **arguments: Any) -> httpx.Response:
        """One request under `/api/v1` with this person's token."""
        headers = {"Authorization": f"Bearer {self.token}", **arguments.pop("headers", {})}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self._client.request(method, f"/api/v1{path}", headers=headers, **arguments)

    def get(self, path: str, **parameters: str) -> Any:
        """The body of a GET that succeeds."""
        answer = self.call("GET", path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def open_account(self, currency: str = "USD", name: str = "Main") -> str:
        """The id of a new account."""
        answer = self.call("POST", "/accounts", json={"name": name, "currency": currency})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def balance(self, account: str) -> str:
        """An account's balance as a decimal string."""
        return str(self.get(f"/accounts/{account}")["balance"])

    def transfer(
        self, source: str, to: str, amount: str = "1.00", *, key: str | None = None, **more: Any
    ) -> httpx.Response:
        """A transfer call, under a fresh key unless one is given."""
        headers = more.pop("headers", {})
        body = {"from_account_id": source, "to_account_id": to, "amount": amount, "currency": "USD", **more}
        return self.call("POST", "/transfers", key=key or str(uuid4()), json=body, headers=headers)

    def batch(self, transfers: list[dict[str, Any]], *, key: str | None = None) -> httpx.Response:
        """A batch call."""
        return self.call("POST", "/transfers/batch", key=key or str(uuid4()), json={"transfers": transfers})


def _tell_of_failure(answer: httpx.Response) -> None:
    """A test that fails shows why the gateway could not answer, not only that it could not."""
    if answer.is_server_error:
        answer.read()
        print(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")


class Bank:
    """A running Remit and its operator."""

    def __init__(self, url: str, admin_email: str, admin_password: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=40, event_hooks={"response": [_tell_of_failure]})
        self.admin = self.login(admin_email, admin_password)

    def close(self) -> None:
        """Lets go of the connections."""
        self.client.close()

    def login(self, email: str, password: str = _PASSWORD) -> Session:
        """The session of somebody who is known."""
        answer = self.client.post("/api/v1/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        user = self.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}).json()
        return Session(self.client, token, user)

    def operator(self) -> Session:
        """Another operator, for a test that may end his session."""
        made = self.customer("Operator")
        answer = self.admin.call("PATCH", f"/admin/users/{made.user['id']}", json={"role": "admin"})
        assert answer.status_code == 200, answer.text
        return self.login(made.user["email"])

    def customer(self, name: str = "Somebody") -> Session:
        """A new customer, logged in."""
        email = f"{uuid4().hex}@example.com"
        body = {"email": email, "password": _PASSWORD, "full_name": name}
        answer = self.client.post("/api/v1/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        return self.login(email)

    def deposit(self, account: str, amount: str, *, key: str | None = None, currency: str = "USD") -> httpx.Response:
        """Money from outside, by the operator."""
        body = {"account_id": account, "amount": amount, "currency": currency}
        return self.admin.call("POST", "/admin/deposits", key=key or str(uuid4()), json=body)

    def funded(self, customer: Session, amount: str = "100.00") -> str:
        """A new account with money on it."""
        account = customer.open_account()
        answer = self.deposit(account, amount)
        assert answer.status_code == 201, answer.text
        return account

    def verified(self, account: str) -> dict[str, Any]:
        """The ledger's verification of an account, once it has caught up."""
        deadline = time.monotonic() + _WAIT_S
        while True:
            found: dict[str, Any] = self.admin.get(f"/admin/ledger/verify/{account}")
            if found["status"] != "catching_up" or time.monotonic() > deadline:
                return found
            time.sleep(0.05)
