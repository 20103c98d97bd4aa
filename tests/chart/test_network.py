"""Who may speak to whom: exactly the flows that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.chart import helm
from tests.chart.helm import SERVICES, WORKERS, Manifest

_NETWORK: Mapping[str, Any] = helm.documents((helm.CHART / "values.yaml").read_text(encoding="utf-8"))[0]["network"]
_PEERS = {name: str(one["peers"]) for name, one in _NETWORK.items() if isinstance(one, dict)}
_DNS = {("dns", 53)}
_SERVERS = {("postgres", 5432), ("rabbitmq", 5672)}
EGRESS = {
    "gateway": _DNS | _SERVERS | {("redis", 6379)},
    "fraud": _DNS | _SERVERS,
    "transfer": _DNS | _SERVERS,
    "ledger": _DNS | _SERVERS,
    "audit": _DNS | _SERVERS | {("redis", 6379)},
    "migrate": _DNS | {("postgres", 5432), ("rabbitmq", 15672)},
}
INGRESS = {
    "gateway": {("clients", "http"), ("prometheus", "http")},
    **{name: {("prometheus", "http")} for name in WORKERS},
    "migrate": set(),
}


@pytest.fixture(scope="module")
def policies() -> Mapping[str, Manifest]:
    return helm.of_kind(helm.render(), "NetworkPolicy")


def flows(rules: list[Any], side: str) -> Iterator[tuple[str, Any]]:
    """Peer and port of each rule; the peers of a rule are known by the values that they come from."""
    for rule in rules:
        assert rule[side], "an empty list of peers would mean everybody"
        assert rule["ports"], "no ports would mean all of them"
        said = str(rule[side])[1:-1]
        names = [name for name, peers in _PEERS.items() if peers[1:-1] in said]
        assert said == ", ".join(_PEERS[name][1:-1] for name in names)
        for port in rule["ports"]:
            assert port["protocol"] == "TCP" or "dns" in names
            yield from ((name, port["port"]) for name in names)


def test_nothing_is_allowed_that_is_not_named(policies: Mapping[str, Manifest]) -> None:
    denial = policies[f"{helm.RELEASE}-default-deny"]["spec"]
    assert denial == {
        "podSelector": {
            "matchLabels": {"app.kubernetes.io/name": "remit", "app.kubernetes.io/instance": helm.RELEASE},
        },
        "policyTypes": ["Ingress", "Egress"],
    }
    for pod in helm.pods(helm.render()).values():
        assert denial["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize("name", [*SERVICES, "migrate"])
def test_a_pod_speaks_to_whom_it_must_and_to_nobody_else(policies: Mapping[str, Manifest], name: str) -> None:
    policy = policies[f"{helm.RELEASE}-{name}"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert set(flows(policy["egress"], "to")) == EGRESS[name]
    assert set(flows(policy.get("ingress", []), "from")) == INGRESS[name]


def test_each_policy_is_about_the_pods_of_one_service(policies: Mapping[str, Manifest]) -> None:
    assert set(policies) == {f"{helm.RELEASE}-{name}" for name in (*EGRESS, "default-deny")}
    pods = helm.pods(helm.render())
    for name in EGRESS:
        wanted = policies[f"{helm.RELEASE}-{name}"]["spec"]["podSelector"]["matchLabels"]
        chosen = [other for other, pod in pods.items() if wanted.items() <= pod["metadata"]["labels"].items()]
        assert chosen == [f"{helm.RELEASE}-{name}"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_reaches_the_servers_that_its_settings_name(name: str) -> None:
    facts = helm.facts("services.yaml")[name]
    named = " ".join(facts["secrets"])
    servers = {"postgres": "POSTGRES_URL", "rabbitmq": "AMQP_URL", "redis": "REDIS_URL|CHECKPOINT_URL"}
    assert set(facts["flows"]) == {server for server, pattern in servers.items() if re.search(pattern, named)}


def test_what_else_may_be_reached_is_named_by_the_operator() -> None:
    values = helm.values_files()["values-external.yaml"]
    policies = helm.of_kind(helm.render(values), "NetworkPolicy")
    for name in SERVICES:
        egress = policies[f"{helm.RELEASE}-{name}"]["spec"]["egress"]
        assert egress[-1] == values["network"]["extraEgress"][0]
        assert {port["port"] for rule in egress for port in rule["ports"]} >= {53, 6432, 5671, 4317}


def test_the_ingress_publishes_the_api_and_neither_metrics_nor_health(production: list[Manifest]) -> None:
    (ingress,) = helm.of_kind(production, "Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/api", "/docs", "/openapi.json"]
    assert {path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {f"{helm.RELEASE}-gateway"}
    assert ingress["spec"]["tls"] == [{"hosts": [rule["host"]], "secretName": "payments-example-com"}]
