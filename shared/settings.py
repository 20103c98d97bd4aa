"""How settings are read: one frozen class a service, built in its `__main__` from the environment.

A narrower address that is not set derives from the wide one: the same server, the role's own name, and a password
that only holders of the wide secret can compute. So one secret starts a development stack, and in production each
process is given nothing but its own addresses.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import socket
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pydantic

from shared.addresses import HTTP, AddressInvalid, kind_of
from shared.errors import SettingsError
from shared.ids import random_id

Environment = Mapping[str, str]

# The service that owns each schema. Roles and broker users carry the service's name.
SCHEMA_OWNERS: Mapping[str, str] = {
    "identity": "gateway",
    "fraud": "fraud",
    "transfer": "transfer",
    "ledger": "ledger",
    "audit": "audit",
}


class SettingsModel(pydantic.BaseModel):
    """A frozen group of settings; an unknown or wrong value is an error, never ignored."""

    # No setting is infinite: what waits or counts so long is off, and has a word for it.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)


# Where a process listens: an IP address, or a name that is one.
Host = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9._:%-]{1,253}$")]


class WorkerSettings(SettingsModel):
    """What every worker is told; each service's `settings.py` adds its own. Times in seconds."""

    http_host: Host = "127.0.0.1"
    http_port: int = pydantic.Field(ge=0, le=65535)
    database_url: str
    amqp_url: str
    database_connections_max: int = pydantic.Field(default=4, ge=2, le=100)
    publish_timeout_s: float = pydantic.Field(default=5.0, gt=0, le=60)
    # Envelopes: each may hold a thousand items, so this bounds the memory of a worker that has fallen behind.
    prefetch_max: int = pydantic.Field(default=32, ge=1, le=2_000)
    # Of several workers the one with the highest is given what its hands can hold, the next one the rest; those with
    # the same take turns. None: each draws its own.
    consumer_priority: int | None = pydantic.Field(default=None, ge=0, le=65_535)
    batch_items_max: int = pydantic.Field(default=2_000, ge=1, le=10_000)
    reconcile_every_s: float = pydantic.Field(default=60.0, gt=0)


class TraceSettings(SettingsModel):
    """Where each service sends spans of the calls that are traced, and which calls are."""

    # An OTLP/HTTP receiver, at its usual path where none is said. No user in it: it is logged.
    endpoint: str | None = pydantic.Field(default=None, pattern=r"^https?://[^/@\s?#]+(/[^@\s]*)?$")
    # Of the calls whose caller has not decided, 0 to 1.
    sample: float = pydantic.Field(default=0.01, ge=0, le=1)

    @pydantic.field_validator("endpoint")
    @classmethod
    def _with_path(cls, value: str | None) -> str | None:
        if value is None or urlsplit(HTTP.checked(value)).path.strip("/"):
            return value
        return f"{value.rstrip('/')}/v1/traces"


