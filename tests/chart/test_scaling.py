"""How many pods there are, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import helm_python
import pytest

from shared.contracts import topology
from shared.settings import WorkerSettings
from tests.chart import helm
from tests.chart.helm import SERVICES, WORKERS, Manifest

_COMMANDS = {topology.command_queue(name) for name in WORKERS}


@pytest.fixture(scope="module")
def scaled() -> Mapping[str, Any]:
    """The specification of each worker's ScaledObject."""
    found = helm.of_kind(helm.render({"keda": {"enabled": True}}), "ScaledObject")
    return {name.removeprefix(f"{helm.RELEASE}-"): one["spec"] for name, one in found.items()}


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_scaled_by_every_queue_of_its_work_and_by_no_other(scaled: Mapping[str, Any], name: str) -> None:
    """What operators decide on dead letters is no load."""
    assert set(scaled) == set(WORKERS)
    own = {queue.name for queue in topology.QUEUES if queue.consumer == name} - _COMMANDS
    measured = {
        (trigger["metadata"]["queueName"], trigger["metadata"]["mode"], trigger["metricType"])
        for trigger in scaled[name]["triggers"]
    }
    assert measured == {
        *((queue, "QueueLength", "AverageValue") for queue in own),
        *((queue, "ExpectedQueueConsumptionTime", "Value") for queue in own),
    }


@pytest.mark.parametrize("name", WORKERS)
def test_the_broker_is_asked_over_http_by_a_user_who_may_only_look(scaled: Mapping[str, Any], name: str) -> None:
    """Over AMQP what is delivered and not yet acknowledged would not count."""
    for trigger in scaled[name]["triggers"]:
        assert trigger["type"] == "rabbitmq"
        assert trigger["metadata"]["protocol"] == "http"
        assert not {"host", "hostFromEnv", "username", "password"} & set(trigger["metadata"])
        assert trigger["authenticationRef"] == {"name": f"{helm.RELEASE}-scaling"}
    (authentication,) = helm.of_kind(helm.render({"keda": {"enabled": True}}), "TriggerAuthentication").values()
    assert authentication["spec"] == {
        "secretTargetRef": [{"parameter": "host", "name": "remit-scaling", "key": "host"}]
    }


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_never_scaled_away_and_goes_one_by_one_after_a_while(scaled: Mapping[str, Any], name: str) -> None:
    assert 1 <= scaled[name]["minReplicaCount"] <= scaled[name]["maxReplicaCount"]
    down = scaled[name]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 120
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


@pytest.mark.parametrize("name", WORKERS)
def test_what_a_worker_has_in_hand_is_no_backlog(scaled: Mapping[str, Any], name: str) -> None:
    prefetch_max = WorkerSettings.model_fields["prefetch_max"].default
    lengths = [int(one["metadata"]["value"]) for one in scaled[name]["triggers"] if one["metricType"] == "AverageValue"]
    assert min(lengths) > prefetch_max


def test_audit_has_two_who_take_turns_and_no_third_who_waits(scaled: Mapping[str, Any]) -> None:
    assert (scaled["audit"]["minReplicaCount"], scaled["audit"]["maxReplicaCount"]) == (2, 2)
    with pytest.raises(helm_python.HelmError, match="audit"):
        helm.render({"audit": {"scaling": {"maxReplicas": 3}}})


@pytest.mark.parametrize("name", SERVICES)
def test_an_upgrade_does_not_set_back_what_something_else_scales(name: str) -> None:
    def replicas(values: helm.Values) -> Any:
        return helm.of_kind(helm.render(values), "Deployment")[f"{helm.RELEASE}-{name}"]["spec"].get("replicas")

    assert replicas({"keda": {"enabled": True}}) is None
    by_hand = {"autoscaling": {"enabled": False}} if name == "gateway" else {}
    assert replicas({name: {"replicas": 1, **by_hand}}) == 1


def test_the_gateway_is_scaled_by_its_processor(production: list[Manifest]) -> None:
    (autoscaler,) = helm.of_kind(production, "HorizontalPodAutoscaler").values()
    spec = autoscaler["spec"]
    assert spec["scaleTargetRef"]["name"] == f"{helm.RELEASE}-gateway"
    assert 2 <= spec["minReplicas"] <= spec["maxReplicas"]
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 120
    requested = helm.pods(production)[f"{helm.RELEASE}-gateway"]["spec"]["containers"][0]["resources"]["requests"]
    assert requested["cpu"], "a share of nothing is not measured"


@pytest.mark.parametrize(
    "values",
    [
        {"gateway": {"autoscaling": {"minReplicas": 7}}},
        {"keda": {"enabled": True}, "transfer": {"scaling": {"minReplicas": 5}}},
    ],
)
def test_fewer_at_most_than_at_least_is_refused(values: helm.Values) -> None:
    with pytest.raises(helm_python.HelmError, match="is more than maxReplicas"):
        helm.render(values)
