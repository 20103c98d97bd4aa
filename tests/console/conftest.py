"""A whole Remit with a day's work behind it, and people who look at it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright

from deploy.local.stack import Stack
from tests.console.browser import LOOKS, WIDE, Look, Visit, launched, visit
from tests.support.bank import Bank, Session
from tests.support.whole import SETTINGS, bank_of, whole_remit

Park = Callable[[str], str]
Visits = Callable[..., AbstractContextManager[Visit]]


@dataclass(frozen=True)
class History:
    """Ids of transfers that have ended, each in its own way."""

    completed: str
    blocked: str
    failed: str


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """All servers and services."""
    with whole_remit(SETTINGS) as stack:
        yield stack


@pytest.fixture(scope="session")
def bank(stack: Stack) -> Iterator[Bank]:
    """A running Remit and its operator."""
    with closing(bank_of(stack)) as bank:
        yield bank


@pytest.fixture(scope="session")
def customer(bank: Bank) -> Session:
    """Somebody with money to send."""
    return bank.customer("Ada Lovelace")


@pytest.fixture(scope="session")
def accounts(bank: Bank, customer: Session) -> tuple[str, str]:
    """His account with money on it, and an empty one."""
    return bank.funded(customer, "2500.00"), customer.open_account(name="Savings")


@pytest.fixture
def owner(bank: Bank) -> Session:
    """Somebody new, whose accounts no other test knows."""
    return bank.customer("Ada Lovelace")


@pytest.fixture
def account(bank: Bank, owner: Session) -> str:
    """An account of his with 2,500.00 USD on it."""
    return bank.funded(owner, "2500.00")


@pytest.fixture(scope="session")
def history(bank: Bank, customer: Session, accounts: tuple[str, str]) -> History:
    """Real transfers."""
    source, to = accounts
    sent = [customer.transfer(source, to, f"{n}.25", description=f"Invoice {n}").json() for n in range(1, 12)]
    blocked = customer.transfer(source, to, "1000000.01").json()
    failed = customer.transfer(source, to, "999999.00").json()
    assert (blocked["code"], failed["code"]) == ("transfer_blocked", "insufficient_funds")
    bank.verified(to)
    return History(completed=sent[0]["id"], blocked=blocked["transfer_id"], failed=failed["transfer_id"])


@pytest.fixture
def park(stack: Stack) -> Iterator[Park]:
    """Parks a letter in ledger as its worker does, with this text in the item; gives its id."""
    address, made = stack.env["REMIT_POSTGRES_URL"], list[str]()

    def parked(text: str) -> str:
        letter = str(uuid4())
        made.append(letter)
        row = (letter, "transfer.settled", "unparsable", "Object missing required field `status`", "ledger.settled")
        with psycopg.connect(address) as connection:
            statement = """
                INSERT INTO ledger.dead_letters (id, message_type, reason, detail, origin, item)
                VALUES (%s, %s, %s, %s, %s, %s)
            """
            connection.execute(statement, (*row, json.dumps({"transfer_id": text})))
        return letter

    yield parked
    with psycopg.connect(address) as connection:
        connection.execute("UPDATE ledger.dead_letters SET resolution = 'discarded', resolved_at = now() "
                           "WHERE id = ANY(%s::uuid[]) AND resolution IS NULL", (made,))  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture
def visits(browser: Browser, bank: Bank, stack: Stack) -> Visits:
    """Visits to the console, not logged in yet."""

    def at(look: Look = WIDE) -> AbstractContextManager[Visit]:
        return visit(browser, stack.service_url("gateway"), look)

    return at


def log_in(visit: Visit, stack: Stack) -> None:
    """What an operator does first."""
    page = visit.page
    page.get_by_label("E-mail address").fill(stack.env["REMIT_GATEWAY_ADMIN_EMAIL"])
    page.get_by_label("Password").fill(stack.env["REMIT_GATEWAY_ADMIN_PASSWORD"])
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()


@pytest.fixture(params=LOOKS, ids=lambda look: look.name)
def anyhow(request: pytest.FixtureRequest, visits: Visits, stack: Stack) -> Iterator[Visit]:
    """An operator, logged in, in each look: for what must be well in all of them."""
    with visits(request.param) as made:
        log_in(made, stack)
        yield made


@pytest.fixture
def operator(visits: Visits, stack: Stack) -> Iterator[Visit]:
    """An operator, logged in, at a desk."""
    with visits() as made:
        log_in(made, stack)
        yield made