class LogSettings(SettingsModel):
    """How each service writes its log."""

    format: Literal["json", "text"] = "json"
    level: str = "INFO"

    @pydantic.field_validator("format", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @pydantic.field_validator("level")
    @classmethod
    def _known(cls, value: str) -> str:
        if value.upper() not in logging.getLevelNamesMapping():
            raise ValueError("must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
        return value.upper()


Model = TypeVar("Model", bound=SettingsModel)


def drawn_instance() -> str:
    """A name that no other running process has."""
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:60]
    return f"{host}-{os.getpid()}-{random_id().hex[:8]}"


def role_of(service: str) -> str:
    """The PostgreSQL role and RabbitMQ user of a service."""
    return f"remit_{service}"


def role_password(secret: str, role: str) -> str:
    """The password of a narrower role, from the secret of the wide one (HMAC-SHA256, hex)."""
    return hmac.new(secret.encode(), f"remit role {role}".encode(), hashlib.sha256).hexdigest()


def as_role(url: str, role: str) -> str:
    """`url` with the role's name and derived password in place of the owner's."""
    parts = urlsplit(url)
    secret = role_password(unquote(parts.password or ""), role)
    at = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{secret}@{at}"))


def required(environment: Environment, name: str) -> str:
    """The value of a variable that has no default.

    Raises:
        SettingsError: it is unset or empty.
    """
    value = environment.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def address(environment: Environment, name: str) -> str:
    """The address that a variable holds, of the kind that its name says.

    Raises:
        SettingsError: it is unset, or no client could use it; the line names the variable alone.
    """
    try:
        return kind_of(name).checked(required(environment, name))
    except AddressInvalid as error:
        raise SettingsError(f"{name} {error}") from None


def address_if_set(environment: Environment, name: str) -> str | None:
    """The same, or None where the variable is unset or empty."""
    return address(environment, name) if environment.get(name, "").strip() else None


def _own_or_derived(environment: Environment, name: str, wide: str, role: str) -> str:
    if own := address_if_set(environment, name):
        return own
    if not environment.get(wide, "").strip():
        raise SettingsError(f"neither {name} nor {wide} is set")
    return as_role(address(environment, wide), role)


def postgres_url(environment: Environment, schema: str) -> str:
    """Where the owning service reads and writes `schema`, as its own role."""
    name = f"REMIT_{schema.upper()}_POSTGRES_URL"
    return _own_or_derived(environment, name, "REMIT_POSTGRES_URL", role_of(SCHEMA_OWNERS[schema]))


def owner_postgres_url(environment: Environment, schema: str) -> str:
    """Where migrations change `schema`, as the owner of its tables."""
    own = address_if_set(environment, f"REMIT_{schema.upper()}_OWNER_POSTGRES_URL")
    return own or address(environment, "REMIT_POSTGRES_URL")


def reads_postgres_url(environment: Environment, service: str, schema: str) -> str:
    """Where `service` reads the views of another's `schema`; may be a replica."""
    name = f"REMIT_{service.upper()}_READS_{schema.upper()}_POSTGRES_URL"
    return _own_or_derived(environment, name, "REMIT_POSTGRES_URL", role_of(service))


def amqp_url(environment: Environment, service: str) -> str:
    """Where `service` meets the broker, as its own user."""
    return _own_or_derived(
        environment,
        f"REMIT_{service.upper()}_AMQP_URL",
        "REMIT_AMQP_URL",
        role_of(service),
    )


def redis_url(environment: Environment) -> str:
    """Where the gateways meet Redis."""
    return address(environment, "REMIT_REDIS_URL")


def checkpoint_url(environment: Environment) -> str | None:
    """The Redis that audit tells its checkpoints, where one is named for that."""
    return address_if_set(environment, "REMIT_AUDIT_CHECKPOINT_URL")


def build(model: type[Model], values: Mapping[str, object], names: Mapping[str, str]) -> Model:
    """`model` from `values`; a wrong value is named by its variable (`names`: field to variable).

    Raises:
        SettingsError: one line that names the variable and says what is wrong; the value itself is not repeated.
    """
    try:
        return model(**{field: value for field, value in values.items() if value is not None})
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        said = first["msg"].removeprefix("Value error, ")
        # What concerns several names them itself.
        raise SettingsError(f"{names.get(field, field)}: {said}" if field else said) from None


def from_environment(model: type[Model], environment: Environment, prefix: str, **given: object) -> Model:
    """`model` with each field that is not `given` read from `<prefix><FIELD>`; unset fields keep their default."""
    names = {field: f"{prefix}{field.upper()}" for field in model.model_fields if field not in given}
    read = {field: environment[name] for field, name in names.items() if environment.get(name, "").strip()}
    return build(model, {**read, **given}, names)


def traces_from(environment: Environment) -> TraceSettings:
    """What every service is told of tracing, from `REMIT_TRACES_…`.

    Raises:
        SettingsError: one is wrong.
    """
    return from_environment(TraceSettings, environment, "REMIT_TRACES_")


def logs_from(environment: Environment) -> LogSettings:
    """How every service writes its log, from `REMIT_LOG_…`.

    Raises:
        SettingsError: one is wrong.
    """
    return from_environment(LogSettings, environment, "REMIT_LOG_")
