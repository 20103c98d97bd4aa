"""Which values are taken, and that each setting among them is one that a service knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import helm_python
import pytest

from services.audit.settings import Settings as AuditSettings
from services.fraud.settings import Settings as FraudSettings
from services.gateway.settings import _VARIABLES
from services.gateway.settings import Settings as GatewaySettings
from services.ledger.settings import Settings as LedgerSettings
from services.transfer.settings import Settings as TransferSettings
from shared.settings import SettingsModel
from tests.chart import helm
from tests.chart.helm import SERVICES

_SCHEMA: Mapping[str, Any] = json.loads((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))
_MODELS: Mapping[str, type[SettingsModel]] = {
    "gateway": GatewaySettings,
    "fraud": FraudSettings,
    "transfer": TransferSettings,
    "ledger": LedgerSettings,
    "audit": AuditSettings,
}
# The image says where to listen; the instance is drawn; what is secret comes by reference.
_ELSEWHERE = {"http_host", "http_port", "instance", "jwt_secret", "admin_email", "admin_password"}
# The chart's own, for the time that a pod is given to end depends on them.
_CHARTS_OWN = {"leave_s": "leaveSeconds", "drain_timeout_s": "drainSeconds"}


@pytest.mark.parametrize("name", SERVICES)
def test_the_settings_that_may_be_given_are_those_that_the_service_knows(name: str) -> None:
    fields = set(_MODELS[name].model_fields) - _ELSEWHERE - set(_CHARTS_OWN)
    special = _VARIABLES if name == "gateway" else {}
    known = {
        special.get(field, f"REMIT_{name.upper()}_{field.upper()}") for field in fields if not field.endswith("_url")
    }
    settings = _SCHEMA["properties"][name]["properties"]["settings"]
    assert set(settings["propertyNames"]["enum"]) == known


def test_a_setting_arrives_as_it_was_written() -> None:
    given = {"REMIT_FRAUD_MAX_AMOUNT": "USD=1000000,JPY=100000000", "REMIT_FRAUD_MAX_DAILY_COUNT": "off"}
    pod = helm.pods(helm.render({"fraud": {"settings": given}}))[f"{helm.RELEASE}-fraud"]
    found = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
    assert given.items() <= found.items()
    assert (found["REMIT_LOG_LEVEL"], found["REMIT_LOG_FORMAT"]) == ("INFO", "json")
    assert "REMIT_TRACES_ENDPOINT" not in found


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_told_where_traces_go(name: str) -> None:
    given = {"REMIT_TRACES_ENDPOINT": "http://collector.tracing:4318", "REMIT_TRACES_SAMPLE": "0.05"}
    pod = helm.pods(helm.render({"settings": given}))[f"{helm.RELEASE}-{name}"]
    found = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
    assert given.items() <= found.items()


@pytest.mark.parametrize(
    "values",
    [
        {"gatway": {}},
        {"gateway": {"replicas": 0}},
        {"gateway": {"replicas": "2"}},
        {"gateway": {"leaveSeconds": -1}},
        {"gateway": {"drainSeconds": 301}},
        {"gateway": {"autoscaling": {"cpuUtilization": 100}}},
        {"gateway": {"settings": {"REMIT_GATEWAY_LEAVE_S": "3"}}},
        {"gateway": {"settings": {"REMIT_GATEWAY_JWT_SECRET": "0123456789abcdef0123456789abcdef"}}},
        {"gateway": {"settings": {"REMIT_REDIS_URL": "redis://cache"}}},
        {"gateway": {"settings": {"REMIT_GATEWAY_IP_RATE_LIMIT": 1000000}}},
        {"gateway": {"settings": {"REMIT_GATEWAY_IP_RATE_LIMITS": "10"}}},
        {"fraud": {"settings": {"REMIT_GATEWAY_IP_RATE_LIMIT": "10"}}},
        {"fraud": {"scaling": {"minReplicas": 0}}},
        {"transfer": {"resources": {"limits": {"memory": "lots"}}}},
        {"transfer": {"resources": {"limits": {"memory": None}}}},
        {"transfer": {"securityContext": {"privileged": True}}},
        {"audit": {"replicas": 3}},
        {"image": {"tag": "latest"}},
        {"image": {"digest": "sha256:abc"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"ledger": {"image": {"tag": "latest"}}},
        {"ledger": {"image": {"repository": "another"}}},
        {"secrets": {"gateway": ""}},
        {"secrets": {"gateway": {"REMIT_GATEWAY_JWT_SECRET": "in the open"}}},
        {"secrets": {"ledger": None}},
        {"settings": {"REMIT_LOG_LEVEL": ""}},
        {"settings": {"REMIT_POSTGRES_URL": "postgresql://owner@database/remit"}},
        {"network": {"postgres": {"peers": []}}},
        {"network": {"clients": {"peers": [{}]}}},
        {"network": {"redis": {"port": 0}}},
        {"network": {"rabbitmq": {"peers": [{"ipBlock": {"cidr": "192.0.2.1"}}]}}},
        {"network": {"extraEgress": [{"to": []}]}},
        {"ingress": {"enabled": True, "host": "payments.example.com"}},
        {"ingress": {"enabled": True}, "gateway": {"settings": {"REMIT_GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8"}}},
        {"keda": {"enabled": "yes"}},
        {"keda": {"backlogMessages": 0}},
        {"monitoring": {"scrapeIntervalSeconds": 1}},
        {"migration": {"waitSeconds": 0}},
        {"scheduling": {"whenUnsatisfiable": "Maybe"}},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_before_anything_is_sent(values: helm.Values) -> None:
    with pytest.raises(helm_python.HelmValuesError):
        helm.render(values)


def test_no_object_of_the_schema_takes_what_it_does_not_know() -> None:
    def open_objects(schema: Any, place: str) -> list[str]:
        if not isinstance(schema, dict):
            return []
        has_names = "properties" in schema and "type" in schema
        found = [place] if has_names and schema.get("additionalProperties") is not False else []
        for key, value in schema.items():
            parts = value if isinstance(value, list) else [value]
            found += [one for part in parts for one in open_objects(part, f"{place}.{key}")]
        return found

    assert not open_objects(_SCHEMA, "")


def test_what_is_off_is_said_after_an_installation() -> None:
    said = helm.notes({"network": {"enabled": False}, "migration": {"enabled": False}})
    assert "network policies are off" in said
    assert "KEDA is off" in said
    assert "Monitoring is off" in said
    assert "`remit migrate` of this version must have run before" in said
    production = helm.notes(helm.values_files()["values-production.yaml"])
    assert not [word for word in (" off", "WARNING", "No proxy is trusted") if word in production]
