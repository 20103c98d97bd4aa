"""What transfer is told."""

from __future__ import annotations

import pydantic

from shared.settings import Environment, WorkerSettings, amqp_url, from_environment, postgres_url, reads_postgres_url


class Settings(WorkerSettings):
    """Transfer's settings; the reads serve its reconciler alone. Times in seconds."""

    http_port: int = pydantic.Field(default=8081, ge=0, le=65535)
    ledger_url: str
    audit_url: str
    fraud_url: str
    reconcile_grace_s: float = pydantic.Field(default=10.0, ge=0)
    reconcile_items_max: int = pydantic.Field(default=5_000, ge=1)


def settings_from(environment: Environment) -> Settings:
    """Settings from `REMIT_TRANSFER_…` and the addresses.

    Raises:
        SettingsError: one is missing or wrong.
    """
    return from_environment(
        Settings,
        environment,
        "REMIT_TRANSFER_",
        database_url=postgres_url(environment, "transfer"),
        amqp_url=amqp_url(environment, "transfer"),
        ledger_url=reads_postgres_url(environment, "transfer", "ledger"),
        audit_url=reads_postgres_url(environment, "transfer", "audit"),
        fraud_url=reads_postgres_url(environment, "transfer", "fraud"),
    )
