"""Orders of an operator at an account's page: asked for, counted afterwards, and their answers lost on the way."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from tests.support.bank import Bank


def show(page: Page, account: str) -> None:
    """The page of an account, once it tells the balance."""
    page.goto(f"/console#/accounts/{account}")
    expect(page.locator(".amount")).to_be_visible()


def asked(page: Page, act: str, amount: str = "10.5", description: str = "") -> Locator:
    """The question that stands before a deposit or a withdrawal."""
    page.get_by_label(re.compile("^Amount")).fill(amount)
    page.get_by_label("Description, if any").fill(description)
    page.get_by_role("button", name=f"{act} …").click()
    return page.get_by_role("dialog", name=re.compile(f"^{act} "))


def moves(bank: Bank, account: str) -> list[dict[str, Any]]:
    """The deposits and withdrawals of an account, without the one that funded it."""
    items: list[dict[str, Any]] = bank.admin.get("/admin/transfers", account_id=account)["items"]
    return [item for item in items if item["amount"] != "2500.00"]


class Losing:
    """Does what the page asks for, under its key and its operator's name, and loses the answer, or half of it."""

    def __init__(self, bank: Bank, *, half: bool = False) -> None:
        self._bank = bank
        self._half = half
        self.lost = 0

    def __call__(self, route: Route) -> None:
        request = route.request
        key = request.headers.get("idempotency-key")
        path = request.url.partition("/api/v1")[2]
        done = self._bank.admin.call(request.method, path, key=key, json=request.post_data_json)
        assert done.is_success, done.text
        self.lost += 1
        if self._half:
            route.fulfill(status=done.status_code, body=done.text[:20], content_type="application/json")
        else:
            route.abort()
