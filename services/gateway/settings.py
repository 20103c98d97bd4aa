"""What the gateway is told. Times in seconds."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pydantic
import structlog

from shared.settings import (
    Environment,
    Host,
    SettingsModel,
    amqp_url,
    build,
    checkpoint_url,
    drawn_instance,
    postgres_url,
    reads_postgres_url,
    redis_url,
    required,
)

log = structlog.get_logger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PREFIX = "REMIT_GATEWAY_"
_READS = ("fraud", "transfer", "ledger", "audit")


class Settings(SettingsModel):
    """The gateway's settings, read once."""

    http_host: Host = "127.0.0.1"
    http_port: int = pydantic.Field(default=8080, ge=0, le=65_535)
    # Names the reply queue: no two live gateways may share it.
    instance: str = pydantic.Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    identity_url: str
    fraud_url: str
    transfer_url: str
    ledger_url: str
    audit_url: str
    redis_url: str
    amqp_url: str
    # Where audit tells its checkpoints; the gateway reads them there.
    checkpoint_url: str
    jwt_secret: pydantic.SecretStr = pydantic.Field(min_length=32)
    jwt_ttl_s: int = pydantic.Field(default=900, ge=1, le=86_400)
    admin_email: str | None = pydantic.Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)
    admin_password: pydantic.SecretStr | None = pydantic.Field(default=None, min_length=8, max_length=128)
    # None: the limit is off.
    ip_rate_limit: int | None = pydantic.Field(default=10, ge=1, le=100_000)
    ip_rate_window_s: int = pydantic.Field(default=60, ge=1, le=86_400)
    trusted_proxies: tuple[Network, ...] = ()
    ledger_max_lag_s: float = pydantic.Field(default=60.0, gt=0)
    # Between two rounds of the background verifier.
    verify_every_s: float = pydantic.Field(default=10.0, ge=0.05, le=3_600)
    database_connections_max: int = pydantic.Field(default=4, ge=2, le=100)
    publish_timeout_s: float = pydantic.Field(default=1.0, gt=0, le=60)
    redis_timeout_s: float = pydantic.Field(default=1.0, gt=0, le=60)
    password_threads: int = pydantic.Field(default=2, ge=1, le=64)
    password_waiting_max: int = pydantic.Field(default=64, ge=1, le=10_000)
    # Commands that are read and not yet answered, and as many reads; more are refused at once (decision 0020).
    calls_max: int = pydantic.Field(default=256, ge=1, le=100_000)
    # Open connections, silent ones among them.
    connections_max: int = pydantic.Field(default=12_000, ge=1, le=1_000_000)
    # For a head, from its first byte to its last, and for a body after that.
    head_timeout_s: float = pydantic.Field(default=10.0, gt=0, le=300)
    body_timeout_s: float = pydantic.Field(default=30.0, gt=0, le=300)
    # For a client that takes nothing of its answer.
    read_timeout_s: float = pydantic.Field(default=30.0, gt=0, le=300)
    # Between SIGTERM and the end of listening, unready already: longer than a proxy takes to notice.
    leave_s: float = pydantic.Field(default=0.0, ge=0, le=300)
    drain_timeout_s: int = pydantic.Field(default=35, ge=1, le=300)

    @pydantic.field_validator("ip_rate_limit", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return None if isinstance(value, str) and value.strip().lower() == "off" else value

    @pydantic.field_validator("trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [part for part in re.split(r"[\s,]+", value) if part] if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _admin_whole(self) -> Settings:
        if (self.admin_email is None) != (self.admin_password is None):
            raise ValueError(f"{_PREFIX}ADMIN_EMAIL and {_PREFIX}ADMIN_PASSWORD come together")
        return self


_VARIABLES = {
    "http_host": f"{_PREFIX}HOST",
    "http_port": f"{_PREFIX}PORT",
    "redis_url": "REMIT_REDIS_URL",
    "ledger_max_lag_s": "REMIT_LEDGER_MAX_LAG_S",
    "checkpoint_url": "REMIT_AUDIT_CHECKPOINT_URL",
}


def settings_from(environment: Environment) -> Settings:
    """The settings that the environment gives.

    Raises:
        SettingsError: one is missing or wrong; the line names the variable and never repeats a value.
    """
    names = {field: _VARIABLES.get(field, f"{_PREFIX}{field.upper()}") for field in Settings.model_fields}
    required(environment, names["jwt_secret"])
    redis = redis_url(environment)
    addresses: dict[str, object] = {
        "identity_url": postgres_url(environment, "identity"),
        **{f"{schema}_url": reads_postgres_url(environment, "gateway", schema) for schema in _READS},
        "redis_url": redis,
        "checkpoint_url": checkpoint_url(environment) or redis,
        "amqp_url": amqp_url(environment, "gateway"),
    }
    read = {
        field: environment[name]
        for field, name in names.items()
        if field not in addresses and environment.get(name, "").strip()
    }
    settings = build(Settings, {"instance": drawn_instance(), **read, **addresses}, names)
    if settings.ip_rate_limit is None:
        log.warning("ip_rate_limit_off", variable=names["ip_rate_limit"])
    return settings
