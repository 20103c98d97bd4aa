"""Many at once over HTTP: opposing transfers all end, and a statement can be read while it grows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.stack import Stack
from tests.support.bank import Bank, Session
from tests.support.metrics import scrape

_PAIRS = 200
_CLIENTS = 8
# So many at once: below what a gateway holds in hand by default (256), so that none of them is refused.
_AT_ONCE = 160
_TURNS = {"REMIT_TRANSFER_CONSUMER_PRIORITY": "0"}
_NO_COUNTS = {"REMIT_FRAUD_MAX_HOURLY_COUNT": "off", "REMIT_FRAUD_MAX_DAILY_COUNT": "off"}


@pytest.fixture
def workers(stack: Stack) -> Iterator[None]:
    """Two transfer workers in turn, and nobody's transfers counted: here two people make more than anybody may."""
    stack.stop_service("fraud")
    stack.start_service("fraud", overrides=_NO_COUNTS)
    stack.stop_service("transfer")
    for n in (1, 2):
        stack.start_service("transfer", n, _TURNS)
    yield
    stack.stop_service("transfer", n=2)
    for service in ("fraud", "transfer"):
        stack.stop_service(service)
        stack.start_service(service)


async def _at_once(bank: Bank, calls: Sequence[tuple[Session, dict[str, str]]]) -> list[httpx.Response]:
    """The answers to all of these transfers, as many at once as may be."""
    limits = httpx.Limits(max_connections=_AT_ONCE // _CLIENTS)
    async with AsyncExitStack() as opened:
        # Several, because one looks through all its connections for each of its requests.
        clients = [
            await opened.enter_async_context(
                httpx.AsyncClient(base_url=bank.client.base_url, timeout=httpx.Timeout(60, pool=None), limits=limits)
            )
            for _ in range(_CLIENTS)
        ]
        asked = (_ask(clients[n % _CLIENTS], *call) for n, call in enumerate(calls))
        return list(await asyncio.gather(*asked))


async def _ask(client: httpx.AsyncClient, session: Session, body: dict[str, str]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {session.token}", "Idempotency-Key": str(uuid4()), "Prefer": "wait=30"}
    return await client.post("/api/v1/transfers", json=body, headers=headers)


async def test_two_hundred_opposing_pairs_at_once_all_end(bank: Bank, workers: None) -> None:
    """Both directions between two accounts: no deadlock, so no retry; no lost update, so exact balances."""
    alice, bob = bank.customer("Alice"), bank.customer("Bob")
    one, other = bank.funded(alice, "100.00"), bank.funded(bob, "100.00")
    there = {"from_account_id": one, "to_account_id": other, "amount": "0.03", "currency": "USD"}
    back = {"from_account_id": other, "to_account_id": one, "amount": "0.02", "currency": "USD"}
    answers = await _at_once(bank, [(alice, there), (bob, back)] * _PAIRS)
    ends = [(a.status_code, a.json().get("code"), a.json().get("retry_count")) for a in answers]
    assert set(ends) == {(201, None, 0)}
    assert len({answer.json()["id"] for answer in answers}) == 2 * _PAIRS
    assert (alice.balance(one), bob.balance(other)) == ("98.00", "102.00")
    for account in (one, other):
        verified = bank.verified(account)
        assert (verified["status"], verified["entries"]) == ("verified", 2 * _PAIRS + 1)


def test_of_two_workers_started_as_they_are_one_does_it_all(stack: Stack, bank: Bank) -> None:
    """Each draws its own place in the order; the other one stands by."""

    def settled() -> list[float]:
        pages = (scrape(stack.service_url("transfer", n)) for n in (1, 2))
        return [page.sum("remit_batch_items_sum", queue="transfer.screened") for page in pages]

    alice = bank.customer("Alice")
    source, to = bank.funded(alice), alice.open_account()
    stack.start_service("transfer", 2)
    try:
        before = settled()
        for _ in range(10):
            assert alice.transfer(source, to).status_code == 201
        assert sorted(now - then for now, then in zip(settled(), before, strict=True)) == [0, 10]
    finally:
        stack.stop_service("transfer", n=2)


def _deposits(bank: Bank, account: str, count: int) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: bank.deposit(account, "1.00"), range(count))
        assert {answer.status_code for answer in answers} == {201}


def test_a_statement_is_read_page_by_page_while_entries_arrive(bank: Bank) -> None:
    """All that was there at the first page comes once, newest first, and nothing that came since is among it."""
    owner = bank.customer()
    account = bank.funded(owner, "1.00")
    _deposits(bank, account, 30)
    at_least = bank.verified(account)["ledger_position"]
    with ThreadPoolExecutor(1) as pool:
        arriving = pool.submit(_deposits, bank, account, 60)
        page = owner.get(f"/accounts/{account}/entries", limit="3")
        entries: list[dict[str, Any]] = list(page["items"])
        while page["next_cursor"] is not None:
            # One at the least between any two pages.
            assert bank.deposit(account, "1.00").status_code == 201
            page = owner.get(f"/accounts/{account}/entries", limit="3", cursor=page["next_cursor"])
            entries += page["items"]
        arriving.result()
    top = entries[0]["account_seq"]
    assert top >= at_least
    assert [entry["account_seq"] for entry in entries] == list(range(top, 0, -1))
    assert len({entry["id"] for entry in entries}) == top
    for newer, older in pairwise(entries):
        assert Decimal(newer["balance_before"]) == Decimal(older["balance_after"])
    verified = bank.verified(account)
    assert verified["status"] == "verified"
    assert verified["ledger_position"] >= top + 10, "entries did arrive meanwhile"
