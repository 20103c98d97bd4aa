"""The settings by themselves: is anything missing, wrong, guessable, or does one contradict another?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from remit.doctor.findings import Finding, fine, noted, wrong
from remit.doctor.secrecy import PASSWORD_LEAST, named_secrets, readable, user_of, weakness
from services.audit.settings import settings_from as audit_settings
from services.fraud.settings import Settings as FraudSettings
from services.fraud.settings import settings_from as fraud_settings
from services.gateway.settings import settings_from as gateway_settings
from services.ledger.settings import settings_from as ledger_settings
from services.transfer.settings import settings_from as transfer_settings
from shared.errors import SettingsError
from shared.settings import SCHEMA_OWNERS, Environment, owner_postgres_url, role_of, traces_from

_JWT_SECRET, _ADMIN_PASSWORD = "REMIT_GATEWAY_JWT_SECRET", "REMIT_GATEWAY_ADMIN_PASSWORD"
# Signs what anybody may see, so it can be tried at home; typed by people, at a door that counts the tries.
_LEAST = {_JWT_SECRET: 32, _ADMIN_PASSWORD: 12}
_WORKERS: Mapping[str, Callable[[Environment], object]] = {
    "fraud": fraud_settings,
    "transfer": transfer_settings,
    "ledger": ledger_settings,
    "audit": audit_settings,
}
_LIMITS = ("min_amount", "max_amount", "max_daily_amount", "max_hourly_count", "max_daily_count")


async def examine(environment: Environment) -> Sequence[Finding]:
    """All of it; no server is asked."""
    try:
        addresses = dict(readable(environment))
    except SettingsError as error:
        return [wrong(str(error), "write it anew; a password in it must be percent-encoded")]
    found = [*_missing(environment), *_refused(environment), *_contradictions(addresses), *_weak(environment)]
    if not found:
        found.append(fine("every address is there, each service has a user of its own, and no secret is guessable"))
    return [*found, *_unusual(environment)]


def _missing(environment: Environment) -> Iterator[Finding]:
    for schema in SCHEMA_OWNERS:
        try:
            owner_postgres_url(environment, schema)
        except SettingsError as error:
            yield wrong(f"{error}, so the schema {schema} cannot be looked at", "set the address of its owner")
    for name, what in (
        ("REMIT_REDIS_URL", "Redis"),
        ("REMIT_AMQP_URL", "the broker"),
        ("REMIT_AMQP_MANAGEMENT_URL", "the broker's queues and users"),
    ):
        if not environment.get(name, "").strip():
            yield wrong(f"{name} is not set, so {what} cannot be looked at", f"set {name}")


def _refused(environment: Environment) -> Iterator[Finding]:
    """What a service would say of these settings when it starts; of the gateway's only if they are all here."""
    services = dict(_WORKERS)
    if environment.get(_JWT_SECRET, "").strip():
        services["gateway"] = gateway_settings
    for name, settings_from in services.items():
        try:
            settings_from(environment)
        except SettingsError as error:
            yield wrong(f"{name} would not start: {error}", "correct that setting")
    try:
        traces_from(environment)
    except SettingsError as error:
        yield wrong(f"no service would start: {error}", "correct that setting")


def _contradictions(addresses: Mapping[str, str]) -> Iterator[Finding]:
    for name, url in addresses.items():
        service = _service_of(name)
        if service and user_of(url) not in {role_of(service), ""}:
            expected = role_of(service)
            yield wrong(
                f"{name} names the user {user_of(url)!r}, but {service}'s own is {expected!r}",
                f"give {service} the address of {expected}: as anybody else it can do too much, or nothing",
            )
    vhosts = {_vhost(url) for name, url in addresses.items() if name.endswith("_AMQP_URL")}
    if len(vhosts) > 1:
        yield wrong(
            f"the brokers' addresses name {len(vhosts)} virtual hosts: what one service publishes another never sees",
            "let all of them name the same virtual host",
        )


def _vhost(url: str) -> str:
    return unquote(urlsplit(url).path.removeprefix("/")) or "/"


def _service_of(name: str) -> str:
    """The service whose own address this variable holds, or an empty string."""
    for schema, service in SCHEMA_OWNERS.items():
        own = f"REMIT_{schema.upper()}_POSTGRES_URL", f"REMIT_{service.upper()}_AMQP_URL"
        if name in own or name.startswith(f"REMIT_{service.upper()}_READS_"):
            return service
    return ""


def _weak(environment: Environment) -> Iterator[Finding]:
    users: dict[str, set[str]] = defaultdict(set)
    names: dict[str, list[str]] = defaultdict(list)
    for name, user, secret in named_secrets(environment):
        if why := weakness(secret, user, least=_LEAST.get(name, PASSWORD_LEAST)):
            yield wrong(f"the secret in {name} {why}", "draw a new one: openssl rand -hex 24")
        users[secret].add(user or name)
        names[secret].append(name)
    for secret, owners in users.items():
        if len(owners) > 1:
            yield wrong(f"{', '.join(names[secret])} share one secret", "give each user one of its own")


def _unusual(environment: Environment) -> Iterator[Finding]:
    if environment.get("REMIT_GATEWAY_IP_RATE_LIMIT", "").strip().lower() == "off":
        yield noted("REMIT_GATEWAY_IP_RATE_LIMIT is off: one address may send as many transfers as it likes")
    try:
        limits: FraudSettings = fraud_settings(environment)
    except SettingsError:
        return
    if without := [name for name in _LIMITS if getattr(limits, name) is None]:
        variables = ", ".join(f"REMIT_FRAUD_{name.upper()}" for name in without)
        yield noted(f"fraud screens without these limits, which are off: {variables}")
