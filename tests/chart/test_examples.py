"""The data services as the examples describe them, and the Secrets by which everybody knows everybody."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.audit.settings import Settings as AuditSettings
from services.fraud.settings import Settings as FraudSettings
from services.gateway.service.outside import SCHEMAS
from services.gateway.settings import Settings as GatewaySettings
from services.ledger.settings import Settings as LedgerSettings
from services.transfer.settings import Settings as TransferSettings
from shared.settings import SettingsModel
from tests.chart import helm
from tests.chart.helm import SERVICES, Manifest
from tests.chart.validation import complaints
from tests.support.settings import SETTINGS_OF

_ROOT = Path(__file__).resolve().parents[2]
_WORKERS: Mapping[str, type[SettingsModel]] = {
    "fraud": FraudSettings,
    "transfer": TransferSettings,
    "ledger": LedgerSettings,
    "audit": AuditSettings,
}
# A reconciler reads each of its downstreams over so many connections (`services/*/reconcile.py`).
_READS = {"fraud": 2 * 2, "transfer": 3 * 2, "ledger": 0, "audit": 0}
_VALUES = {"values.yaml": helm.documents((helm.CHART / "values.yaml").read_text(encoding="utf-8"))[0]}


def one(file: str, kind: str) -> Any:
    """The specification of the only one of a kind."""
    (found,) = (manifest for manifest in helm.example(file) if manifest["kind"] == kind)
    return found["spec"]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, str]]:
    """What `deploy/helm/secrets` makes, by the Secret's name."""
    folder = tmp_path_factory.mktemp("secrets")
    program = folder / "remit"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m remit "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    made = make(folder / "secrets.yaml", program)
    assert made.returncode == 0, made.stderr
    text = (folder / "secrets.yaml").read_text(encoding="utf-8")
    assert (folder / "secrets.yaml").stat().st_mode & 0o777 == 0o600
    passwords = re.findall(r"[0-9a-f]{36,}", text)
    assert passwords
    assert not [password for password in passwords if password in made.stdout + made.stderr]
    found = helm.documents(text)
    assert [line for manifest in found for line in complaints(manifest)] == []
    assert {manifest["metadata"]["namespace"] for manifest in found} == {helm.NAMESPACE}
    return {manifest["metadata"]["name"]: manifest["stringData"] for manifest in found}


def make(file: Path, program: Path) -> subprocess.CompletedProcess[str]:
    """Runs the script as a user would."""
    return subprocess.run(
        ("/bin/sh", helm.FOLDER / "secrets", file, helm.NAMESPACE),
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "REMIT": str(program), "PYTHONPATH": str(_ROOT)},
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_secret_holds_what_its_pod_asks_for_and_nothing_else(
    secrets: Mapping[str, Mapping[str, str]], name: str
) -> None:
    facts = helm.facts("services.yaml")[name]
    made = set(secrets[f"remit-{name}"])
    assert set(facts["secrets"]) <= made <= {*facts["secrets"], *facts.get("optionalSecrets", [])}
    SETTINGS_OF[name](secrets[f"remit-{name}"])


def test_the_migrations_secret_holds_what_its_pod_asks_for(secrets: Mapping[str, Mapping[str, str]]) -> None:
    assert set(secrets["remit-migrate"]) == set(helm.facts("migrate.yaml")["secrets"])


def test_nobody_has_anybody_elses_password(secrets: Mapping[str, Mapping[str, str]]) -> None:
    holders: dict[str, set[str]] = {}
    for name, entries in secrets.items():
        for password in re.findall(r"[0-9a-f]{36,}", " ".join(entries.values())):
            holders.setdefault(password, set()).add(name)
    servers = {name for name in secrets if re.match("remit-(postgres|rabbitmq|redis|migrate)", name)}
    assert [names - servers for names in holders.values() if len(names - servers) > 1] == []


def test_the_servers_know_the_passwords_that_the_services_are_given(
    secrets: Mapping[str, Mapping[str, str]],
) -> None:
    given = secrets["remit-migrate"]
    for name in SERVICES:
        assert given[f"REMIT_{name.upper()}_AMQP_URL"] == secrets[f"remit-{name}"][f"REMIT_{name.upper()}_AMQP_URL"]
    for schema, name in {"identity": "gateway", **{name: name for name in SERVICES[1:]}}.items():
        variable = f"REMIT_{schema.upper()}_POSTGRES_URL"
        assert given[variable] == secrets[f"remit-{name}"][variable]
    assert urlsplit(given["REMIT_POSTGRES_URL"]).password == secrets["remit-postgres-owner"]["password"]
    administrator = secrets["remit-rabbitmq-administrator"]
    assert urlsplit(given["REMIT_AMQP_URL"]).password == administrator["password"]
    assert administrator["default_user.conf"] == f"default_user = remit\ndefault_pass = {administrator['password']}\n"
    scaling = urlsplit(secrets["remit-scaling"]["host"])
    looking = secrets["remit-rabbitmq-scaling"]
    assert (scaling.username, scaling.password) == (looking["username"], looking["password"])
    assert scaling.hostname == f"remit-rabbitmq.{helm.NAMESPACE}.svc"


def test_the_broker_boots_with_the_definitions_of_these_users(secrets: Mapping[str, Mapping[str, str]]) -> None:
    definitions = json.loads(secrets["remit-rabbitmq-definitions"]["definitions.json"])
    assert {user["name"] for user in definitions["users"]} == {"remit", *(f"remit_{name}" for name in SERVICES)}
    assert {queue["arguments"]["x-queue-type"] for queue in definitions["queues"]} == {"quorum"}


