"""Faults: a whole Remit of which parts are taken away while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from deploy.local.stack import Stack
from tests.support import whole
from tests.support.bank import Bank
from tests.support.whole import bank_of, whole_remit

SETTINGS = {
    **whole.SETTINGS,
    "REMIT_FRAUD_MAX_HOURLY_COUNT": "off",
    "REMIT_FRAUD_MAX_DAILY_COUNT": "off",
}
# The defaults, for tests that are about how soon something is told.
HURRIED = {**SETTINGS, "REMIT_GATEWAY_PUBLISH_TIMEOUT_S": "1", "REMIT_GATEWAY_REDIS_TIMEOUT_S": "1"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Servers and services of this module's own, to be broken."""
    with whole_remit(SETTINGS, durable=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def bank(stack: Stack) -> Iterator[Bank]:
    """The same over HTTP."""
    with closing(bank_of(stack)) as bank:
        yield bank
