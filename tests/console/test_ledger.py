"""The ledger's pages: whether it adds up, whether it explains the accounts, and one account's statement."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from playwright.sync_api import Page, Route, expect

from deploy.local.stack import Stack
from shared.ids import settlement_account_id
from tests.console.browser import AWAY, SLOW_MS, THIN, Visit, held_after
from tests.console.conftest import History
from tests.support.bank import Bank, Session
from tests.support.waiting import until

_MANY = 160
_AT_ONCE = 16


@contextmanager
def _tampered(stack: Stack, account: str, statement: str, back: str) -> Iterator[None]:
    """What somebody with the owner's rights does to the account, and takes back."""
    with psycopg.connect(stack.env["REMIT_POSTGRES_URL"], autocommit=True) as connection:
        # Binds by itself, so that several statements may stand in one.
        cursor = psycopg.ClientCursor(connection)
        cursor.execute(statement, {"account": account})
        try:
            yield
        finally:
            cursor.execute(back, {"account": account})


_PLUS = "UPDATE transfer.accounts SET balance_minor = balance_minor + 123 WHERE id = %(account)s"
_MINUS = "UPDATE transfer.accounts SET balance_minor = balance_minor - 123 WHERE id = %(account)s"


def _verify_book(page: Page) -> None:
    page.goto("/console#/ledger")
    page.get_by_role("button", name="Verify the whole book").click()


def test_the_trial_balance_shows_sums_by_currency_and_that_they_are_the_same(
    anyhow: Visit, bank: Bank, history: History
) -> None:
    customer = bank.customer()
    yen = customer.open_account("JPY")
    assert bank.deposit(yen, "1500", currency="JPY").status_code == 201
    bank.verified(yen)
    page = anyhow.page
    page.get_by_role("link", name="Ledger").click()
    expect(page.get_by_text("in every currency debits and credits are the same")).to_be_visible()
    sums = page.get_by_role("table", name=re.compile("Sums of all entries by currency"))
    found = bank.admin.get("/admin/ledger/trial-balance")["currencies"]
    for currency in ("JPY", "USD"):
        row = sums.get_by_role("row").filter(has_text=currency)
        debits = row.get_by_role("cell").nth(1).inner_text()
        assert debits.replace(THIN, "") == row.get_by_role("cell").nth(2).inner_text().replace(THIN, "")
        # Others move money meanwhile; what is shown has the API's form.
        assert re.fullmatch(r"\d+(\.\d\d)?", debits.replace(THIN, "")), (debits, found)
        expect(row).to_contain_text("zero")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("ledger")


def test_nobody_is_disturbed_while_the_sums_are_made(operator: Visit, history: History) -> None:
    """A large book takes its time; meanwhile somebody writes an id."""
    page, held = operator.page, list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/admin/ledger/trial-balance", hold)
    page.get_by_role("link", name="Ledger").click()
    expect(page.get_by_role("heading", name="Ledger", level=1)).to_be_focused()
    page.get_by_label("Account id").focus()
    expect(page.get_by_text("Asking for the sum of all entries")).to_be_visible()
    held[0].continue_()
    expect(page.get_by_text("in every currency")).to_be_visible()
    expect(page.get_by_label("Account id")).to_be_focused()


def test_the_whole_book_is_verified_and_says_what_was_read(anyhow: Visit, bank: Bank, history: History) -> None:
    page = anyhow.page
    _verify_book(page)
    outcome = page.locator(".verifying .notice.good")
    expect(outcome).to_contain_text("Verified: the ledger explains every account", timeout=SLOW_MS)
    accounts = re.search(r"([\d,]+) accounts, ([\d,]+) entries, in", outcome.inner_text())
    assert accounts
    assert int(accounts[1].replace(",", "")) >= bank.admin.get("/admin/ledger/verify")["accounts"] - 5
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("ledger-verified")


def test_progress_is_told_while_the_book_is_read(operator: Visit, history: History) -> None:
    """What comes after the first word of it is held back, as a large book would."""
    page = operator.page
    page.goto("/console#/ledger")
    expect(page.get_by_text("in every currency")).to_be_visible()
    with held_after(page, "/admin/ledger/verify/events", "event: progress"):
        page.get_by_role("button", name="Verify the whole book").click()
        expect(page.get_by_role("progressbar", name="Accounts verified")).to_be_visible()
        so_far = re.compile(r"0 of [\d,]+ accounts with 0 entries, in [\d.]+ (m?s); no difference so far")
        expect(page.locator(".verifying")).to_contain_text(so_far)
        expect(page.get_by_role("button", name="Verify the whole book")).to_be_disabled()
        operator.keep("ledger-verifying")
    expect(page.locator(".verifying .notice.good")).to_be_visible(timeout=SLOW_MS)


