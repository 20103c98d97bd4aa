"""How a pod comes, lives and goes."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.service.running import _BATCHERS_DRAIN_TIMEOUT_S
from shared.observability.health import _CHECK_TIMEOUT_S
from shared.runtime import Worker
from tests.chart import helm
from tests.chart.helm import SERVICES, WORKERS, Manifest

# The HTTP side of a worker is the last to end (`run_worker`).
_WORKER_HTTP_DRAIN_S = 2


def deployment(manifests: list[Manifest], name: str) -> Any:
    """The specification of a service's Deployment."""
    return helm.of_kind(manifests, "Deployment")[f"{helm.RELEASE}-{name}"]["spec"]


def setting(pod: Manifest, name: str) -> float:
    """A setting that the chart itself gives the container."""
    return next(float(one["value"]) for one in pod["spec"]["containers"][0]["env"] if one["name"] == name)


@pytest.mark.parametrize("name", SERVICES)
def test_a_pod_is_restarted_for_a_dead_loop_and_left_out_for_a_dead_server(
    manifests: list[Manifest], name: str
) -> None:
    """Alive is the event loop alone: a database that blinks restarts nobody. Ready asks the servers and the broker."""
    (container,) = deployment(manifests, name)["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["readinessProbe"]["timeoutSeconds"] > _CHECK_TIMEOUT_S
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 60
    assert container["args"] == [f"services.{name}"]


@pytest.mark.parametrize("gateway", [{}, {"leaveSeconds": 60, "drainSeconds": 120}, {"leaveSeconds": 0}])
def test_the_gateway_may_leave_and_end_what_is_open_before_it_is_killed(gateway: dict[str, int]) -> None:
    template = deployment(helm.render({"gateway": gateway}), "gateway")["template"]
    needed = setting(template, "REMIT_GATEWAY_LEAVE_S") + setting(template, "REMIT_GATEWAY_DRAIN_TIMEOUT_S")
    assert template["spec"]["terminationGracePeriodSeconds"] > needed + _BATCHERS_DRAIN_TIMEOUT_S


def test_the_gateway_takes_calls_while_the_cluster_learns_that_it_leaves(production: list[Manifest]) -> None:
    assert setting(deployment(production, "gateway")["template"], "REMIT_GATEWAY_LEAVE_S") >= 5


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_may_finish_its_batch_before_it_is_killed(manifests: list[Manifest], name: str) -> None:
    grace_s = deployment(manifests, name)["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s > Worker.drain_timeout_s + _WORKER_HTTP_DRAIN_S


@pytest.mark.parametrize("name", SERVICES)
def test_a_rollout_starts_the_new_one_first_and_a_drained_node_waits_for_the_next(
    manifests: list[Manifest], name: str
) -> None:
    spec = deployment(manifests, name)
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = helm.of_kind(manifests, "PodDisruptionBudget")[f"{helm.RELEASE}-{name}"]["spec"]
    assert budget["selector"] == spec["selector"]
    # A budget that demands one of one would keep its node from ever being drained.
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


@pytest.mark.parametrize("name", SERVICES)
def test_the_pods_of_a_service_are_spread_over_zones_and_nodes(manifests: list[Manifest], name: str) -> None:
    spec = deployment(manifests, name)
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    # The old revision's pods are on their way out and have no say.
    assert all(one["matchLabelKeys"] == ["pod-template-hash"] for one in spread)
    assert all(one["labelSelector"] == spec["selector"] for one in spread)
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_the_migration_comes_before_everything_and_brings_what_it_needs(production: list[Manifest]) -> None:
    """A hook runs before the release's own objects are there."""
    (job,) = helm.of_kind(production, "Job").values()
    hooks = [one for one in production if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    assert {one["kind"] for one in hooks} == {"Job", "ServiceAccount", "NetworkPolicy"}
    for hook in hooks:
        annotations = hook["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation"
        assert (int(annotations["helm.sh/hook-weight"]) == 0) == (hook["kind"] == "Job")
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["remit", "migrate", "--wait-s", "120"]
    assert job["spec"]["activeDeadlineSeconds"] > 2 * 120


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_found_by_name_and_the_gateway_by_one_address(production: list[Manifest], name: str) -> None:
    service = helm.of_kind(production, "Service")[f"{helm.RELEASE}-{name}"]["spec"]
    assert service["selector"] == deployment(production, name)["selector"]["matchLabels"]
    assert service["ports"][0]["targetPort"] == "http"
    assert (service.get("clusterIP") == "None") == (name != "gateway")


def test_a_publisher_can_be_held_back_while_its_consumers_are_upgraded() -> None:
    """Consumers learn a new version of a message before anybody sends one."""
    old, new = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    values = {"image": {"repository": "remit", "digest": new}, "gateway": {"image": {"digest": old}}}
    images = {name: pod["spec"]["containers"][0]["image"] for name, pod in helm.pods(helm.render(values)).items()}
    held = f"{helm.RELEASE}-gateway"
    assert images == {**dict.fromkeys(images, f"remit@{new}"), held: f"remit@{old}"}
    tagged = helm.pods(helm.render({**values, "gateway": {"image": {"tag": "1.2.3"}}}))[held]
    assert tagged["spec"]["containers"][0]["image"] == "remit:1.2.3"


def test_two_releases_in_one_namespace_do_not_meet() -> None:
    first, second = helm.render(), helm.render(release="other")
    names = [{(one["kind"], one["metadata"]["name"]) for one in manifests} for manifests in (first, second)]
    assert not names[0] & names[1]
    labels = [helm.pods(manifests) for manifests in (first, second)]
    assert {pod["metadata"]["labels"]["app.kubernetes.io/instance"] for pod in labels[1].values()} == {"other"}
