"""End to end: a whole Remit of its own, met over HTTP alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from tests.support.bank import Bank

# One machine sends what a thousand clients would.
_SETTINGS = {"REMIT_GATEWAY_IP_RATE_LIMIT": "off"}


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """All servers and services, the address limit off."""
    with temporary_stack(settings=_SETTINGS) as stack:
        stack.start_servers()
        stack.migrate()
        stack.start_services()
        yield stack


@pytest.fixture(scope="session")
def bank(stack: Stack) -> Iterator[Bank]:
    """A running Remit and its operator."""
    bank = bank_of(stack, 1)
    yield bank
    bank.close()


def bank_of(stack: Stack, n: int) -> Bank:
    """The bank as the stack's `n`-th gateway serves it."""
    env = stack.env
    url = stack.service_url("gateway", n)
    return Bank(url, env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"])
