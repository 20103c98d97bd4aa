"""The containers as they are described: who holds which secret, what each may do, what is demanded of the operator."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from remit.commands.definitions import broker_definitions
from tests.support.settings import SETTINGS_OF

_ROOT = Path(__file__).resolve().parents[2]
_SERVICES = ("gateway", "fraud", "transfer", "ledger", "audit")
_SERVERS = ("postgres", "redis", "rabbitmq", "haproxy", "prometheus")
_ONE_SHOTS = ("setup", "migrate", "remit")
# A variable as compose reads it: its name, and what is said where it has no value.
_VARIABLE = re.compile(r"\$\{(REMIT_[A-Z_]+)(?::([?-])([^}]*))?\}")
_IS_SECRET = re.compile(r"PASSWORD|SECRET")


@pytest.fixture(scope="module")
def services() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Any] = YAML(typ="safe").load(_ROOT / "docker-compose.yml")
    assert set(found["services"]) == {*_SERVICES, *_SERVERS, *_ONE_SHOTS}
    return dict(found["services"])


def secrets_of(service: Mapping[str, Any]) -> set[str]:
    """The names of the secrets that a container is given."""
    values = " ".join(str(value) for value in service.get("environment", {}).values())
    return {name for name, _, _ in _VARIABLE.findall(values) if _IS_SECRET.search(name)}


@pytest.mark.parametrize("name", _SERVICES)
def test_a_service_holds_its_own_secrets_and_nobody_elses(services: Mapping[str, Mapping[str, Any]], name: str) -> None:
    others = "|".join(other.upper() for other in (*_SERVICES, "postgres", "rabbitmq") if other != name)
    assert secrets_of(services[name])
    assert not [secret for secret in secrets_of(services[name]) if re.match(f"REMIT_({others})_", secret)]


@pytest.mark.parametrize("name", _SERVICES)
def test_a_service_starts_with_exactly_what_its_container_is_given(
    services: Mapping[str, Mapping[str, Any]], name: str
) -> None:
    """Nothing derives from the owner's address, and nothing that is required is missing."""
    SETTINGS_OF[name](interpolated(services[name]))


def test_every_secret_is_demanded_by_the_command_that_makes_it(services: Mapping[str, Mapping[str, Any]]) -> None:
    text = (_ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = {(name, kind, said) for name, kind, said in _VARIABLE.findall(text) if _IS_SECRET.search(name)}
    made = set(
        re.findall(r"^ +secret (REMIT_\w+)", (_ROOT / "deploy/secrets").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert used == {(name, "?", "run: sh deploy/secrets") for name in made}


@pytest.mark.parametrize("name", [*_SERVICES, *_SERVERS, *_ONE_SHOTS])
def test_every_container_is_confined_and_bounded(services: Mapping[str, Mapping[str, Any]], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit", "logging", "tmpfs"} <= set(service)
    assert service["restart"] == ("no" if name in _ONE_SHOTS else "unless-stopped")
    assert name in _ONE_SHOTS or service["healthcheck"]["test"]
    assert "container_name" not in service


def test_proxy_and_prometheus_alone_are_reached_from_outside_and_by_default_from_this_machine_only(
    services: Mapping[str, Mapping[str, Any]],
) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {
        "haproxy": ["${REMIT_BIND:-127.0.0.1}:${REMIT_PORT:-8080}:8080"],
        # It knows no password, so that its own variable alone opens it to others.
        "prometheus": ["${REMIT_PROMETHEUS_BIND:-127.0.0.1}:${REMIT_PROMETHEUS_PORT:-9090}:9090"],
    }
    assert services["prometheus"]["profiles"] == ["sight"]
    assert {name for name, service in services.items() if "front" in service.get("networks", [])} == {
        "haproxy",
        "gateway",
    }


def test_the_broker_boots_with_the_passwords_that_the_services_are_given(
    services: Mapping[str, Mapping[str, Any]],
) -> None:
    setup = interpolated(services["setup"])
    for name in _SERVICES:
        address = f"REMIT_{name.upper()}_AMQP_URL"
        assert interpolated(services[name])[address] == setup[address]
    assert {user["name"] for user in broker_definitions(setup)["users"]} == {
        "remit",
        *(f"remit_{name}" for name in _SERVICES),
    }


def test_secrets_are_made_once_for_their_owner_alone_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    shutil.copy(_ROOT / "deploy/secrets", tmp_path / "deploy/secrets")
    said = subprocess.run(("/bin/sh", tmp_path / "deploy/secrets"), check=True, capture_output=True, text=True)
    file = tmp_path / ".env"
    text = file.read_text(encoding="utf-8")
    values = [line.partition("=")[2] for line in text.splitlines() if "PASSWORD=" in line or "SECRET=" in line]
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(values) == len(set(values)) == 17
    assert all(re.fullmatch(r"[0-9a-f]{36,64}", value) for value in values)
    assert not any(value in said.stdout + said.stderr for value in values)

    subprocess.run(("/bin/sh", tmp_path / "deploy/secrets"), check=True, capture_output=True)
    assert file.read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.glob(".env*")] == [".env"]

    file.write_text(text.replace("REMIT_AUDIT_REDIS_PASSWORD=", "# "), encoding="utf-8")
    old = subprocess.run(("/bin/sh", tmp_path / "deploy/secrets"), check=False, capture_output=True, text=True)
    assert (old.returncode, old.stderr) == (1, "remit: .env is there, but lacks: REMIT_AUDIT_REDIS_PASSWORD\n")


def interpolated(service: Mapping[str, Any]) -> dict[str, str]:
    """The container's environment, with a value for every secret and the default of everything else."""

    def value(match: re.Match[str]) -> str:
        name, kind, said = match.groups()
        if kind == "-":
            return str(said)
        return "admin@example.com" if name.endswith("EMAIL") else f"{name.lower()}-0123456789abcdef0123456789"

    given = {name: text for name, text in service.get("environment", {}).items() if text is not None}
    return {name: _VARIABLE.sub(value, str(text)) for name, text in given.items()}
