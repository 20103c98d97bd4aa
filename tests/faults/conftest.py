"""Faults: a whole Remit of which parts are taken away while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from deploy.local.stack import Stack
from tests.support.bank import Bank
from tests.support.whole import bank_of, whole_remit

SETTINGS = {
    "REMIT_GATEWAY_IP_RATE_LIMIT": "off",
    "REMIT_FRAUD_MAX_HOURLY_COUNT": "off",
    "REMIT_FRAUD_MAX_DAILY_COUNT": "off",
}


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
