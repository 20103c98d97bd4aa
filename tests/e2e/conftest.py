"""End to end: a whole Remit of its own, met over HTTP alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from deploy.local.stack import Stack
from tests.support.bank import Bank
from tests.support.whole import SETTINGS, bank_of, whole_remit


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """All servers and services, the address limit off."""
    with whole_remit(SETTINGS) as stack:
        yield stack


@pytest.fixture(scope="session")
def bank(stack: Stack) -> Iterator[Bank]:
    """A running Remit and its operator."""
    with closing(bank_of(stack)) as bank:
        yield bank
