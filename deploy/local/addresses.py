"""Where the three servers are, and which of them the caller brought."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deploy.local.errors import StackError

INFRA_VALUES = ("external", "containers", "local")

# The settings that name a running server, by part.
SERVER_SETTINGS: Mapping[str, str] = {
    "postgres": "REMIT_POSTGRES_URL",
    "redis": "REMIT_REDIS_URL",
    "rabbitmq": "REMIT_AMQP_URL",
}
MANAGEMENT_SETTING = "REMIT_AMQP_MANAGEMENT_URL"


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The wide addresses: those of the owner and the administrator."""

    postgres: str
    redis: str
    amqp: str
    # None: a broker that the caller brought, without its HTTP API.
    management: str | None

    def settings(self) -> dict[str, str]:
        """The addresses as settings."""
        values = {
            "REMIT_POSTGRES_URL": self.postgres,
            "REMIT_REDIS_URL": self.redis,
            "REMIT_AMQP_URL": self.amqp,
        }
        return values if self.management is None else {**values, MANAGEMENT_SETTING: self.management}


def caller_settings(
    environment: Mapping[str, str], written: Mapping[str, str], given: frozenset[str]
) -> dict[str, str]:
    """The `REMIT_*` settings that the caller chose.

    An address that only repeats what the last start wrote (`written`) is our own, come back by way of a sourced
    `.local/env`, unless the caller had chosen it then too (`given`).
    """
    chosen = {name: value.strip() for name, value in environment.items() if name.startswith("REMIT_") and value.strip()}
    return {name: value for name, value in chosen.items() if name in given or not _repeats(name, value, written)}


def _repeats(name: str, value: str, written: Mapping[str, str]) -> bool:
    return name.endswith("_URL") and written.get(name) == value


def external_servers(caller: Mapping[str, str]) -> frozenset[str]:
    """The parts that run elsewhere.

    Raises:
        StackError: `REMIT_INFRA` is not a known value, or says `external` while an address is missing.
    """
    named = frozenset(part for part, setting in SERVER_SETTINGS.items() if setting in caller)
    infra = caller.get("REMIT_INFRA")
    if infra is not None and infra not in INFRA_VALUES:
        raise StackError("REMIT_INFRA", f"must be {', '.join(INFRA_VALUES[:-1])} or {INFRA_VALUES[-1]}, not {infra!r}")
    missing = [setting for part, setting in SERVER_SETTINGS.items() if part not in named]
    if infra == "external" and missing:
        raise StackError("REMIT_INFRA", f"is external, but {' and '.join(missing)} is not set")
    return named


def servers_in_containers(
    ours: Sequence[str],
    infra: str | None,
    *,
    kept: frozenset[str],
    missing: frozenset[str],
    installable: bool,
    engine_trouble: Callable[[], str | None],
) -> list[str]:
    """Which of our own servers run in containers; the others are programs of this machine, installed if need be.

    `kept` are those whose data are in containers already: without a word from the caller a server stays where its
    data are. `missing` have no program here; `engine_trouble` says why no engine answers.

    Raises:
        StackError: containers are wanted, and no engine answers.
    """
    if infra == "local" or not ours:
        return []
    if infra == "containers":
        if (trouble := engine_trouble()) is not None:
            raise StackError("REMIT_INFRA", f"is containers, but no Docker engine answers: {trouble}")
        return list(ours)
    homeless = missing - kept
    found_places = kept | homeless if homeless and not installable and engine_trouble() is None else kept
    return [name for name in ours if name in found_places]
