"""What a pod may do, and which secrets it is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from remit.commands.definitions import broker_definitions
from shared.database.migrations import SCHEMAS
from shared.settings import owner_postgres_url, postgres_url
from tests.chart import helm
from tests.chart.helm import SERVICES, Manifest
from tests.support.settings import SETTINGS_OF

_ROOT = Path(__file__).resolve().parents[2]
_IMAGE_USER = 10001


def containers(pod: Manifest) -> list[Manifest]:
    """All of them, those that run first too."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def references(pod: Manifest) -> dict[str, tuple[str, bool]]:
    """The variables that come from Secrets: the Secret, and whether the pod starts without."""
    found = {}
    for container in containers(pod):
        assert "envFrom" not in container
        for variable in container["env"]:
            if "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                assert reference["key"] == variable["name"]
                found[variable["name"]] = (reference["name"], reference.get("optional", False))
    return found


def environment(pod: Manifest, *, with_optional: bool) -> dict[str, str]:
    """What the container's process finds, with a value for every secret."""
    given = {}
    for variable in containers(pod)[0]["env"]:
        if "value" in variable:
            given[variable["name"]] = variable["value"]
        elif with_optional or not variable["valueFrom"]["secretKeyRef"].get("optional"):
            given[variable["name"]] = _invented(variable["name"])
    return given


def _invented(name: str) -> str:
    for ending, value in {
        "POSTGRES_URL": "postgresql://someone:s3cret@database:5432/remit",
        "MANAGEMENT_URL": "http://broker:15672",
        "AMQP_URL": "amqp://someone:s3cret@broker:5672/",
        "REDIS_URL": "redis://someone:s3cret@cache:6379/0",
        "CHECKPOINT_URL": "redis://someone:s3cret@cache:6379/0",
        "EMAIL": "admin@example.com",
    }.items():
        if name.endswith(ending):
            return value
    return "0123456789abcdef0123456789abcdef"


def test_every_container_is_restricted(manifests: list[Manifest]) -> None:
    """As the Pod Security Standard `restricted` demands, and a root file system that nobody writes to."""
    for pod in helm.pods(manifests).values():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == _IMAGE_USER
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
        assert [set(volume) for volume in pod["spec"]["volumes"]] == [{"name", "emptyDir"}]
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} == set(container["resources"])
            assert "memory" in container["resources"]["limits"]
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_the_user_of_the_pods_is_the_images() -> None:
    dockerfile = (_ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert f"USER {_IMAGE_USER}:{_IMAGE_USER}" in dockerfile


def test_no_pod_holds_a_token_and_each_has_an_account_of_its_own(manifests: list[Manifest]) -> None:
    accounts = helm.of_kind(manifests, "ServiceAccount")
    pods = helm.pods(manifests)
    assert {pod["spec"]["serviceAccountName"] for pod in pods.values()} == set(accounts) == set(pods)
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    assert all(pod["spec"]["automountServiceAccountToken"] is False for pod in pods.values())
    assert not {one["kind"] for one in manifests} & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def test_services_are_not_introduced_to_each_other_by_variables(manifests: list[Manifest]) -> None:
    """Kubernetes would set REMIT_GATEWAY_PORT to `tcp://…`, which is a setting of the gateway, and a wrong one."""
    assert f"{helm.RELEASE}-gateway" in helm.of_kind(manifests, "Service")
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in helm.pods(manifests).values())


def test_no_manifest_holds_a_secret(manifests: list[Manifest]) -> None:
    assert not {one["kind"] for one in manifests} & {"Secret", "ConfigMap"}
    for pod in helm.pods(manifests).values():
        said = {variable["name"]: variable.get("value", "") for variable in containers(pod)[0]["env"]}
        assert not [name for name, value in said.items() if value and re.search(r"SECRET|PASSWORD|_URL|EMAIL", name)]
        assert "://" not in " ".join([*said.values(), *containers(pod)[0]["args"]])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_its_own_secrets_and_nobody_elses(production: list[Manifest], name: str) -> None:
    pods = helm.pods(production)
    own = references(pods[f"{helm.RELEASE}-{name}"])
    assert {secret for secret, _ in own.values()} == {f"remit-{name}"}
    for other, pod in pods.items():
        if other != f"{helm.RELEASE}-{name}":
            assert f"remit-{name}" not in {secret for secret, _ in references(pod).values()}
    others = "|".join(other.upper() for other in (*SERVICES, "postgres", "amqp") if other != name)
    allowed = {"REMIT_AUDIT_CHECKPOINT_URL"}
    assert not [secret for secret in own if re.match(f"REMIT_({others})_", secret) and secret not in allowed]


@pytest.mark.parametrize("with_optional", [True, False])
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_with_exactly_what_its_pod_is_given(
    production: list[Manifest], name: str, *, with_optional: bool
) -> None:
    """Nothing derives from the owner's address, and nothing that is required is missing."""
    pod = helm.pods(production)[f"{helm.RELEASE}-{name}"]
    SETTINGS_OF[name](environment(pod, with_optional=with_optional))


@pytest.mark.parametrize("name", SERVICES)
def test_the_cluster_gives_a_service_the_secrets_that_compose_gives_it(production: list[Manifest], name: str) -> None:
    compose: Mapping[str, Any] = YAML(typ="safe").load(_ROOT / "docker-compose.yml")
    given = {
        variable
        for variable, value in compose["services"][name]["environment"].items()
        if re.search(r"PASSWORD|SECRET|EMAIL", str(value))
    }
    own = references(helm.pods(production)[f"{helm.RELEASE}-{name}"])
    assert given == set(own) - ({"REMIT_AUDIT_CHECKPOINT_URL"} if name == "gateway" else set())


@pytest.mark.parametrize("with_optional", [True, False])
def test_the_migration_finds_what_it_needs_for_every_schema_and_user(
    production: list[Manifest], *, with_optional: bool
) -> None:
    given = environment(helm.pods(production)[f"{helm.RELEASE}-migrate"], with_optional=with_optional)
    for schema in SCHEMAS:
        assert owner_postgres_url(given, schema).startswith("postgresql://someone:")
        assert postgres_url(given, schema) == given[f"REMIT_{schema.upper()}_POSTGRES_URL"]
    assert {user["name"] for user in broker_definitions(given)["users"]} >= {f"remit_{name}" for name in SERVICES}
    assert given["REMIT_AMQP_MANAGEMENT_URL"]
