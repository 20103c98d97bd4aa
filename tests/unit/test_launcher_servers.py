"""Who starts the servers that nobody named, and what they are given in containers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import engine, install, postgres, rabbitmq, secrets
from deploy.local.addresses import servers_in_containers
from deploy.local.containers import Container, container_of
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK
from deploy.local.secrets import Secrets
from deploy.local.servers import SERVERS

NOBODY: frozenset[str] = frozenset()


def answers() -> None:
    return None


def is_away() -> str:
    return "the engine is away"


def never_asked() -> str:
    raise AssertionError


@pytest.mark.parametrize(
    ("infra", "kept", "missing", "installable", "engine_trouble", "in_containers"),
    [
        # The machine's own come first, then what can be installed, then Docker.
        (None, NOBODY, NOBODY, False, never_asked, set()),
        (None, NOBODY, {"redis"}, True, never_asked, set()),
        (None, NOBODY, {"redis"}, False, answers, {"redis"}),
        (None, NOBODY, set(SERVERS), False, answers, set(SERVERS)),
        # Then the installer says what to install.
        (None, NOBODY, {"redis"}, False, is_away, set()),
        # Data are not left behind because a program appeared.
        (None, {"postgres"}, NOBODY, False, never_asked, {"postgres"}),
        (None, {"postgres"}, {"postgres"}, True, never_asked, {"postgres"}),
        (None, {"postgres"}, {"postgres"}, False, never_asked, {"postgres"}),
        # A wish counts more than what is there.
        ("local", {"postgres"}, set(SERVERS), False, never_asked, set()),
        ("containers", NOBODY, NOBODY, True, answers, set(SERVERS)),
    ],
)
def test_servers_are_taken_from_the_first_place_that_has_them(
    infra: str | None,
    kept: set[str],
    missing: set[str],
    installable: bool,
    engine_trouble: Callable[[], str | None],
    in_containers: set[str],
) -> None:
    chosen = servers_in_containers(
        SERVERS,
        infra,
        kept=frozenset(kept),
        missing=frozenset(missing),
        installable=installable,
        engine_trouble=engine_trouble,
    )
    assert set(chosen) == in_containers


def test_containers_without_an_engine_are_refused_in_one_line() -> None:
    with pytest.raises(StackError, match=r"REMIT_INFRA: is containers, but no Docker engine answers: .* away$"):
        servers_in_containers(
            SERVERS, "containers", kept=NOBODY, missing=NOBODY, installable=True, engine_trouble=is_away
        )


def test_no_engine_is_asked_for_where_every_server_was_named() -> None:
    assert not servers_in_containers(
        [], "containers", kept=NOBODY, missing=NOBODY, installable=False, engine_trouble=never_asked
    )


def test_what_is_missing_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "is_possible", lambda: False)
    with pytest.raises(StackError) as refused:
        install.install(["postgres", "rabbitmq"], tmp_path / "log")
    told = str(refused.value)
    assert "\n" not in told
    assert "PostgreSQL 15+, RabbitMQ 3.10+ not found" in told
    assert "start Docker, or name running ones by REMIT_POSTGRES_URL REMIT_AMQP_URL" in told


@pytest.fixture
def own(tmp_path: Path) -> Secrets:
    return secrets.load(tmp_path / "secrets")


@pytest.fixture
def entry_point(tmp_path: Path) -> dict[str, str]:
    """A folder in front of PATH whose `docker-entrypoint.sh` tells what it was given."""
    script = tmp_path / "docker-entrypoint.sh"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv\n')
    script.chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


def test_a_container_writes_its_files_and_becomes_the_images_own_program(
    tmp_path: Path, entry_point: dict[str, str]
) -> None:
    text = 'it\'s "$HOME" \\n %s\nand a second line\n'
    path = tmp_path / "settings"
    container = Container(
        image="any", ports={}, data="/data", command=("server", "-c", "a b"), files={str(path): text}, env={"A": "1"}
    )
    env = {**entry_point, **container.environment}
    done = subprocess.run(container.argv, env=env, capture_output=True, text=True, check=True)
    assert path.read_text() == text
    assert done.stdout.splitlines()[:3] == ["server", "-c", "a b"]
    # What was written may hold passwords, and every child of the server would inherit them.
    assert "second line" not in done.stdout


@pytest.mark.parametrize("server", SERVERS)
def test_no_password_stands_among_the_arguments_of_a_container(server: str, own: Secrets) -> None:
    """Every user of the machine reads those."""
    container = container_of(server, own, durable=True)
    known = (own.postgres_owner_password, own.redis_password, own.amqp_administrator_password)
    assert not [secret for secret in known if secret in " ".join(container.argv)]


def test_a_container_for_tests_syncs_nothing_and_one_with_data_does(own: Secrets) -> None:
    command = {durable: container_of("postgres", own, durable=durable).command for durable in (True, False)}
    assert "fsync=off" in command[False]
    assert "fsync=off" not in command[True]
    redis = {durable: str(container_of("redis", own, durable=durable).files) for durable in (True, False)}
    assert "appendfsync no" in redis[False]
    assert "appendfsync everysec" in redis[True]
    assert "maxmemory-policy noeviction" in redis[True]


@pytest.mark.parametrize(("gib", "expected"), [(1, "256MB"), (8, "1024MB"), (24, "3072MB"), (256, "4096MB")])
def test_postgresql_takes_an_eighth_of_the_memory_for_data_that_last(
    gib: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {"SC_PAGE_SIZE": 4_096, "SC_PHYS_PAGES": gib * 2**30 // 4_096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert postgres.settings(durable=True)["shared_buffers"] == expected
    assert postgres.settings(durable=False)["shared_buffers"] == "256MB"


def test_the_broker_in_a_container_boots_with_every_user_and_queue(own: Secrets) -> None:
    files = container_of("rabbitmq", own, durable=True).files
    definitions = json.loads(files["/etc/rabbitmq/definitions.json"])
    assert "load_definitions = /etc/rabbitmq/definitions.json" in files["/etc/rabbitmq/rabbitmq.conf"]
    assert rabbitmq.ADMINISTRATOR in {user["name"] for user in definitions["users"]}
    assert "fraud.requested" in {queue["name"] for queue in definitions["queues"]}


def test_a_container_is_started_anew_only_if_it_would_differ(own: Secrets, tmp_path: Path) -> None:
    fingerprints = {server: container_of(server, own, durable=True).fingerprint() for server in SERVERS}
    assert fingerprints == {server: container_of(server, own, durable=True).fingerprint() for server in SERVERS}
    others = secrets.load(tmp_path / "others")
    assert not [s for s in SERVERS if container_of(s, others, durable=True).fingerprint() == fingerprints[s]]


def test_containers_listen_on_loopback_only_and_get_values_by_the_environment(
    own: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(engine, "call", lambda *arguments, env: calls.append(arguments))
    container = container_of("rabbitmq", own, durable=True)
    ports = {"amqp": 20_001, "management": 20_002, "prometheus": 20_003}
    engine.run(engine.Launch(name="remit-test", container=container, ports=ports))
    published = [value for flag, value in zip(calls[0], calls[0][1:], strict=False) if flag == "--publish"]
    assert len(published) == 3
    assert {value.split(":")[0] for value in published} == {LOOPBACK}
    assert not [text for text in container.files.values() if text in " ".join(calls[0])]
