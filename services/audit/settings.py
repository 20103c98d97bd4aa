"""What audit is told."""

from __future__ import annotations

import pydantic

from shared.settings import Environment, WorkerSettings, amqp_url, checkpoint_url, from_environment, postgres_url


class Settings(WorkerSettings):
    """Audit's settings. Times in seconds."""

    http_port: int = pydantic.Field(default=8084, ge=0, le=65535)
    # A Redis whose stream keeps the checkpoints out of reach of whoever edits the database; none: the log alone.
    checkpoint_url: str | None = None
    checkpoint_every_s: float = pydantic.Field(default=60.0, gt=0, le=3_600)


def settings_from(environment: Environment) -> Settings:
    """Settings from `REMIT_AUDIT_…` and the addresses.

    Raises:
        SettingsError: one is missing or wrong.
    """
    return from_environment(
        Settings,
        environment,
        "REMIT_AUDIT_",
        database_url=postgres_url(environment, "audit"),
        amqp_url=amqp_url(environment, "audit"),
        checkpoint_url=checkpoint_url(environment),
    )
