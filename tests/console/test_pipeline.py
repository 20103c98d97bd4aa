"""The pipeline's page: a picture while all is well, and the reason when it is not."""

from __future__ import annotations

import re
import signal

from playwright.sync_api import expect

from deploy.local.stack import Stack
from tests.console.browser import AWAY, SLOW_MS, Visit
from tests.console.conftest import History, Park
from tests.support.bank import Session


def test_five_stages_are_shown_with_what_they_do(anyhow: Visit, history: History) -> None:
    page = anyhow.page
    expect(page.get_by_text("All stages keep up", exact=True)).to_be_visible(timeout=SLOW_MS)
    flow = page.get_by_role("list", name=re.compile("The five stages"))
    expect(flow.get_by_role("heading")).to_have_count(5)
    for words in ("Lag", "Items a batch", "Workers", "Dead letters", "waiting"):
        expect(flow.get_by_text(words).first).to_be_visible()
    expect(page.get_by_role("table", name=re.compile("Every queue"))).to_contain_text("transfer.screened")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("pipeline")


def test_it_is_live(operator: Visit, history: History) -> None:
    connection = operator.page.locator(".connection")
    expect(connection).to_contain_text("Live")
    first = connection.inner_text()
    expect(connection).not_to_have_text(first)


def test_a_stage_without_a_worker_stands_out_and_a_transfer_says_why_it_is_stuck(
    operator: Visit, stack: Stack, customer: Session, accounts: tuple[str, str]
) -> None:
    page = operator.page
    expect(page.get_by_text("All stages keep up", exact=True)).to_be_visible(timeout=SLOW_MS)
    stack.stop_service("fraud")
    try:
        answer = customer.transfer(*accounts, "3.50", headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        expect(page.locator(".stage.bad")).to_contain_text("No fraud worker is connected", timeout=SLOW_MS)
        expect(page.get_by_text("Something is broken", exact=True)).to_be_visible()
        expect(page.get_by_role("status").filter(has_text="Something is broken.")).to_have_count(1)
        expect(page.locator(".at-fraud .arrow")).to_contain_text("1 waiting")
        operator.check_access()
        operator.keep("pipeline-broken")
        page.goto(f"/console#/transfers/{answer.json()['id']}")
        expect(page.get_by_text("Stuck because:")).to_be_visible(timeout=SLOW_MS)
        why = re.compile(r"It has waited for fraud for \d+ s\. No fraud worker is connected to the broker\.")
        expect(page.get_by_text(why)).to_be_visible()
        operator.check_access()
        operator.keep("transfer-stuck")
    finally:
        stack.start_service("fraud")
    # Nobody touches the page: it asks again by itself.
    expect(page.get_by_text("completed", exact=True).first).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("Stuck because:")).to_have_count(0)


def test_a_dead_letter_is_told_and_leads_to_itself(operator: Visit, park: Park) -> None:
    letter = park("something")
    page = operator.page
    page.get_by_role("link", name="Look at them").click(timeout=SLOW_MS)
    expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    expect(page.get_by_label("Service")).to_have_value("ledger")
    page.locator(f'a[href="#/letters/{letter}"]').click()
    expect(page.get_by_text("Object missing required field")).to_be_visible()


def test_a_gateway_that_is_away_is_told_and_what_was_seen_stays(operator: Visit, stack: Stack) -> None:
    operator.expected += (*AWAY, "WebSocket")
    page = operator.page
    expect(page.locator(".connection")).to_contain_text("Live")
    stack.signal("gateway", signal.SIGSTOP)
    try:
        expect(page.get_by_text("The stream broke off.")).to_be_visible(timeout=SLOW_MS)
        expect(page.locator(".connection")).to_have_text("Not connected")
        expect(page.locator(".stale .stage")).to_have_count(5)
        operator.keep("pipeline-lost")
        operator.check_access()
    finally:
        stack.signal("gateway", signal.SIGCONT)
    expect(page.locator(".connection")).to_contain_text("Live", timeout=SLOW_MS)
    expect(page.get_by_text("The stream broke off.")).to_have_count(0)