def test_a_verification_that_breaks_off_finds_nothing_out(operator: Visit, stack: Stack, history: History) -> None:
    """Half a book is not taken for the whole one."""
    operator.expected += AWAY
    page = operator.page
    page.goto("/console#/ledger")
    expect(page.get_by_text("in every currency")).to_be_visible()
    with psycopg.connect(stack.env["REMIT_POSTGRES_URL"]) as connection:
        connection.execute("LOCK TABLE ledger.ledger_entries IN ACCESS EXCLUSIVE MODE")
        page.get_by_role("button", name="Verify the whole book").click()
        expect(page.get_by_role("alert")).to_contain_text("The stream broke off before its end.", timeout=SLOW_MS)
        expect(page.locator(".verifying")).to_contain_text(re.compile(r"0 of [\d,]+ accounts .* until then"))
        expect(page.locator(".verifying .good")).to_have_count(0)
        operator.check_access()
        operator.keep("ledger-broken-off")
    page.get_by_role("button", name="Verify the whole book").click()
    expect(page.locator(".verifying .notice.good")).to_be_visible(timeout=SLOW_MS)


def test_a_difference_is_shown_side_by_side_and_what_to_do(anyhow: Visit, stack: Stack, bank: Bank) -> None:
    account = bank.funded(bank.customer("Grace Hopper"), "1000.00")
    bank.verified(account)
    page = anyhow.page
    with _tampered(stack, account, _PLUS, _MINUS):
        _verify_book(page)
        expect(page.get_by_text(re.compile("The ledger does not explain 1 of"))).to_be_visible(timeout=SLOW_MS)
        row = page.get_by_role("table", name="Accounts with a difference, by id").get_by_role("row").nth(1)
        for figure in (f"1{THIN}000.00\u00a0USD", f"1{THIN}001.23\u00a0USD", "1.23\u00a0USD", "balance matches"):
            expect(row).to_contain_text(figure)
        anyhow.check_access()
        anyhow.has_no_sideways()
        anyhow.keep("ledger-differs")
        row.get_by_role("link").click()
        expect(page.get_by_text("The ledger does not explain this account.")).to_be_visible()
        sides = page.get_by_role("table", name=re.compile("Side by side")).get_by_role("row").nth(1)
        assert sides.get_by_role("cell").all_inner_texts() == [
            "Balance", f"1{THIN}000.00\u00a0USD", f"1{THIN}001.23\u00a0USD", "1.23\u00a0USD",
        ]  # fmt: skip
        expect(page.get_by_text("Keep a copy before anything is done")).to_be_visible()
        expect(page.get_by_text(re.compile("“Ledger differs”, says how to go on"))).to_be_visible()
        checks = page.get_by_role("table", name="What was checked")
        expect(checks.get_by_role("row").filter(has_text="agree")).to_contain_text("no")
        anyhow.check_access()
        anyhow.has_no_sideways()
        anyhow.keep("ledger-account-differs")
    page.get_by_role("button", name="Verify again").click()
    expect(page.get_by_text("Verified: the ledger explains this account.")).to_be_visible()


def test_sums_that_differ_are_named_by_currency(operator: Visit, stack: Stack, bank: Bank) -> None:
    """An owner of the database who switches its rules off can make it so; the rules themselves do not let him."""
    customer = bank.customer()
    account = customer.open_account("CHF")
    assert bank.deposit(account, "10.00", currency="CHF").status_code == 201
    bank.verified(account)
    change = """
        ALTER TABLE ledger.ledger_entries DISABLE TRIGGER USER;
        UPDATE ledger.ledger_entries
           SET amount_minor = amount_minor {0} 1, balance_after_minor = balance_after_minor {0} 1
         WHERE account_id = %(account)s;
        ALTER TABLE ledger.ledger_entries ENABLE TRIGGER USER;
    """
    with _tampered(stack, account, change.format("+"), change.format("-")):
        page = operator.page
        until(lambda: bank.admin.get("/admin/ledger/trial-balance")["status"], lambda status: status == "unbalanced")
        page.goto("/console#/ledger")
        expect(page.get_by_text("Debits and credits differ in CHF.")).to_be_visible()
        row = page.get_by_role("table").get_by_role("row").filter(has_text="CHF")
        expect(row).to_contain_text("not zero")
        expect(row).to_contain_text("\u22120.01")
        operator.check_access()
        operator.keep("ledger-unbalanced")
    until(lambda: bank.admin.get("/admin/ledger/trial-balance")["status"], lambda status: status == "balanced")


def test_missing_entries_say_how_they_come(operator: Visit, stack: Stack, bank: Bank) -> None:
    account = bank.funded(bank.customer(), "10.00")
    bank.verified(account)
    moved = "UPDATE transfer.accounts SET account_seq = account_seq + 1 WHERE id = %(account)s"
    back = "UPDATE transfer.accounts SET account_seq = account_seq - 1 WHERE id = %(account)s"
    with _tampered(stack, account, moved, back):
        operator.page.goto(f"/console#/ledger/{account}")
        expect(operator.page.get_by_text("remit repair sends them again")).to_be_visible()
        expect(operator.page.get_by_role("table", name=re.compile("Side by side"))).to_contain_text("up to 2")


