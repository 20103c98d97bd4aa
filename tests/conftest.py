"""What all tests share: real servers, private to this run and gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from deploy.local.errors import StackError
from deploy.local.stack import Stack
from deploy.local.testing import check_choice, temporary_stack
from remit.client import AsyncClient, Client
from tests.support import reckoning
from tests.support.scripted import Kind

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
)


def pytest_configure(config: pytest.Config) -> None:
    """A wrong choice of servers is told once, before any test; what a run tells about itself, every run tells."""
    config.pluginmanager.register(reckoning)
    try:
        check_choice()
    except StackError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """PostgreSQL, Redis and RabbitMQ, migrated; no service runs on them but what a test starts itself."""
    with temporary_stack() as stack:
        stack.start_servers()
        stack.migrate()
        yield stack


@pytest.fixture(scope="session", params=[AsyncClient, Client], ids=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Both clients of `remit.client`, which keep the same rules."""
    chosen: Kind = request.param
    return chosen
