"""The five services as parts of the stack: what each is given, and no more."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx

from deploy.local import programs
from deploy.local.addresses import Addresses
from deploy.local.daemons import Command
from deploy.local.errors import StackError
from deploy.local.layout import CHECKOUT
from deploy.local.parts import NotReady
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.secrets import Secrets
from shared.settings import SCHEMA_OWNERS, as_role, role_of

SERVICES = ("gateway", "fraud", "transfer", "ledger", "audit")

# Whose views each service reads.
READS: Mapping[str, tuple[str, ...]] = {
    "gateway": ("fraud", "transfer", "ledger", "audit"),
    "fraud": ("transfer", "audit"),
    "transfer": ("ledger", "audit", "fraud"),
    "ledger": (),
    "audit": (),
}
PROBE_TIMEOUT_S = 2
# Longer than a worker takes to finish its batch.
STOP_TIMEOUT_S = 30

# Settings for the operator and the launcher, never for a service.
_WITHHELD = frozenset(
    {"REMIT_POSTGRES_URL", "REMIT_REDIS_URL", "REMIT_AMQP_URL", "REMIT_AMQP_MANAGEMENT_URL", "REMIT_INFRA"}
    | {"REMIT_API_URL"}
)
# Said to one service, but of interest to another: the gateway verifies the ledger, and the log by its checkpoints.
_ALSO_FOR: Mapping[str, str] = {"REMIT_LEDGER_MAX_LAG_S": "gateway", "REMIT_AUDIT_CHECKPOINT_URL": "gateway"}
FIXED_ENVIRONMENT: Mapping[str, str] = {"PATH": programs.SYSTEM_PATH, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
# Everything else of the caller's environment stays outside.
_INHERITED = ("HOME", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "PGSSLROOTCERT")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all services of a stack share."""

    addresses: Addresses
    secrets: Secrets
    caller: Mapping[str, str]
    # Where to look for the gateway's port first; None: any private one.
    gateway_port: int | None

    def postgres_of(self, schema: str) -> str:
        """The wide address of the server that holds a schema."""
        return self.caller.get(owner_setting(schema), self.addresses.postgres)


@dataclass(frozen=True, kw_only=True)
class Service:
    """One instance of a service; the first bears the service's name, the others a number."""

    service: str
    surroundings: Surroundings
    instance: int = 1
    overrides: Mapping[str, str] = field(default_factory=dict)
    # Where its code is: another release's, where two run side by side.
    checkout: Path = CHECKOUT

    @property
    def name(self) -> str:
        """The service, and the instance's number from the second on."""
        return self.service if self.instance == 1 else f"{self.service}-{self.instance}"

    @property
    def processes(self) -> tuple[str, ...]:
        """One process."""
        return (self.name,)

    @property
    def port_setting(self) -> str:
        """The setting that tells it where to serve HTTP."""
        return "REMIT_GATEWAY_PORT" if self.service == "gateway" else f"REMIT_{self.service.upper()}_HTTP_PORT"

    def choose_ports(self, ports: Ports) -> Mapping[str, int]:
        """One port: near the one asked for, if one is asked for."""
        return {self.name: ports.choose(self.name, first=self._first_port(), host=self._bind_host())}

    def url(self, ports: Mapping[str, int]) -> str:
        """Where it serves HTTP, for this machine."""
        host = self._bind_host()
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{ports[self.name]}"

    def prepare(self, ports: Mapping[str, int]) -> None:
        """Nothing: services keep no files."""

    def commands(self, ports: Mapping[str, int]) -> list[Command]:
        """The service."""
        return [
            Command(
                name=self.name,
                argv=(sys.executable, "-m", f"services.{self.service}"),
                env=self._environment(ports[self.name]),
                inherited=inherited_environment(),
                cwd=self.checkout,
                ports=ports,
                inputs=code_hash(self.service, self.checkout),
                stop_timeout_s=STOP_TIMEOUT_S,
            )
        ]

    def probe(self, ports: Mapping[str, int]) -> None:
        """Ask `/readyz`."""
        try:
            with httpx.Client(trust_env=False, timeout=PROBE_TIMEOUT_S) as client:
                answer = client.get(f"{self.url(ports)}/readyz")
        except httpx.HTTPError as error:
            raise NotReady(f"/readyz does not answer ({error})") from None
        if answer.status_code != httpx.codes.OK:
            raise NotReady(f"/readyz answers {answer.status_code}: {answer.text[:200]}")

    def describe(self, ports: Mapping[str, int]) -> str:
        """Its address."""
        return self.url(ports)

    def _first_port(self) -> int | None:
        asked = self.overrides.get(self.port_setting) or self.surroundings.caller.get(self.port_setting)
        if asked is None:
            return self.surroundings.gateway_port if self.name == "gateway" else None
        if not asked.isdecimal() or not 0 < int(asked) < 65_536:
            raise StackError(self.name, f"{self.port_setting} must be a port number, not {asked!r}")
        return int(asked)

    def _bind_host(self) -> str:
        if self.service != "gateway":
            return LOOPBACK
        return self.surroundings.caller.get("REMIT_GATEWAY_HOST", LOOPBACK)

    def _environment(self, port: int) -> dict[str, str]:
        settings = service_settings(self.service, self.surroundings)
        return {**FIXED_ENVIRONMENT, **settings, **self.overrides, self.port_setting: str(port)}


