"""What fraud is told."""

from __future__ import annotations

from typing import Annotated

import pydantic

from services.fraud.domain import AmountLimit, Limits, parse_amount_limit, parse_count_limit
from shared.settings import Environment, WorkerSettings, amqp_url, from_environment, postgres_url, reads_postgres_url

PREFIX = "REMIT_FRAUD_"
_MAX_AMOUNT = "1000000"
_MAX_DAILY_AMOUNT = "5000000"
_MIN_AMOUNT = "0.01"


def _max_amount(text: str) -> AmountLimit | None:
    return parse_amount_limit(text, default=_MAX_AMOUNT)


def _max_daily_amount(text: str) -> AmountLimit | None:
    return parse_amount_limit(text, default=_MAX_DAILY_AMOUNT)


def _min_amount(text: str) -> AmountLimit | None:
    return parse_amount_limit(text, default=_MIN_AMOUNT, is_minimum=True)


class Settings(WorkerSettings):
    """Fraud's settings. Amounts in major units, windows roll over 24 hours and one hour; other times in seconds.

    The addresses of transfer's and audit's views serve the reconciler alone.
    """

    http_port: int = pydantic.Field(default=8082, ge=0, le=65535)
    # Two consumers, the reconciler with the session that holds its lock, and the health checks.
    database_connections_max: int = pydantic.Field(default=6, ge=2, le=100)
    transfer_url: str
    audit_url: str
    max_amount: Annotated[AmountLimit | None, pydantic.PlainValidator(_max_amount)] = _max_amount(_MAX_AMOUNT)
    max_daily_amount: Annotated[AmountLimit | None, pydantic.PlainValidator(_max_daily_amount)] = _max_daily_amount(
        _MAX_DAILY_AMOUNT
    )
    max_hourly_count: Annotated[int | None, pydantic.PlainValidator(parse_count_limit)] = 50
    max_daily_count: Annotated[int | None, pydantic.PlainValidator(parse_count_limit)] = 200
    min_amount: Annotated[AmountLimit | None, pydantic.PlainValidator(_min_amount)] = _min_amount(_MIN_AMOUNT)
    reconcile_grace_s: float = pydantic.Field(default=10.0, ge=0)
    reconcile_items_max: int = pydantic.Field(default=5_000, ge=1, le=100_000)

    @property
    def limits(self) -> Limits:
        """What each user is measured against."""
        return Limits(
            min_amount=self.min_amount,
            max_amount=self.max_amount,
            max_daily_amount=self.max_daily_amount,
            max_hourly_count=self.max_hourly_count,
            max_daily_count=self.max_daily_count,
        )


def settings_from(environment: Environment) -> Settings:
    """Settings from `REMIT_FRAUD_…` and the addresses.

    Raises:
        SettingsError: one is missing or wrong.
    """
    return from_environment(
        Settings,
        environment,
        PREFIX,
        database_url=postgres_url(environment, "fraud"),
        amqp_url=amqp_url(environment, "fraud"),
        transfer_url=reads_postgres_url(environment, "fraud", "transfer"),
        audit_url=reads_postgres_url(environment, "fraud", "audit"),
    )