def test_redis_gives_its_users_the_rights_that_compose_gives_them(secrets: Mapping[str, Mapping[str, str]]) -> None:
    def rights(text: str) -> dict[str, list[str]]:
        lines = (line.split() for line in text.splitlines() if line.startswith("user remit_"))
        return {words[1]: [word for word in words[2:] if not word.startswith(">")] for words in lines}

    acl = secrets["remit-redis-users"]["user.acl"]
    assert rights(acl) == rights((_ROOT / "deploy" / "redis" / "start").read_text(encoding="utf-8"))
    assert f"user default on >{secrets['remit-redis-operator']['password']} " in acl


def test_secrets_are_made_once_and_not_without_the_program(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("as it is", encoding="utf-8")
    assert make(tmp_path / "there.yaml", Path("/bin/true")).returncode == 1
    assert (tmp_path / "there.yaml").read_text(encoding="utf-8") == "as it is"
    assert make(tmp_path / "new.yaml", Path("/bin/false")).returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["there.yaml"]


def test_every_secret_that_is_named_is_made(secrets: Mapping[str, Mapping[str, str]]) -> None:
    named = set(_VALUES["values.yaml"]["secrets"].values())
    for file in ("rabbitmq.yaml", "postgres.yaml", "redis.yaml"):
        named |= set(re.findall(r"remit-[a-z-]+", " ".join(_secret_names(helm.example(file)))))
    assert named == set(secrets)


def _secret_names(said: Any, key: str = "") -> list[str]:
    if isinstance(said, dict):
        return [name for inner, value in said.items() for name in _secret_names(value, f"{key}.{inner}")]
    if isinstance(said, list):
        return [name for value in said for name in _secret_names(value, key)]
    return [str(said)] if re.search(r"[sS]ecret.*\.(name|secretName)$", key) else []


def test_the_addresses_lead_to_the_servers_of_the_examples(secrets: Mapping[str, Mapping[str, str]]) -> None:
    def names(kind: str, file: str) -> str:
        return next(str(made["metadata"]["name"]) for made in helm.example(file) if made["kind"] == kind)

    hosts = {urlsplit(url).hostname for url in secrets["remit-gateway"].values() if "://" in url}
    assert hosts == {
        f"{names('Cluster', 'postgres.yaml')}-rw",
        names("RabbitmqCluster", "rabbitmq.yaml"),
        f"{names('RedisReplication', 'redis.yaml')}-master",
    }
    peers = str(_VALUES["values.yaml"]["network"])
    assert all(server in peers for server in ("remit-postgres", "remit-rabbitmq", "remit-redis"))


def test_the_broker_has_three_nodes_and_every_queue_is_on_all_of_them() -> None:
    """The first node declares the queues while it is alone; without reconciliation they would stay where it is."""
    cluster = one("rabbitmq.yaml", "RabbitmqCluster")
    configuration = cluster["rabbitmq"]["additionalConfig"]
    mounted = cluster["override"]["statefulSet"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]
    reconciliation = "quorum_queue.continuous_membership_reconciliation"
    assert cluster["replicas"] == 3
    assert f"{reconciliation}.enabled = true" in configuration
    assert f"{reconciliation}.target_group_size = 3" in configuration
    assert f"load_definitions = {mounted['mountPath']}/definitions.json" in configuration


def test_who_scales_may_look_and_do_nothing_else() -> None:
    assert one("rabbitmq.yaml", "User")["tags"] == ["monitoring"]
    assert set(one("rabbitmq.yaml", "Permission")["permissions"].values()) == {"^$"}


def test_what_postgres_acknowledged_is_on_two_disks() -> None:
    cluster = one("postgres.yaml", "Cluster")
    assert cluster["instances"] >= 3, "with two, writing would stop whenever one is away"
    assert cluster["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "required"}
    assert cluster["bootstrap"]["initdb"]["postInitApplicationSQL"] == ["ALTER ROLE remit CREATEROLE"]


def test_postgres_has_a_connection_for_everybody_at_their_largest() -> None:
    values, example = _VALUES["values.yaml"], helm.values_files()["values-production.yaml"]
    gateway = GatewaySettings.model_fields["database_connections_max"].default
    # One more of each while a rollout replaces them; the verifier has a connection of its own.
    total = (example["gateway"]["autoscaling"]["maxReplicas"] + 1) * (len(SCHEMAS) * gateway + 1)
    for name, model in _WORKERS.items():
        most = {**values[name], **example.get(name, {})}["scaling"]["maxReplicas"]
        total += (most + 1) * (model.model_fields["database_connections_max"].default + _READS[name])
    # For the operator, backups and whoever looks.
    spare = 30
    parameters = one("postgres.yaml", "Cluster")["postgresql"]["parameters"]
    assert total + spare <= int(parameters["max_connections"])


def test_redis_forgets_nothing_and_has_one_who_takes_over() -> None:
    (configuration,) = (made for made in helm.example("redis.yaml") if made["kind"] == "ConfigMap")
    lines = configuration["data"]["redis-additional.conf"].splitlines()
    assert {"maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec"} <= set(lines)
    assert (
        one("redis.yaml", "RedisReplication")["clusterSize"] == one("redis.yaml", "RedisSentinel")["clusterSize"] == 3
    )
    assert one("redis.yaml", "RedisSentinel")["redisSentinelConfig"]["quorum"] == "2"


def test_no_example_holds_a_secret() -> None:
    kinds = {made["kind"] for file in (helm.FOLDER / "examples").glob("*.yaml") for made in _kinds(file)}
    assert "Secret" not in kinds


def _kinds(file: Path) -> list[Manifest]:
    return [made for made in helm.documents(file.read_text(encoding="utf-8")) if "kind" in made]
