"""Money in and out of an account by an operator's hand: said before, said after, judged by the bank, done once."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.console.browser import AWAY, THIN, Visit
from tests.console.orders import asked, moves, show
from tests.support.bank import Bank, Session


def test_a_deposit_says_first_what_it_will_do_and_then_what_it_did(
    anyhow: Visit, bank: Bank, owner: Session, account: str
) -> None:
    page = anyhow.page
    show(page, account)
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("account")
    dialog = asked(page, "Deposit", "10.5", "Cash over the counter")
    for said in (account, owner.user["email"], "10.50\u00a0USD", f"2{THIN}500.00\u00a0USD", "Cash over the counter",
                 "10.50\u00a0USD more than now", "settlement account of USD"):  # fmt: skip
        expect(dialog).to_contain_text(said)
    anyhow.check_access()
    anyhow.keep("account-confirm")
    assert moves(bank, account) == []
    dialog.get_by_role("button", name="Deposit").click()
    done = page.get_by_role("status").filter(has_text="Deposited: 10.50\u00a0USD")
    expect(done).to_contain_text(f"Balance before 2{THIN}500.00\u00a0USD, afterwards 2{THIN}510.50\u00a0USD; entry 2")
    expect(page.locator(".amount")).to_contain_text(f"2{THIN}510.50\u00a0USD")
    expect(page.get_by_label(re.compile("^Amount"))).to_have_value("")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("account-deposited")
    (made,) = moves(bank, account)
    assert (made["kind"], made["amount"], made["description"]) == ("deposit", "10.50", "Cash over the counter")
    done.get_by_role("link", name="The transfer").click()
    expect(page.locator(".amount")).to_contain_text("10.50\u00a0USD")
    page.go_back()
    page.goto(f"/console#/ledger/{account}")
    expect(page.get_by_role("table", name=re.compile("Entries 2 to 1 of 2"))).to_contain_text("10.50")


def test_who_says_no_has_done_nothing(operator: Visit, bank: Bank, account: str) -> None:
    page = operator.page
    show(page, account)
    for leaves in ("Escape", "Cancel"):
        dialog = asked(page, "Withdraw")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape") if leaves == "Escape" else dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_have_count(0)
        expect(page.get_by_label(re.compile("^Amount"))).to_have_value("10.5")
    assert moves(bank, account) == []


def test_a_withdrawal_takes_it_off_and_more_than_there_is_is_refused_in_the_banks_words(
    operator: Visit, bank: Bank, account: str
) -> None:
    operator.expected += AWAY
    page = operator.page
    show(page, account)
    dialog = asked(page, "Withdraw", "500")
    expect(dialog).to_contain_text("500.00\u00a0USD less than now")
    expect(dialog).to_contain_text("The money goes to outside of the bank")
    dialog.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("status").filter(has_text="Withdrawn: 500.00\u00a0USD")).to_contain_text("afterwards 2")
    asked(page, "Withdraw", "2000.01").get_by_role("button", name="Withdraw").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(re.compile("insufficient|cover", re.IGNORECASE))
    operator.check_access()
    operator.keep("account-refused")
    page.get_by_role("link", name="The transfer that was refused").click()
    expect(page.get_by_text("The source account could not cover it.")).to_be_visible()


@pytest.mark.parametrize(
    ("amount", "said"),
    [("10.505", "no such decimals"), ("1,000", None), ("-5", None), ("1e3", None), ("", None)],
)
def test_what_is_no_amount_is_not_even_asked_about(
    operator: Visit, account: str, amount: str, said: str | None
) -> None:
    page = operator.page
    show(page, account)
    expect(asked(page, "Deposit", amount)).to_have_count(0)
    field = page.get_by_label(re.compile("^Amount"))
    assert field.evaluate("(input) => input.validity.valid") is False
    if said:
        assert said in field.evaluate("(input) => input.validationMessage")


@pytest.mark.parametrize(
    ("amount", "shown", "code"),
    [
        ("0", "0.00", "amount"),
        ("92233720368547758.07", f"92{THIN}233{THIN}720{THIN}368{THIN}547{THIN}758.07", None),
        ("92233720368547758.08", f"92{THIN}233{THIN}720{THIN}368{THIN}547{THIN}758.08", "amount"),
        ("9" * 40, None, "amount"),
    ],
)
def test_amounts_at_the_limits_are_shown_exactly_and_judged_by_the_bank(
    operator: Visit, account: str, amount: str, shown: str | None, code: str | None
) -> None:
    operator.expected += AWAY
    page = operator.page
    show(page, account)
    dialog = asked(page, "Deposit", amount)
    if shown:
        expect(dialog).to_contain_text(f"{shown}\u00a0USD")
    operator.has_no_sideways()
    dialog.get_by_role("button", name="Deposit").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(code or re.compile("balance|hold", re.IGNORECASE))
    operator.keep(f"account-limit-{len(amount)}")


def test_a_double_click_is_one_deposit(operator: Visit, bank: Bank, account: str) -> None:
    page = operator.page
    show(page, account)
    asked(page, "Deposit", "7").get_by_role("button", name="Deposit").dblclick()
    expect(page.get_by_role("status").filter(has_text="Deposited: 7.00")).to_be_visible()
    assert len(moves(bank, account)) == 1


def test_a_keyboard_alone_deposits(operator: Visit, bank: Bank, account: str) -> None:
    page = operator.page
    show(page, account)
    page.get_by_label(re.compile("^Amount")).focus()
    page.keyboard.type("8")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Deposit …")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Deposited: 8.00")).to_be_visible()
    expect(page.get_by_role("button", name="Deposit …")).to_be_focused()
    assert len(moves(bank, account)) == 1
