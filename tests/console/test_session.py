"""Coming in, staying, and going."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from deploy.local.stack import Stack
from tests.console.browser import LOOKS, Look, Visit
from tests.console.conftest import Visits, log_in
from tests.support.bank import _PASSWORD, Bank

# Chromium tells its console of every answer that is no success; these are meant.
_REFUSED = "the server responded with a status of 401"
_FORBIDDEN = "the server responded with a status of 403"


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_the_way_in_is_for_everybody(visits: Visits, look: Look) -> None:
    with visits(look) as visit:
        expect(visit.page.get_by_label("E-mail address")).to_be_focused()
        visit.check_access()
        visit.has_no_sideways()
        visit.keep("login")


def test_a_wrong_password_is_told_and_can_be_put_right(visits: Visits, stack: Stack) -> None:
    with visits() as visit:
        visit.expected.append(_REFUSED)
        page = visit.page
        page.get_by_label("E-mail address").fill(stack.env["REMIT_GATEWAY_ADMIN_EMAIL"])
        page.get_by_label("Password").fill("not the password")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("E-mail address or password is wrong.")
        expect(page.get_by_label("Password")).to_be_focused()
        expect(page.get_by_label("Password")).to_have_value("")
        visit.keep("login-refused")
        visit.check_access()
        log_in(visit, stack)


def test_a_customer_is_told_that_the_console_is_not_for_him(visits: Visits, bank: Bank) -> None:
    with visits() as visit:
        visit.expected.append(_FORBIDDEN)
        visit.page.get_by_label("E-mail address").fill(bank.customer().user["email"])
        visit.page.get_by_label("Password").fill(_PASSWORD)
        visit.page.get_by_role("button", name="Log in").click()
        expect(visit.page.get_by_role("alert")).to_contain_text("Only operators are let in here.")


def test_no_script_can_read_the_session_and_a_reload_keeps_it(operator: Visit) -> None:
    page = operator.page
    seen = page.evaluate("() => [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)].join()")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/api/v1")
    assert cookie["value"]
    assert cookie["value"] not in seen
    page.reload()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_whoever_logs_out_is_out_also_for_the_back_button(operator: Visit) -> None:
    page = operator.page
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("heading", name="Audit", level=1)).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    assert page.context.cookies() == []
    page.go_back()
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page.get_by_role("navigation").get_by_role("link")).to_have_count(0)


def test_a_session_that_ended_elsewhere_asks_for_the_password_and_goes_on_where_it_was(
    operator: Visit, stack: Stack
) -> None:
    operator.expected.append(_REFUSED)
    page = operator.page
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("heading", name="Audit", level=1)).to_be_visible()
    expect(page.get_by_role("table")).to_be_visible()
    page.context.clear_cookies()
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    log_in(operator, stack)
    expect(page.get_by_role("heading", name="Audit", level=1)).to_be_visible()


def test_the_theme_can_be_chosen_and_is_remembered(operator: Visit) -> None:
    page = operator.page
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(ground) == dark
