"""Faults: a whole Remit of which parts are taken away while it works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from tests.support.bank import Bank

SETTINGS = {
    "REMIT_GATEWAY_IP_RATE_LIMIT": "off",
    "REMIT_FRAUD_MAX_HOURLY_COUNT": "off",
    "REMIT_FRAUD_MAX_DAILY_COUNT": "off",
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Servers and services of this module's own, to be broken."""
    with temporary_stack(durable=True, settings=SETTINGS) as stack:
        stack.start_servers()
        stack.migrate()
        stack.start_services()
        yield stack


@pytest.fixture(scope="module")
def bank(stack: Stack) -> Iterator[Bank]:
    """The same over HTTP."""
    env = stack.env
    bank = Bank(env["REMIT_API_URL"], env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"])
    yield bank
    bank.close()
