"""The other pages, by what a person does on them."""

from __future__ import annotations

import csv
import re
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.console.browser import Visit
from tests.console.conftest import History, Park
from tests.support.bank import Bank

_NOT_FOUND = "the server responded with a status of 404"


def test_a_transfer_is_looked_up_by_its_id(anyhow: Visit, history: History) -> None:
    page = anyhow.page
    page.get_by_role("link", name="Transfers").click()
    page.get_by_label("Transfer id").fill(history.completed)
    page.keyboard.press("Enter")
    expect(page.locator(".amount")).to_have_text(re.compile(r"1\.25.USD completed"))
    hops = page.locator(".timeline li")
    expect(hops).to_have_count(5)
    said = hops.locator(".stage-name").all_inner_texts()
    assert {text.lower() for text in said} == {"gateway", "fraud", "transfer", "ledger", "audit"}
    expect(hops.last).to_contain_text("row")
    assert all(re.fullmatch(r"start|\+[\d.]+ (ms|s)", text) for text in hops.locator(".since").all_inner_texts())
    entries = page.get_by_role("table", name=re.compile("Both entries"))
    expect(entries.get_by_role("row").nth(1)).to_contain_text("2\u202f500.00\u00a0USD")
    expect(entries.get_by_role("row").nth(2)).to_contain_text("1.25\u00a0USD")
    expect(page.get_by_role("table", name=re.compile("audit log"))).to_contain_text("FRAUD_CHECK")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("transfer")


def test_a_blocked_transfer_tells_the_limit_and_what_was_used_of_it(anyhow: Visit, history: History) -> None:
    page = anyhow.page
    page.goto(f"/console#/transfers/{history.blocked}")
    limits = page.get_by_role("table", name=re.compile("limits"))
    expect(limits).to_contain_text("amount above maximum")
    expect(limits).to_contain_text("1\u202f000\u202f000.00\u00a0USD")
    expect(limits).to_contain_text("1\u202f000\u202f000.01\u00a0USD")
    expect(page.get_by_text("only a completed transfer has entries")).to_be_visible()
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("transfer-blocked")


def test_a_failed_transfer_says_why(operator: Visit, history: History) -> None:
    operator.page.goto(f"/console#/transfers/{history.failed}")
    expect(operator.page.get_by_text("The source account could not cover it.")).to_be_visible()


def test_a_transfer_that_does_not_exist_is_told(operator: Visit) -> None:
    operator.expected.append(_NOT_FOUND)
    operator.page.goto(f"/console#/transfers/{uuid4()}")
    expect(operator.page.get_by_role("alert")).to_contain_text("No such transfer.")
    operator.check_access()
    operator.keep("transfer-missing")


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "\u202etxt", "a" * 100])
def test_what_customers_write_is_only_text(operator: Visit, bank: Bank, text: str) -> None:
    customer = bank.customer(text)
    sent = customer.transfer(bank.funded(customer), customer.open_account(name=text), "1.00", description=text)
    operator.page.goto(f"/console#/transfers/{sent.json()['id']}")
    expect(operator.page.get_by_text(text, exact=True)).to_be_visible()
    assert operator.page.locator("main img").count() == 0
    operator.has_no_sideways()


def test_a_keyboard_alone_gets_everywhere(operator: Visit, history: History) -> None:
    page = operator.page
    expect(page.locator(".connection")).to_contain_text("Live")
    page.reload()
    expect(page.locator(".connection")).to_contain_text("Live")
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Tab")
    focused = "() => document.activeElement.textContent.trim()"
    names = []
    for _ in range(8):
        names.append(page.evaluate(focused))
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", names
        if names[-1] == "Transfers":
            break
        page.keyboard.press("Tab")
    assert names[-1] == "Transfers", names
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Transfers")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type(history.completed)
    page.keyboard.press("Enter")
    expect(page.locator(".timeline")).to_be_visible()


def test_letters_are_looked_at(anyhow: Visit, park: Park) -> None:
    letter = park("a transfer of nobody")
    page = anyhow.page
    page.get_by_role("link", name="Dead letters").click()
    row = page.get_by_role("row").filter(has=page.locator(f'a[href="#/letters/{letter}"]'))
    expect(row).to_contain_text("unparsable")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("letters")
    row.get_by_role("link").click()
    expect(page.get_by_label("The item")).to_contain_text("a transfer of nobody")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("letter")


