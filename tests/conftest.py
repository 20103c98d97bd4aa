"""What all tests share: real servers, private to this run and gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
)


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """PostgreSQL, Redis and RabbitMQ, migrated; no service runs on them but what a test starts itself."""
    with temporary_stack() as stack:
        stack.start_servers()
        stack.migrate()
        yield stack
