"""A whole Remit of a test's own: all its servers and services, and the bank that they are over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from tests.support.bank import Bank
from tests.support.waiting import PATIENT

# No suite takes as long: people who log in for all of one are in to its end. Shorter than a session of a browser.
TOKEN_LIFE_S = 6 * 3600
# For tests that are about neither limits on addresses nor time-outs: one machine sends what a thousand clients would.
SETTINGS = {"REMIT_GATEWAY_IP_RATE_LIMIT": "off", "REMIT_GATEWAY_JWT_TTL_S": str(TOKEN_LIFE_S), **PATIENT}


@contextmanager
def whole_remit(settings: Mapping[str, str], *, durable: bool = False) -> Iterator[Stack]:
    """All servers and services, ready; nothing of them is left afterwards."""
    with temporary_stack(durable=durable, settings=settings) as stack:
        stack.start_servers()
        stack.migrate()
        stack.start_services()
        yield stack


def bank_of(stack: Stack, n: int = 1) -> Bank:
    """The bank as the stack's `n`-th gateway serves it."""
    env = stack.env
    url = stack.service_url("gateway", n)
    return Bank(url, env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"])
