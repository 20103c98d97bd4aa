"""End to end: a whole Remit of its own, met over HTTP alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.testing import temporary_stack
from tests.support.bank import Bank

# One machine sends what a thousand clients would.
_SETTINGS = {"REMIT_GATEWAY_IP_RATE_LIMIT": "off"}


@pytest.fixture(scope="session")
def bank() -> Iterator[Bank]:
    """A running Remit and its operator."""
    with temporary_stack(settings=_SETTINGS) as stack:
        stack.start_servers()
        stack.migrate()
        stack.start_services()
        env = stack.env
        bank = Bank(env["REMIT_API_URL"], env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"])
        yield bank
        bank.close()
