"""Who is in the lab: customers with money, one whose transfers show when things work again, the operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx

from remit.prove.clients import CURRENCY, Bank, Person
from remit.prove.workload import Population
from services.gateway.domain import ids
from shared.money import to_text

# What accounts hold in the beginning, minor units: enough to be spent for a while, too little for ever.
_OPENING_MINOR = 2_000_000
# The rich can afford what the limit for one transfer allows, and so meet the daily limit.
_RICH_MINOR = 400_000_000
_PASSWORD = "correct horse battery"  # noqa: S105 - of people who live for minutes, on loopback
_PROBE_TIMEOUT_S = 3.0


async def populate(
    http: httpx.AsyncClient, env: Mapping[str, str], population: Population
) -> tuple[Bank, dict[UUID, int], list[UUID]]:
    """The bank, what each account holds, and the transfers that brought it there."""
    operator = await _logged_in(http, env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"])
    customers = [await _registered(http, f"customer-{n}@prove.local") for n in range(population.customers)]
    prober = await _registered(http, "prober@prove.local")
    accounts: list[UUID] = []
    opening: dict[UUID, int] = {}
    made: list[UUID] = []
    for n, customer in enumerate(customers):
        for _ in population.accounts_of(n):
            accounts.append(await _account(http, customer))
            opening[accounts[-1]] = _RICH_MINOR if n in population.rich else _OPENING_MINOR
    probed = (await _account(http, prober), await _account(http, prober))
    for account, minor in {**opening, probed[0]: _OPENING_MINOR}.items():
        made.append(await _deposit(http, operator, account, minor))
    bank = Bank(operator=operator, customers=customers, accounts=accounts, prober=prober, probed=probed)
    return bank, opening, made


async def probe(http: httpx.AsyncClient, bank: Bank, key: str) -> tuple[UUID, bool]:
    """One small transfer under a fresh key: its id, and whether it was completed before the caller lost patience."""
    source, to = bank.probed
    body = {"from_account_id": str(source), "to_account_id": str(to), "amount": "0.01", "currency": CURRENCY}
    headers = {"Idempotency-Key": key, "Prefer": "wait=2", **_bearer(bank.prober)}
    transfer_id = ids.transfer_id(bank.prober.user_id, ids.TRANSFERS, key)
    try:
        answer = await http.post("/api/v1/transfers", json=body, headers=headers, timeout=_PROBE_TIMEOUT_S)
    except httpx.TransportError:
        return transfer_id, False
    return transfer_id, answer.status_code == 201


async def _registered(http: httpx.AsyncClient, email: str) -> Person:
    body = {"email": email, "password": _PASSWORD, "full_name": "Somebody"}
    (await http.post("/api/v1/auth/register", json=body)).raise_for_status()
    return await _logged_in(http, email, _PASSWORD)


async def _logged_in(http: httpx.AsyncClient, email: str, password: str) -> Person:
    answer = await http.post("/api/v1/auth/login", json={"email": email, "password": password})
    token = answer.raise_for_status().json()["access_token"]
    me = await http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    return Person(user_id=UUID(me.raise_for_status().json()["id"]), token=token)


async def _account(http: httpx.AsyncClient, person: Person) -> UUID:
    made = await _post(http, person, "/api/v1/accounts", {"name": "Main", "currency": CURRENCY}, {})
    return UUID(made["id"])


async def _deposit(http: httpx.AsyncClient, operator: Person, account: UUID, minor: int) -> UUID:
    body = {"account_id": str(account), "amount": to_text(minor, CURRENCY), "currency": CURRENCY}
    made = await _post(http, operator, "/api/v1/admin/deposits", body, {"Idempotency-Key": f"opening-{account}"})
    return UUID(made["id"])


async def _post(
    http: httpx.AsyncClient, person: Person, path: str, body: dict[str, str], headers: dict[str, str]
) -> dict[str, Any]:
    answer = await http.post(path, json=body, headers={**headers, **_bearer(person)})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def _bearer(person: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {person.token}"}
