"""Orders whose end is not known: an answer was lost, or the gateway or the worker is away. Each is done once."""

from __future__ import annotations

import re
import signal

import httpx
import pytest
from playwright.sync_api import Page, Request, Route, expect

from deploy.local.stack import Stack
from tests.console.browser import AWAY, SLOW_MS, THIN, Visit
from tests.console.orders import Losing, asked, moves, show
from tests.support.bank import Bank
from tests.support.waiting import until


def _keys(page: Page) -> list[str]:
    """The keys of the orders that this page sends, as it sends them."""
    seen: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST" and "/admin/" in request.url:
            seen.append(request.headers["idempotency-key"])

    page.on("request", note)
    return seen


@pytest.mark.parametrize("half", [False, True])
def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    operator: Visit, bank: Bank, account: str, half: bool
) -> None:
    """The bank does it, and the answer never comes."""
    operator.expected += AWAY
    page = operator.page
    keys = _keys(page)
    lose = Losing(bank, half=half)

    def lose_one(route: Route) -> None:
        if lose.lost:
            route.continue_()
        else:
            lose(route)

    page.route("**/admin/deposits", lose_one)
    show(page, account)
    asked(page, "Deposit", "3").get_by_role("button", name="Deposit").click()
    expect(page.get_by_role("status").filter(has_text="Deposited: 3.00")).to_be_visible()
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(moves(bank, account)) == 1


@pytest.fixture
def unknown(operator: Visit, bank: Bank, account: str) -> Page:
    """A page that knows of a deposit of 4.00 that it was done, or was not: every answer to it was lost."""
    operator.expected += AWAY
    page = operator.page
    page.route("**/admin/deposits", Losing(bank))
    show(page, account)
    asked(page, "Deposit", "4").get_by_role("button", name="Deposit").click()
    expect(page.get_by_text("Not known whether it was done")).to_be_visible(timeout=SLOW_MS)
    operator.check_access()
    operator.keep("account-unknown")
    page.unroute("**/admin/deposits")
    return page


def test_an_order_whose_end_is_unknown_outlives_a_reload_and_is_settled_by_its_key(
    unknown: Page, bank: Bank, account: str
) -> None:
    unknown.reload()
    unknown.get_by_role("button", name="Ask again").click()
    expect(unknown.get_by_text("Deposited: 4.00\u00a0USD.")).to_be_visible()
    assert len(moves(bank, account)) == 1
    unknown.reload()
    expect(unknown.locator(".amount")).to_contain_text(f"2{THIN}504.00")
    expect(unknown.get_by_text("Not known whether it was done")).to_have_count(0)


def test_an_order_whose_end_is_unknown_can_be_looked_for_without_doing_it(unknown: Page) -> None:
    unknown.get_by_role("link", name="All accounts", exact=True).click()
    unknown.get_by_role("button", name="Only look").click()
    expect(unknown.get_by_text("It was taken, and is completed")).to_be_visible()
    unknown.reload()
    expect(unknown.get_by_role("table")).to_be_visible()
    expect(unknown.get_by_text("Not known whether it was done")).to_have_count(0)


def test_another_order_beside_one_that_is_open_says_that_it_is_another(unknown: Page, bank: Bank, account: str) -> None:
    """The form still holds what was written, and a second key would be a second deposit."""
    unknown.get_by_role("button", name="Deposit …").click()
    dialog = unknown.get_by_role("dialog", name=re.compile("^Deposit "))
    expect(dialog).to_contain_text("This is another order, done besides the one before.")
    dialog.get_by_role("button", name="Cancel").click()
    assert len(moves(bank, account)) == 1


def test_an_order_is_forgotten_only_after_it_was_said_what_that_means(unknown: Page) -> None:
    unknown.get_by_role("button", name="Forget it …").click()
    dialog = unknown.get_by_role("dialog", name="Forget this order?")
    expect(dialog).to_contain_text("may be done a second time")
    dialog.get_by_role("button", name="Forget it").click()
    expect(unknown.get_by_text("Not known whether it was done")).to_have_count(0)
    unknown.reload()
    expect(unknown.locator(".amount")).to_be_visible()
    expect(unknown.get_by_text("Not known whether it was done")).to_have_count(0)


def test_another_operator_does_not_send_somebody_elses_order(unknown: Page, bank: Bank, account: str) -> None:
    """Under his name the same key would be a second deposit."""
    other = bank.operator()
    unknown.get_by_role("button", name="Log out").click()
    unknown.get_by_label("E-mail address").fill(other.user["email"])
    unknown.get_by_label("Password").fill("correct horse battery")
    unknown.get_by_role("button", name="Log in").click()
    expect(unknown.locator(".amount")).to_be_visible()
    expect(unknown.get_by_text("Not known whether it was done")).to_have_count(0)
    assert len(moves(bank, account)) == 1


def test_a_gateway_that_dies_in_the_middle_loses_and_doubles_nothing(
    operator: Visit, stack: Stack, bank: Bank, account: str
) -> None:
    """It has taken the deposit and waits for the worker when it is killed."""
    operator.expected += AWAY
    page = operator.page
    show(page, account)
    stack.stop_service("transfer")
    try:
        with page.expect_request("**/admin/deposits"):
            asked(page, "Deposit", "5").get_by_role("button", name="Deposit").click()
        until(lambda: moves(bank, account))
        stack.signal("gateway", signal.SIGKILL)
        expect(page.get_by_text("Not known whether it was done")).to_be_visible(timeout=SLOW_MS)
        operator.keep("account-away")
        operator.check_access()
    finally:
        stack.start_service("gateway")
        stack.start_service("transfer")
    until(lambda: _is_ready(bank))
    page.get_by_role("button", name="Ask again").click()
    expect(page.get_by_text("Deposited: 5.00\u00a0USD.")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator(".amount")).to_contain_text(f"2{THIN}505.00")
    assert len(moves(bank, account)) == 1


def _is_ready(bank: Bank) -> bool:
    try:
        return bank.client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def test_a_gateway_that_is_away_is_told_and_what_was_written_stays(
    operator: Visit, stack: Stack, bank: Bank, account: str
) -> None:
    operator.expected += AWAY
    page = operator.page
    show(page, account)
    stack.signal("gateway", signal.SIGKILL)
    try:
        expect(asked(page, "Deposit", "5")).to_have_count(0)
        expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer.")
        expect(page.locator(".amount")).to_contain_text(f"2{THIN}500.00")
    finally:
        stack.start_service("gateway")
    until(lambda: _is_ready(bank))
    page.get_by_role("button", name="Deposit …").click()
    page.get_by_role("dialog").get_by_role("button", name="Deposit").click()
    expect(page.get_by_text("Deposited: 5.00\u00a0USD.")).to_be_visible(timeout=SLOW_MS)


def test_a_transfer_worker_that_is_away_leaves_it_under_way_and_done_once(
    operator: Visit, stack: Stack, bank: Bank, account: str
) -> None:
    page = operator.page
    show(page, account)
    stack.stop_service("transfer")
    try:
        asked(page, "Deposit", "6").get_by_role("button", name="Deposit").click()
        expect(page.get_by_text("Taken, not ended yet")).to_be_visible(timeout=SLOW_MS)
        operator.keep("account-pending")
    finally:
        stack.start_service("transfer")
    page.get_by_role("link", name="The transfer").click()
    expect(page.get_by_text("completed", exact=True).first).to_be_visible(timeout=SLOW_MS)
    assert len(moves(bank, account)) == 1
