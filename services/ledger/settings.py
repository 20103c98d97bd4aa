"""What the ledger is told."""

from __future__ import annotations

import pydantic

from shared.settings import Environment, WorkerSettings, amqp_url, from_environment, postgres_url


class Settings(WorkerSettings):
    """The ledger's settings: a worker's, and nothing more."""

    http_port: int = pydantic.Field(default=8083, ge=0, le=65535)


def settings_from(environment: Environment) -> Settings:
    """Settings from `REMIT_LEDGER_…` and the addresses.

    Raises:
        SettingsError: one is missing or wrong.
    """
    return from_environment(
        Settings,
        environment,
        "REMIT_LEDGER_",
        database_url=postgres_url(environment, "ledger"),
        amqp_url=amqp_url(environment, "ledger"),
    )
