"""`docs/metrics.md` names every metric with its labels, and what it asks Prometheus is there to be asked."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

import services
import shared
from services.gateway.settings import settings_from
from shared.errors import SettingsError

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `(remit_\w+)` \|([^|]*)\| (\w[^|]*) \| (\w[^|]*) \| (\w[^|]*) \|$", re.MULTILINE)
_ENVIRONMENT = {
    "REMIT_POSTGRES_URL": "postgresql://owner:s3cret@db:5432/remit",
    "REMIT_AMQP_URL": "amqp://root:s3cret@mq:5672/",
    "REMIT_REDIS_URL": "redis://cache:6379/0",
    "REMIT_GATEWAY_JWT_SECRET": "0123456789" * 4,
}


def _metrics() -> Mapping[str, tuple[str, ...]]:
    """Every metric of the code with its labels, by the name under which Prometheus finds it."""
    for package in (services, shared):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    # The registry has each under all its names; the type of a counter alone tells that it ends in `_total`.
    collectors = {one for one in REGISTRY._names_to_collectors.values() if isinstance(one, MetricWrapperBase)}
    found = {}
    for collector in collectors:
        suffix = "_total" if collector._type == "counter" else ""
        found[f"{collector._name}{suffix}"] = tuple(collector._labelnames)
    return {name: labels for name, labels in found.items() if name.startswith("remit_")}


def _documented() -> Mapping[str, tuple[str, ...]]:
    return {row[1]: tuple(re.findall(r"`(\w+)`", row[2])) for row in _ROW.finditer(_PAGE)}


def test_the_page_names_every_metric_with_its_labels_and_no_other() -> None:
    assert _documented() == _metrics()


def test_each_question_asks_for_metrics_and_labels_that_exist() -> None:
    asked = re.findall(r"^```promql\n(.+?)\n```$", _PAGE, re.MULTILINE | re.DOTALL)
    known = _documented()
    assert len(asked) >= 5
    for line in asked:
        names = [re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"remit_\w+", line)]
        assert names
        labels = {label for name in names for label in known[name]}
        used = set(re.findall(r"(\w+)=~?\"", line)) | set(re.findall(r"by \((\w+)\)", line))
        assert used <= labels | {"le"}, line


@pytest.mark.parametrize("value", ["0", "often", "86400"])
def test_an_interval_that_is_none_stops_the_gateway_with_one_line(value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({**_ENVIRONMENT, "REMIT_GATEWAY_VERIFY_EVERY_S": value})
    assert "REMIT_GATEWAY_VERIFY_EVERY_S" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert settings_from({**_ENVIRONMENT, "REMIT_GATEWAY_VERIFY_EVERY_S": "0.5"}).verify_every_s == 0.5