def inherited_environment() -> dict[str, str]:
    """What our own Python processes take from the caller beside their settings."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def service_settings(service: str, around: Surroundings) -> dict[str, str]:
    """The settings of one service: addresses as its own role, its own secrets, and what the caller says to it."""
    addresses, role = around.addresses, role_of(service)
    derived = {
        schema_setting(service): as_role(around.postgres_of(schema_of(service)), role),
        f"REMIT_{service.upper()}_AMQP_URL": as_role(addresses.amqp, role),
        **{reads_setting(service, schema): as_role(around.postgres_of(schema), role) for schema in READS[service]},
    }
    if service == "gateway":
        derived |= {"REMIT_REDIS_URL": addresses.redis, **gateway_secrets(around.secrets)}
    if service == "audit":
        derived["REMIT_AUDIT_CHECKPOINT_URL"] = addresses.redis
    return {**derived, **{name: value for name, value in around.caller.items() if _is_for(service, name)}}


def gateway_secrets(secrets: Secrets) -> dict[str, str]:
    """The gateway's own secrets, as settings."""
    return {
        "REMIT_GATEWAY_ADMIN_EMAIL": secrets.gateway_admin_email,
        "REMIT_GATEWAY_ADMIN_PASSWORD": secrets.gateway_admin_password,
        "REMIT_GATEWAY_JWT_SECRET": secrets.gateway_jwt_secret,
    }


def schema_of(service: str) -> str:
    """The schema that a service owns."""
    return next(schema for schema, owner in SCHEMA_OWNERS.items() if owner == service)


def schema_setting(service: str) -> str:
    """The setting that holds the address of the schema a service owns."""
    return f"REMIT_{schema_of(service).upper()}_POSTGRES_URL"


def reads_setting(service: str, schema: str) -> str:
    """The setting that holds the address under which a service reads another's schema."""
    return f"REMIT_{service.upper()}_READS_{schema.upper()}_POSTGRES_URL"


def owner_setting(schema: str) -> str:
    """The setting that names the server of a schema that is not where the others are, as its owner."""
    return f"REMIT_{schema.upper()}_OWNER_POSTGRES_URL"


def _is_for(service: str, setting: str) -> bool:
    if setting in _WITHHELD or setting.endswith("_OWNER_POSTGRES_URL"):
        return False
    prefixes = {name: {f"REMIT_{name.upper()}_"} for name in SERVICES}
    for schema, owner in SCHEMA_OWNERS.items():
        prefixes[owner].add(f"REMIT_{schema.upper()}_")
    addressed = {name for name, starts in prefixes.items() if setting.startswith(tuple(starts))}
    # A setting that names no service, such as a log level, is for all.
    return not addressed or service in addressed or _ALSO_FOR.get(setting) == service


@cache
def code_hash(service: str, checkout: Path = CHECKOUT) -> str:
    """Changes with the code a service runs: its own, the shared one, and the locked libraries."""
    folders = (checkout / "services" / service, checkout / "shared")
    files = [checkout / "services/__init__.py", checkout / "requirements/run.txt", *_sources(folders)]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(checkout)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(folders: Iterable[Path]) -> Iterable[Path]:
    return (
        path for folder in folders for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
