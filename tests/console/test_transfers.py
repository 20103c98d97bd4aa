"""Transfers, by what a person does who looks for one, finds it, and asks why it does not go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from deploy.local.stack import Stack
from tests.console.browser import AWAY, SLOW_MS, Visit
from tests.console.conftest import History
from tests.support.bank import Bank, Session

_REFUSED = "the server responded with a status of 422"


@pytest.fixture(scope="module")
def payer(bank: Bank, history: History) -> tuple[Session, str, str]:
    """Somebody who has sent 54 transfers, of 1.00 to 54.00, the first under a key of his own; and his accounts."""
    customer = bank.customer("Grace Hopper")
    source, to = bank.funded(customer, "5000.00"), customer.open_account(name="Savings")
    first = customer.transfer(source, to, "1.00", key=f"rent {source[:8]}")
    assert first.status_code == 201
    rest = [
        {"from_account_id": source, "to_account_id": to, "amount": f"{n}.00", "currency": "USD"} for n in range(2, 50)
    ]
    assert customer.batch(rest).status_code == 200
    assert customer.transfer(source, to, "4000.00").json()["code"] == "insufficient_funds"
    bank.verified(to)
    return customer, source, to


@pytest.fixture
def searching(operator: Visit) -> Page:
    page = operator.page
    page.get_by_role("link", name="Transfers").click()
    expect(page.get_by_role("heading", name="Transfers")).to_be_focused()
    return page


def rows(page: Page) -> Locator:
    return page.locator("tbody tr")


def test_without_a_filter_the_newest_are_there(anyhow: Visit, history: History) -> None:
    page = anyhow.page
    page.get_by_role("link", name="Transfers").click()
    table = page.get_by_role("table", name=re.compile(r"transfers?, newest first"))
    expect(table.get_by_role("row").nth(1)).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="on this page")).to_have_count(1)
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("transfers")


def test_blocked_and_failed_ones_are_found_and_the_search_can_be_sent_as_a_link(
    anyhow: Visit, history: History, customer: Session
) -> None:
    page = anyhow.page
    page.get_by_role("link", name="Transfers").click()
    page.get_by_label("Status").select_option("blocked")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(re.compile(r"#/transfers\?status=blocked$"))
    row = rows(page).filter(has=page.locator(f'a[href="#/transfers/{history.blocked}"]'))
    expect(row).to_contain_text("amount above maximum")
    expect(rows(page).filter(has_text="completed")).to_have_count(0)
    page.goto(f"/console#/transfers?status=failed&user_id={customer.user['id']}&currency=USD&min_amount=999999.00")
    expect(page.get_by_label("Status")).to_have_value("failed")
    expect(page.get_by_label("User id")).to_have_value(customer.user["id"])
    expect(page.get_by_label("At least")).to_have_value("999999.00")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("insufficient funds")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("transfers-found")
    rows(page).get_by_role("link").first.click()
    expect(page.get_by_text("The source account could not cover it.")).to_be_visible()


def test_one_is_found_by_its_key_its_account_its_amount_and_its_time(
    searching: Page, payer: tuple[Session, str, str]
) -> None:
    page, (_, source, to) = searching, payer
    page.get_by_label("Idempotency key").fill(f"rent {source[:8]}")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("1.00\u00a0USD")
    at = rows(page).locator("time").first.inner_text()
    page.get_by_role("link", name="Take all filters away").click()
    expect(page.get_by_label("Idempotency key")).to_have_value("")
    page.get_by_label("Account id").fill(f" {to.upper()} ")
    page.get_by_label("Currency").fill("usd")
    page.get_by_label("At least").fill("4\u202f000.00")
    # As the table shows it; what is above was asked for after it.
    page.get_by_label("From (UTC)").fill(at)
    page.get_by_role("button", name="Search").click()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("failed")
    expect(page).to_have_url(re.compile(rf"account_id={to}.*start_date={at[:10]}T"))


def test_an_id_goes_straight_to_its_timeline(searching: Page, history: History) -> None:
    searching.get_by_label("Transfer id").fill(f" {history.failed.upper()} ")
    searching.keyboard.press("Enter")
    expect(searching).to_have_url(re.compile(f"#/transfers/{history.failed}$"))
    expect(searching.locator(".timeline")).to_be_visible()


def test_pages_follow_each_other_and_each_has_an_address(searching: Page, payer: tuple[Session, str, str]) -> None:
    page, (_, source, _) = searching, payer
    page.goto(f"/console#/transfers?account_id={source}")
    expect(rows(page)).to_have_count(50)
    expect(page.get_by_role("link", name="Back to the newest")).to_have_count(0)
    page.get_by_role("link", name="Older ones").click()
    expect(page.get_by_role("link", name="Back to the newest")).to_be_visible()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("deposit")
    page.reload()
    expect(rows(page)).to_have_count(1)
    page.go_back()
    expect(rows(page)).to_have_count(50)


def test_a_row_leads_to_the_timeline_wherever_it_is_touched(searching: Page, payer: tuple[Session, str, str]) -> None:
    searching.goto(f"/console#/transfers?account_id={payer[1]}&status=failed")
    rows(searching).get_by_text("failed").click()
    expect(searching.get_by_text("The source account could not cover it.")).to_be_visible()


def test_nothing_found_says_what_to_do(operator: Visit) -> None:
    page = operator.page
    page.goto(f"/console#/transfers?idempotency_key=nobody-{uuid4()}")
    expect(page.get_by_text("No transfer is like that.")).to_be_visible()
    expect(page.get_by_text("Take a filter away, or widen")).to_be_visible()
    operator.check_access()
    operator.keep("transfers-none")


@pytest.mark.parametrize(
    ("label", "text", "said"),
    [
        ("From (UTC)", "31.12.2026", "must be RFC 3339 with an offset, or YYYY-MM-DD"),
        ("At least", "12.34", "needs `currency`"),
        ("Currency", "XXX", "is not an active ISO 4217 code"),
        ("User id", "ada", "must be an id"),
        ("Transfer id", "a7e2", "must be an id"),
    ],
)
def test_what_cannot_be_asked_for_is_said_at_its_field(operator: Visit, label: str, text: str, said: str) -> None:
    operator.expected.append(_REFUSED)
    page = operator.page
    page.get_by_role("link", name="Transfers").click()
    page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Search").click()
    wrong = page.get_by_label(label)
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_have_accessible_description(re.compile(re.escape(said)))
    expect(wrong).to_be_focused()
    expect(wrong).to_have_value(text)
    expect(page.get_by_text("Put right what is marked")).to_be_visible()
    operator.check_access()
    operator.has_no_sideways()


def test_a_wrong_filter_is_marked_in_every_look(anyhow: Visit) -> None:
    anyhow.expected.append(_REFUSED)
    anyhow.page.goto("/console#/transfers?currency=JPY&max_amount=1.5")
    expect(anyhow.page.get_by_label("At most")).to_have_attribute("aria-invalid", "true")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("transfers-wrong")


def test_an_id_of_something_else_leads_on(operator: Visit, customer: Session, history: History) -> None:
    operator.expected.append("the server responded with a status of 404")
    page = operator.page
    page.goto(f"/console#/transfers/{customer.user['id']}")
    page.get_by_role("link", name="Transfers of that user").click()
    expect(rows(page).filter(has=page.locator(f'a[href="#/transfers/{history.completed}"]'))).to_have_count(1)


@pytest.fixture
def without_ledger(stack: Stack) -> Iterator[None]:
    """Its only worker is killed."""
    stack.stop_service("ledger", 9)
    yield
    stack.start_service("ledger")


def test_a_settled_transfer_that_the_ledger_lacks_says_why_until_it_has_it(
    anyhow: Visit, stack: Stack, customer: Session, accounts: tuple[str, str], without_ledger: None
) -> None:
    page = anyhow.page
    sent = customer.transfer(*accounts, "1.00").json()["id"]
    page.goto(f"/console#/transfers/{sent}")
    expect(page.get_by_text("completed", exact=True).first).to_be_visible()
    expect(page.get_by_text("Stuck because:")).to_be_visible(timeout=SLOW_MS)
    expect(
        page.get_by_text(re.compile(r"It has waited for ledger for \d+ s\. No ledger worker is connected"))
    ).to_be_visible()
    waits = page.locator(".timeline .of-ledger")
    expect(waits).to_contain_text("stuck")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("transfer-stuck-ledger")
    stack.start_service("ledger")
    expect(waits).to_contain_text("both entries booked", timeout=SLOW_MS)
    expect(page.get_by_text("Stuck because:")).to_have_count(0)


def test_what_is_pending_is_found(operator: Visit, stack: Stack, customer: Session, accounts: tuple[str, str]) -> None:
    page = operator.page
    stack.stop_service("fraud")
    try:
        sent = customer.transfer(*accounts, "2.50", headers={"Prefer": "respond-async"}).json()["id"]
        page.goto("/console#/transfers?status=pending")
        row = rows(page).filter(has=page.locator(f'a[href="#/transfers/{sent}"]'))
        expect(row).to_contain_text("pending")
        row.get_by_role("link").first.click()
        expect(page.locator(".timeline .of-transfer")).to_contain_text("not yet")
    finally:
        stack.start_service("fraud")
    expect(page.locator(".timeline .of-audit")).to_contain_text("row", timeout=SLOW_MS)


def test_a_gateway_that_stops_is_told_and_asked_again(operator: Visit, stack: Stack, history: History) -> None:
    operator.expected += AWAY
    page = operator.page
    page.goto("/console#/transfers?status=failed")
    expect(rows(page).first).to_be_visible()
    stack.stop_service("gateway")
    try:
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer.")
        operator.check_access()
        operator.keep("transfers-gateway-away")
    finally:
        stack.start_service("gateway")
    page.get_by_role("button", name="Try again").click()
    expect(rows(page).first).to_be_visible()


def test_a_timeline_keeps_what_it_shows_while_the_gateway_is_away(
    operator: Visit, stack: Stack, customer: Session, accounts: tuple[str, str]
) -> None:
    operator.expected += AWAY
    page = operator.page
    stack.stop_service("fraud")
    try:
        sent = customer.transfer(*accounts, "2.75", headers={"Prefer": "respond-async"}).json()["id"]
        page.goto(f"/console#/transfers/{sent}")
        expect(page.locator(".timeline .of-fraud")).to_contain_text("waits")
        stack.stop_service("gateway")
        expect(page.get_by_text("The page asks again by itself.")).to_be_visible(timeout=SLOW_MS)
        expect(page.locator(".timeline .of-fraud")).to_be_visible()
        operator.keep("transfer-gateway-away")
    finally:
        stack.start_service("gateway")
        stack.start_service("fraud")
    expect(page.get_by_text("completed", exact=True).first).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("The page asks again by itself.")).to_have_count(0)
