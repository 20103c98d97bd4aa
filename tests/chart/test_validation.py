"""The validation itself: what it lets pass is worth nothing unless it stops what is wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.chart import helm
from tests.chart.helm import Manifest
from tests.chart.validation import complaints

EXAMPLES = ("rabbitmq.yaml", "postgres.yaml", "redis.yaml")


def broken(manifests: list[Manifest], kind: str, path: str, value: Any) -> Any:
    """The first of a kind with one value put at a dotted path."""
    found = copy.deepcopy(next(one for one in manifests if one["kind"] == kind))
    *way, last = path.split(".")
    place: Any = found
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    return found


def test_everything_that_is_rendered_is_known_to_those_who_read_it(manifests: list[Manifest]) -> None:
    assert [line for manifest in manifests for line in complaints(manifest)] == []


@pytest.mark.parametrize("values", helm.values_files().values(), ids=helm.values_files())
def test_helm_has_nothing_against_the_chart(values: helm.Values) -> None:
    assert helm.lint(values) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_data_services_are_known_to_their_operators(name: str) -> None:
    assert [line for manifest in helm.example(name) for line in complaints(manifest)] == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec.template.spec.containers.0.readynessProbe", {}),
        ("Deployment", "spec.template.spec.enableServiceLinks", "no"),
        ("Deployment", "spec.strategy.rollingUpdate.maxSurplus", 1),
        ("PodDisruptionBudget", "spec.unhealthyPodEviction", "AlwaysAllow"),
        ("NetworkPolicy", "spec.policyType", ["Egress"]),
        ("HorizontalPodAutoscaler", "spec.behavior.scaleDown.stabilisationWindowSeconds", 300),
        ("Job", "spec.activeDeadlineSeconds", "900"),
        ("Ingress", "spec.rules.0.http.paths.0.backend.serviceName", "gateway"),
        ("ScaledObject", "spec.minReplicas", 1),
        ("ScaledObject", "spec.triggers.0.metadata.queue", "fraud.requested"),
        ("ScaledObject", "spec.triggers.0.metadata.value", 200),
        ("TriggerAuthentication", "spec.secretTargetRef.0.secret", "remit"),
        ("ServiceMonitor", "spec.endpoints.0.interval", 15),
        ("ServiceMonitor", "spec.endpoint", []),
        ("Deployment", "apiVersion", "apps/v1beta1"),
        ("Ingress", "apiVersion", "networking.k8s.io/v1beta1"),
    ],
)
def test_a_misspelt_field_is_found(production: list[Manifest], kind: str, path: str, value: Any) -> None:
    assert complaints(broken(production, kind, path, value))


@pytest.mark.parametrize(
    ("file", "kind", "path", "value"),
    [
        ("rabbitmq.yaml", "RabbitmqCluster", "spec.replica", 3),
        ("rabbitmq.yaml", "User", "spec.tags", ["observer"]),
        ("postgres.yaml", "Cluster", "spec.postgresql.synchronous.dataDurability", "sometimes"),
        ("postgres.yaml", "Cluster", "spec.postgresql.parameters.max_connections", 400),
        ("postgres.yaml", "Cluster", "spec.postgresql.parameters.synchronous_standby_names", "ANY 1 (*)"),
        ("redis.yaml", "RedisReplication", "spec.size", 3),
        ("redis.yaml", "RedisSentinel", "spec.redisSentinelConfig.quorum", 2),
    ],
)
def test_a_misspelt_field_of_a_data_service_is_found(file: str, kind: str, path: str, value: Any) -> None:
    assert complaints(broken(helm.example(file), kind, path, value))
