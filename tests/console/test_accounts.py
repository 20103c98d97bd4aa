"""Accounts as an operator finds them, by all that they are known by, and whatever their names are."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.console.browser import THIN, Visit
from tests.console.orders import asked, show
from tests.support.bank import Bank, Session


def test_an_account_is_found_by_all_that_it_is_known_by(
    anyhow: Visit, bank: Bank, owner: Session, account: str
) -> None:
    page = anyhow.page
    page.get_by_role("link", name="Accounts").click()
    expect(page.get_by_role("table", name="All accounts, newest first")).to_be_visible()
    for text, caption in (
        (account, "The account with this id"),
        (owner.user["id"], "Accounts of this user"),
        (owner.user["email"].upper(), "Accounts of the user with this address"),
    ):
        page.get_by_label(re.compile("^Account id, or")).fill(text)
        page.keyboard.press("Enter")
        table = page.get_by_role("table", name=f"{caption}, newest first")
        expect(table.get_by_role("row")).to_have_count(2)
        expect(table).to_contain_text(owner.user["email"])
        expect(table).to_contain_text(f"2{THIN}500.00\u00a0USD")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("accounts")


def test_an_owner_is_found_by_his_reference_and_all_are_paged(operator: Visit, bank: Bank) -> None:
    reference = f"customer/{uuid4().hex[:8]}"
    items = [{"owner_reference": reference, "name": f"Account {n}", "currency": "EUR"} for n in range(60)]
    assert (
        bank.admin.call("POST", "/admin/accounts/batch", key=str(uuid4()), json={"accounts": items}).status_code == 200
    )
    page = operator.page
    page.goto("/console#/accounts")
    page.get_by_label(re.compile("^Account id, or")).fill(reference)
    page.get_by_role("button", name="Find").click()
    rows = page.get_by_role("table", name=re.compile("with this reference")).get_by_role("row")
    expect(rows).to_have_count(51)
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(11)
    page.get_by_role("link", name="Newest").click()
    expect(rows).to_have_count(51)
    operator.keep("accounts-paged")


def test_nobody_found_says_what_to_do(operator: Visit) -> None:
    page = operator.page
    page.goto(f"/console#/accounts?text={uuid4()}")
    expect(page.get_by_text("No account is like that.")).to_be_visible()
    expect(page.get_by_text("look for closed ones too")).to_be_visible()
    operator.keep("accounts-none")
    page.goto(f"/console#/accounts/{uuid4()}")
    expect(page.get_by_role("alert")).to_contain_text("No such account.")
    operator.check_access()


def test_a_closed_account_is_among_the_found_only_when_asked_for(operator: Visit, bank: Bank, owner: Session) -> None:
    account = owner.open_account()
    assert bank.admin.call("DELETE", f"/admin/accounts/{account}").status_code == 204
    page = operator.page
    page.goto(f"/console#/accounts?text={account}")
    expect(page.get_by_text("It may be closed: look for closed ones too.")).to_be_visible()
    page.get_by_label("Closed ones too").check()
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("table")).to_contain_text("closed")


def test_long_names_and_addresses_break_nothing(anyhow: Visit, bank: Bank) -> None:
    reference, name = "r" * 255, "W" * 100
    body = {
        "accounts": [
            {"owner_reference": reference, "name": name, "currency": "USD", "opening_balance": "90071992547409.91"}
        ]
    }
    (item,) = bank.admin.call("POST", "/admin/accounts/batch", key="long names", json=body).json()["items"]
    page = anyhow.page
    page.goto(f"/console#/accounts?text={reference}")
    expect(page.get_by_role("table")).to_contain_text(name)
    anyhow.has_no_sideways()
    anyhow.keep("accounts-long")
    show(page, item["account"]["id"])
    expect(page.locator(".facts")).to_contain_text(reference)
    anyhow.has_no_sideways()
    anyhow.keep("account-long")
    dialog = asked(page, "Deposit", "1")
    expect(dialog).to_contain_text(reference)
    assert dialog.evaluate("(box) => box.scrollWidth <= box.clientWidth")
    anyhow.keep("account-long-confirm")


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "\u202etxt"])
def test_names_are_only_text(operator: Visit, bank: Bank, text: str) -> None:
    account = bank.customer().open_account(name=text)
    show(operator.page, account)
    expect(operator.page.get_by_role("heading", name=text)).to_be_visible()
    assert operator.page.locator("main img").count() == 0
