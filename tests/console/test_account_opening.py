"""Accounts that an operator opens, closes and restores: each once, and nothing while there is money on it."""

from __future__ import annotations

from uuid import uuid4

from playwright.sync_api import expect

from tests.console.browser import AWAY, Visit
from tests.console.orders import Losing, show
from tests.support.bank import Bank, Session


def test_an_account_with_money_is_not_closed_and_an_empty_one_is_closed_and_restored(
    anyhow: Visit, bank: Bank, owner: Session, account: str
) -> None:
    anyhow.expected += AWAY
    page = anyhow.page
    show(page, account)
    page.get_by_role("button", name="Close …").click()
    dialog = page.get_by_role("dialog", name="Close this account?")
    expect(dialog).to_contain_text("There is money on it.")
    dialog.get_by_role("button", name="Close it").click()
    expect(page.get_by_role("alert")).to_contain_text("Only an empty account can be deleted.")
    anyhow.keep("account-not-empty")
    empty = owner.open_account(name="Savings")
    page.goto(f"/console#/accounts/{empty}")
    expect(page.get_by_role("heading", name="Savings")).to_be_visible()
    page.get_by_role("button", name="Close …").click()
    expect(dialog).to_contain_text(owner.user["email"])
    expect(dialog).not_to_contain_text("There is money on it.")
    dialog.get_by_role("button", name="Close it").click()
    expect(page.get_by_text("Closed.", exact=True)).to_be_visible()
    expect(page.locator(".badge").first).to_have_text("closed")
    assert owner.call("GET", f"/accounts/{empty}").status_code == 404
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("account-closed")
    page.get_by_role("button", name="Restore …").click()
    page.get_by_role("dialog", name="Restore this account?").get_by_role("button", name="Restore it").click()
    expect(page.get_by_text("Restored.", exact=True)).to_be_visible()
    assert owner.balance(empty) == "0.00"


def test_closing_whose_answer_is_lost_is_told_by_the_account_itself(
    operator: Visit, bank: Bank, owner: Session
) -> None:
    operator.expected += AWAY
    page = operator.page
    account = owner.open_account()
    page.route(f"**/admin/accounts/{account}", Losing(bank))
    show(page, account)
    page.get_by_role("button", name="Close …").click()
    page.get_by_role("dialog").get_by_role("button", name="Close it").click()
    expect(page.get_by_text("Closed.", exact=True)).to_be_visible()


def test_an_account_is_opened_for_an_owner_of_the_books(anyhow: Visit, bank: Bank) -> None:
    reference = f"customer/{uuid4().hex[:8]}"
    page = anyhow.page
    page.get_by_role("link", name="Accounts").click()
    page.get_by_role("link", name="Open an account").click()
    expect(page.get_by_role("heading", name="Open an account")).to_be_visible()
    page.get_by_label("Owner's reference").fill(reference)
    page.get_by_label("Name of the account").fill("Household")
    page.get_by_label("Currency").fill("usd")
    page.get_by_label("Opening balance, if any").fill("250")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("account-open")
    page.get_by_role("button", name="Open …").click()
    dialog = page.get_by_role("dialog", name="Open this account?")
    for said in (reference, "no account yet: look whether the reference is right", "Household", "250\u00a0USD"):
        expect(dialog).to_contain_text(said)
    anyhow.keep("account-open-confirm")
    dialog.get_by_role("button", name="Open it").dblclick()
    expect(page.get_by_text("Opened: Household.")).to_be_visible()
    (made,) = bank.admin.get("/admin/accounts", owner_reference=reference)["items"]
    assert (made["name"], made["currency"], made["balance"]) == ("Household", "USD", "250.00")
    anyhow.keep("account-opened")
    page.get_by_role("link", name="The account", exact=True).click()
    expect(page.get_by_role("heading", name="Household")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text(reference)


def test_an_opening_whose_answer_is_lost_opens_one_account(operator: Visit, bank: Bank) -> None:
    operator.expected += AWAY
    page = operator.page
    lose = Losing(bank)
    page.route("**/admin/accounts/batch", lambda route: route.continue_() if lose.lost else lose(route))
    reference = f"customer/{uuid4().hex[:8]}"
    page.goto("/console#/accounts/open")
    for label, text in (("Owner's reference", reference), ("Name of the account", "Once"), ("Currency", "USD")):
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Open …").click()
    page.get_by_role("dialog").get_by_role("button", name="Open it").click()
    expect(page.get_by_text("Opened: Once.")).to_be_visible()
    assert len(bank.admin.get("/admin/accounts", owner_reference=reference)["items"]) == 1


def test_a_currency_that_is_none_is_refused_and_the_form_keeps_what_was_written(operator: Visit) -> None:
    operator.expected += AWAY
    page = operator.page
    page.goto("/console#/accounts/open")
    page.get_by_label("Owner's reference").fill("customer/x")
    page.get_by_label("Name of the account").fill("Household")
    page.get_by_label("Currency").fill("XXX")
    page.get_by_role("button", name="Open …").click()
    page.get_by_role("dialog").get_by_role("button", name="Open it").click()
    expect(page.get_by_role("alert")).to_contain_text("currency")
    expect(page.get_by_label("Name of the account")).to_have_value("Household")