def test_a_statement_has_its_entries_with_their_balances(
    anyhow: Visit, bank: Bank, accounts: tuple[str, str], history: History
) -> None:
    source, _ = accounts
    bank.verified(source)
    page = anyhow.page
    page.get_by_role("link", name="Ledger").click()
    page.get_by_label("Account id").fill(source)
    page.keyboard.press("Enter")
    entries = page.get_by_role("table", name=re.compile("Entries .* newest first, in USD"))
    expect(entries).to_be_visible()
    first = entries.get_by_role("row").last.get_by_role("cell")
    assert first.all_inner_texts()[2:6] == ["", f"2{THIN}500.00", f"2{THIN}500.00", "0.00"]
    second = entries.get_by_role("row").nth(-2)
    expect(second).to_contain_text("1.25")
    expect(page.get_by_text("Verified: the ledger explains this account.")).to_be_visible()
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("statement")
    second.get_by_role("link").click()
    expect(page.locator(".amount")).to_contain_text("1.25\u00a0USD")


def test_a_statement_is_filtered_by_days(operator: Visit, accounts: tuple[str, str], history: History) -> None:
    page = operator.page
    page.goto(f"/console#/ledger/{accounts[0]}")
    page.get_by_label("From (UTC)").fill("2001-01-01")
    page.get_by_label("To, with that day").fill("2001-01-31")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("Nothing moved it in these days.")).to_be_visible()
    expect(page.get_by_label("From (UTC)")).to_have_value("2001-01-01")
    page.get_by_role("link", name="All of it").click()
    expect(page.get_by_role("table", name=re.compile("Entries .* newest first"))).to_be_visible()


@pytest.fixture(scope="session")
def busy(bank: Bank) -> str:
    """An account with many entries."""
    account = bank.customer("Busy Bee").open_account(name="Many")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        assert {answer.status_code for answer in pool.map(lambda _: bank.deposit(account, "1.00"), range(_MANY))} == {
            201
        }
    assert bank.verified(account)["entries"] == _MANY
    return account


def _page_of(number: int) -> re.Pattern[str]:
    """What the statement's page of this number calls itself."""
    newest = _MANY - 50 * number
    return re.compile(f"Entries {newest:,} to {newest - 49:,} of {_MANY:,}")


def test_many_entries_are_read_page_by_page(operator: Visit, busy: str) -> None:
    page = operator.page
    page.goto(f"/console#/ledger/{busy}")
    expect(page.get_by_role("table", name=_page_of(0))).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("table", name=_page_of(1))).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("table", name=_page_of(2))).to_be_visible()
    page.go_back()
    expect(page.get_by_role("table", name=_page_of(1))).to_be_visible()
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("table", name=_page_of(0))).to_be_visible()
    operator.keep("statement-long")


def test_a_closed_account_says_where_its_statement_is(operator: Visit, bank: Bank) -> None:
    account = bank.customer().open_account()
    assert bank.admin.call("DELETE", f"/admin/accounts/{account}").status_code == 204
    operator.page.goto(f"/console#/ledger/{account}")
    expect(operator.page.get_by_text("It is closed: its statement is not shown.")).to_be_visible()
    expect(operator.page.get_by_text("Verified: the ledger explains this account.")).to_be_visible()
    operator.keep("statement-closed")


def test_an_account_that_does_not_exist_is_told(operator: Visit) -> None:
    operator.page.goto(f"/console#/ledger/{uuid4()}")
    expect(operator.page.get_by_role("alert")).to_contain_text("No such account.")
    operator.check_access()


def test_the_world_outside_has_a_statement_too(operator: Visit, history: History) -> None:
    operator.page.goto(f"/console#/ledger/{settlement_account_id('USD')}")
    expect(operator.page.get_by_role("table", name=re.compile("Entries .* in USD"))).to_be_visible()
    expect(operator.page.locator(".amount")).to_contain_text("\u2212")
    operator.keep("statement-settlement")


def test_a_gateway_that_is_away_is_told_and_can_be_asked_again(
    operator: Visit, stack: Stack, customer: Session, history: History
) -> None:
    operator.expected += AWAY
    page = operator.page
    page.goto("/console#/ledger")
    expect(page.get_by_text("in every currency")).to_be_visible()
    stack.signal("gateway", signal.SIGSTOP)
    try:
        page.get_by_role("button", name="Verify the whole book").click()
        stack.signal("gateway", signal.SIGKILL)
        expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer.")
        operator.check_access()
        operator.keep("ledger-away")
    finally:
        stack.start_service("gateway")
    page.get_by_role("button", name="Verify the whole book").click()
    expect(page.locator(".verifying .notice.good")).to_be_visible(timeout=SLOW_MS)
