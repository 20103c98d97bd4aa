"""Structured logs on standard output: one JSON object a line, or text for a person at a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_SECRET_NAMES = ("password", "token", "secret", "authorization", "cookie")


def configure_logs(service: str, *, as_json: bool = True, level: str = "INFO") -> None:
    """Sets up logging for a process, once, at its start."""
    renderer = structlog.processors.JSONRenderer() if as_json else _for_people()
    structlog.contextvars.bind_contextvars(service=service)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.WARNING,
        format="%(levelname)s %(name)s %(message)s",
    )


def _for_people() -> structlog.dev.ConsoleRenderer:
    # The plain formatter: the default one prints local variables, and with them secrets.
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def _without_secrets(_: Any, __: str, event: Any) -> Any:
    for name in list(event):
        if any(secret in name.lower() for secret in _SECRET_NAMES):
            event[name] = "[left out]"
    return event
