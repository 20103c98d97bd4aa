"""The audit log's page: verification as it goes on, and what it finds."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from playwright.sync_api import Page, expect

from deploy.local.stack import Stack
from services.audit.domain import entry_of
from services.audit.store import Store
from shared.contracts.base import Context
from shared.contracts.gateway import ActivityRecorded
from shared.database import open_database
from tests.console.browser import SLOW_MS, Visit, held_after
from tests.console.conftest import History
from tests.support.builders import NOON

_REFUSED = "the server responded with a status of 422"
_ROWS, _TOGETHER = 150_000, 5_000
_VERIFIED = re.compile(r"Verified: [\d,]+ rows are what was recorded")


@pytest.fixture(scope="module")
def long_log(stack: Stack, history: History) -> None:
    """As many rows as take a walk some seconds."""
    with ThreadPoolExecutor(1) as thread:
        # In this one Playwright has a loop of its own.
        thread.submit(asyncio.run, _lengthen(stack.env["REMIT_AUDIT_POSTGRES_URL"])).result()


async def _lengthen(url: str) -> None:
    context = Context(request_id="long", user_agent="tests")
    entry = entry_of(
        ActivityRecorded(
            activity_id=uuid4(),
            action="LOGIN",
            resource_type="user",
            status="success",
            occurred_at=NOON,
            context=context,
        )
    )
    async with open_database(url, name="tests", schema="audit") as database:
        store = Store(database)
        for _ in range(_ROWS // _TOGETHER):
            await store.record([entry._replace(event_id=uuid4()) for _ in range(_TOGETHER)])


def test_a_verification_shows_how_far_it_is_and_what_it_found(anyhow: Visit, long_log: None) -> None:
    page = anyhow.page
    page.goto("/console#/audit?action=RESTORE&resource_type=dead_letter")
    expect(page.get_by_text("No row is like that.")).to_be_visible()
    bar = page.get_by_role("progressbar", name="Rows that were hashed again")
    with held_after(page, "/admin/audit-logs/verify/events", '"walked": ?[1-9]'):
        page.get_by_role("button", name="Verify the whole log").click()
        expect(page.get_by_text(re.compile(r"[1-9][\d,]* of 15\d,\d+ rows hashed again"))).to_be_visible()
        assert 0 < float(bar.get_attribute("value") or "0") < float(bar.get_attribute("max") or "0")
        anyhow.keep("audit-verifying")
        anyhow.has_no_sideways()
        anyhow.check_access()
    expect(page.get_by_text(_VERIFIED)).to_be_visible(timeout=SLOW_MS)
    anyhow.keep("audit-verified")


@contextmanager
def _held_half_way(page: Page, stack: Stack) -> Iterator[None]:
    """The gateway stands still as soon as some rows are walked: the rest of them would take it but a moment."""
    page.wait_for_function("() => document.querySelector('progress')?.value > 0", polling="raf")
    stack.signal("gateway", signal.SIGSTOP)
    try:
        yield
    finally:
        stack.signal("gateway", signal.SIGCONT)


def test_the_first_row_that_was_edited_is_named(operator: Visit, stack: Stack, history: History) -> None:
    page = operator.page
    with psycopg.connect(stack.env["REMIT_POSTGRES_URL"], autocommit=True) as connection:
        edit = "UPDATE audit.audit_logs SET status = %s WHERE seq = 3 RETURNING status"
        [(before,)] = connection.execute("SELECT status FROM audit.audit_logs WHERE seq = 3").fetchall()
        connection.execute("ALTER TABLE audit.audit_logs DISABLE TRIGGER USER")
        connection.execute(edit, ("failed" if before != "failed" else "success",))
        try:
            page.get_by_role("link", name="Audit").click()
            page.get_by_role("button", name="Verify the whole log").click()
            expect(page.locator(".notice.bad")).to_contain_text("The log is broken.")
            expect(page.get_by_text("is row 3: content changed.")).to_be_visible()
            operator.check_access()
            operator.keep("audit-broken")
        finally:
            connection.execute(edit, (before,))
            connection.execute("ALTER TABLE audit.audit_logs ENABLE TRIGGER USER")


def test_a_gateway_that_hangs_under_a_verification_leaves_it_open(
    operator: Visit, stack: Stack, long_log: None
) -> None:
    operator.expected += ["Failed to load resource", "net::ERR"]
    page = operator.page
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("button", name="Verify the whole log").click()
    with _held_half_way(page, stack):
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Nothing was found out.", timeout=SLOW_MS)
        operator.check_access()
        operator.keep("audit-broken-off")
    page.get_by_role("button", name="Verify the whole log").click()
    expect(page.get_by_text(_VERIFIED)).to_be_visible(timeout=SLOW_MS)


def test_a_filter_that_no_row_can_have_is_said_at_its_field(operator: Visit) -> None:
    operator.expected.append(_REFUSED)
    page = operator.page
    page.get_by_role("link", name="Audit").click()
    page.get_by_label("User id", exact=True).fill("ada")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_label("User id", exact=True)).to_have_accessible_description("must be an id")
    operator.check_access()
