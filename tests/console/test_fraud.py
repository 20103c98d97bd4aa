"""Fraud's page: what was decided, for whom, and how much of his limits a user has left."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import uuid4

from playwright.sync_api import expect

from tests.console.browser import Visit
from tests.console.conftest import History
from tests.support.bank import Session

_NOT_FOUND = "the server responded with a status of 404"
_REFUSED = "the server responded with a status of 422"


def test_a_single_day_is_told_by_the_hour(anyhow: Visit, history: History) -> None:
    page = anyhow.page
    page.goto("/console#/fraud")
    page.get_by_role("link", name="Today").click()
    chart = page.get_by_role("img", name=re.compile("by hour"))
    expect(chart).to_contain_text("transfers per hour (UTC)")
    hour = f"{datetime.now(UTC):%Y-%m-%d %H}"
    expect(chart.locator("rect title").filter(has_text=hour[:10]).first).to_be_attached()
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table", name=re.compile("by hour")).get_by_role("row")).to_have_count(25)
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("fraud-today")


def test_who_was_blocked_leads_to_what_was_blocked_and_to_his_limits(
    operator: Visit, history: History, customer: Session
) -> None:
    page, user = operator.page, customer.user["id"]
    page.get_by_role("link", name="Fraud").click()
    users = page.get_by_role("table", name=re.compile("Who was blocked most often"))
    row = users.get_by_role("row").filter(has=page.locator(f'a[href="#/fraud/user/{user}"]'))
    expect(row).to_contain_text(re.compile(r"amount above maximum \d+"))
    row.get_by_role("link").nth(1).click()
    expect(page).to_have_url(re.compile(f"user_id={user}&status=blocked"))
    expect(page.locator(f'a[href="#/transfers/{history.blocked}"]')).to_be_visible()
    page.go_back()
    row.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="A user's limits")).to_be_focused()


def test_a_users_use_of_limits_is_found_by_his_address(anyhow: Visit, history: History, customer: Session) -> None:
    page = anyhow.page
    page.goto("/console#/fraud")
    page.get_by_label("User id or e-mail address").fill(f" {customer.user['email'].upper()} ")
    page.keyboard.press("Enter")
    table = page.get_by_role("table", name=re.compile("Approved transfers count"))
    hour = table.get_by_role("row").filter(has_text="Transfers in an hour")
    expect(hour.get_by_role("cell").nth(2)).to_have_text("50")
    used, left = (int(hour.get_by_role("cell").nth(n).inner_text()) for n in (1, 3))
    assert (used >= 11, used + left) == (True, 50)
    expect(hour.get_by_role("meter")).to_have_attribute("aria-label", f"Transfers in an hour: {used} of 50")
    expect(hour.get_by_role("cell").nth(5)).to_contain_text(re.compile(r"in \d+ (min|s)"))
    expect(table.get_by_role("row").filter(has_text="USD in 24 hours")).to_contain_text(
        "5\u202f000\u202f000.00\u00a0USD"
    )
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("fraud-user")


def test_a_transfers_timeline_leads_to_the_limits_of_whose_it_is(
    operator: Visit, history: History, customer: Session
) -> None:
    page = operator.page
    page.goto(f"/console#/transfers/{history.blocked}")
    page.get_by_role("link", name="used of the limits now").click()
    expect(page).to_have_url(re.compile(f"#/fraud/user/{customer.user['id']}$"))
    expect(page.get_by_role("table", name=re.compile("Approved transfers count"))).to_be_visible()


def test_nobody_of_that_name_is_told_with_what_to_do(operator: Visit) -> None:
    operator.expected.append(_NOT_FOUND)
    page = operator.page
    page.goto("/console#/fraud/user/nobody@example.com")
    expect(page.get_by_text("No account belongs to that address.")).to_be_visible()
    operator.check_access()
    operator.keep("fraud-user-unknown")
    page.goto(f"/console#/fraud/user/{uuid4()}")
    expect(page.get_by_role("alert")).to_contain_text("No such user.")


def test_days_that_are_none_are_said_at_their_field(operator: Visit) -> None:
    operator.expected.append(_REFUSED)
    page = operator.page
    page.goto("/console#/fraud?start_date=2026-02-02&end_date=2026-02-01")
    expect(page.get_by_label("From (UTC)")).to_have_accessible_description("is after end_date")
    operator.check_access()
    operator.keep("fraud-wrong")