def test_a_letter_is_given_up_only_after_it_was_said_what_that_does(operator: Visit, bank: Bank, park: Park) -> None:
    letter = park("given up")
    page = operator.page
    page.goto(f"/console#/letters/{letter}")
    page.get_by_role("button", name="Discard").click()
    dialog = page.get_by_role("dialog", name="Give this letter up?")
    expect(dialog).to_contain_text("ledger will not get it again")
    operator.check_access()
    operator.keep("letter-confirm")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert bank.admin.get(f"/admin/dead-letters/{letter}")["resolution"] is None
    page.get_by_role("button", name="Discard").click()
    dialog.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("Discarded.", exact=True).first).to_be_visible()
    expect(page.get_by_text("nothing is left to decide")).to_be_visible()
    assert bank.admin.get(f"/admin/dead-letters/{letter}")["resolution"] == "discarded"


def test_a_letter_that_fails_again_is_said_to_stay(operator: Visit, bank: Bank, park: Park) -> None:
    """The ledger's worker gets it for real, and cannot read it any better than before."""
    letter = park("tried again")
    page = operator.page
    page.goto(f"/console#/letters/{letter}")
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_text("It failed again and stays open.").first).to_be_visible()
    assert bank.admin.get(f"/admin/dead-letters/{letter}")["resolution"] is None
    operator.keep("letter-failed-again")


def test_without_letters_it_says_that_nothing_waits(operator: Visit) -> None:
    operator.page.get_by_role("link", name="Dead letters").click()
    expect(operator.page.get_by_text("Nothing waits for you.")).to_be_visible()
    operator.keep("letters-none")


def test_what_fraud_decided_is_counted(anyhow: Visit, bank: Bank, history: History) -> None:
    page = anyhow.page
    page.get_by_role("link", name="Fraud").click()
    stats = bank.admin.get("/admin/fraud-stats")
    expect(page.get_by_text("Share blocked")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text(str(stats["total_checks"]))
    chart = page.get_by_role("img", name=re.compile("Transfers screened, by day"))
    expect(chart).to_contain_text("transfers per day (UTC)")
    ticks = [float(text.replace(",", "")) for text in chart.locator("text[text-anchor=end]").all_text_contents()]
    assert ticks == [ticks[-1] * share for share in (0, 0.25, 0.5, 0.75, 1)]
    today = max(stats["by_day"], key=lambda day: day["date"])
    expect(chart.locator("rect.approved title").last).to_have_text(re.compile(f": {today['approved']} approved"))
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table", name="Transfers screened, by day (UTC)")).to_contain_text(today["date"])
    expect(page.get_by_role("table", name=re.compile("How often"))).to_contain_text("amount above maximum")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("fraud")


def test_days_without_a_transfer_say_so(operator: Visit) -> None:
    page = operator.page
    page.goto("/console#/fraud?start_date=2001-01-01&end_date=2001-01-02")
    expect(page.get_by_text("Nothing was screened in these days.")).to_be_visible()


def test_the_audit_log_is_filtered(anyhow: Visit, history: History) -> None:
    page = anyhow.page
    page.get_by_role("link", name="Audit").click()
    page.get_by_label("Action", exact=True).select_option("FRAUD_CHECK")
    page.get_by_label("Status").select_option("blocked")
    page.get_by_label("Resource id", exact=True).fill(history.blocked)
    page.get_by_role("button", name="Filter").click()
    table = page.get_by_role("table", name=re.compile("1 row, newest first"))
    expect(table.get_by_role("row")).to_have_count(2)
    table.get_by_text("Show").click()
    expect(table).to_contain_text("limits_version")
    anyhow.check_access()
    anyhow.has_no_sideways()
    anyhow.keep("audit")


def test_the_rows_that_are_shown_can_be_had_as_a_file(operator: Visit, history: History) -> None:
    page = operator.page
    page.goto(f"/console#/audit?resource_id={history.blocked}&action=TRANSFER")
    expect(page.get_by_role("heading", name="Audit", level=1)).to_be_visible()
    expect(page.get_by_role("table")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="All of these as CSV").click()
    assert downloading.value.suggested_filename == "audit-logs.csv"
    with downloading.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["action"], row["resource_id"]) for row in rows] == [("TRANSFER", history.blocked)]


def test_the_chain_is_verified(operator: Visit, history: History) -> None:
    page = operator.page
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("button", name="Verify the whole log").click()
    expect(page.get_by_text(re.compile(r"Verified: [\d,]+ rows are what was recorded"))).to_be_visible(timeout=30_000)
    operator.check_access()
