"""What Prometheus' operator is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import helm_python

from tests.chart import helm
from tests.chart.helm import SERVICES, Manifest
from tests.chart.validation import complaints

_RULES = """
groups:
  - name: remit
    rules:
      - alert: LedgerDiffers
        expr: max(remit_ledger_differences) > 0
        for: 1m
        labels: {severity: page}
        annotations:
          summary: "{{ $value }} accounts that the ledger does not explain"
"""
_MONITORED = {"monitoring": {"enabled": True, "labels": {"release": "prometheus"}}}


def test_the_rules_have_one_home() -> None:
    link = helm.CHART / "rules"
    assert link.is_symlink()
    assert link.resolve() == helm.FOLDER.parent / "prometheus" / "rules"


def test_every_file_of_rules_is_in_the_cluster_as_it_stands(tmp_path: Path) -> None:
    """What Prometheus fills in later is left for it."""
    chart = tmp_path / "remit"
    shutil.copytree(helm.CHART, chart)
    for path in (chart / "rules").glob("*.yml"):
        path.unlink()
    (chart / "rules" / "ledger.yml").write_text(_RULES, encoding="utf-8")
    (chart / "rules" / "more.yml").write_text(_RULES.replace("name: remit", "name: more"), encoding="utf-8")
    rendered = helm_python.Chart.load(chart).render(_MONITORED, name="remit", namespace="payments")
    (rule,) = helm.documents(rendered["remit/templates/prometheusrule.yaml"])
    expected = [helm.documents(text)[0]["groups"][0] for text in (_RULES, _RULES.replace("name: remit", "name: more"))]
    assert rule["spec"]["groups"] == expected
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert complaints(rule) == []


def test_the_rules_that_there_are_are_all_sent() -> None:
    found = helm.of_kind(helm.render(_MONITORED), "PrometheusRule")
    groups = [group["name"] for rule in found.values() for group in rule["spec"]["groups"]]
    files = sorted((helm.CHART / "rules").glob("*.yml"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert groups == [group["name"] for text in texts for group in helm.documents(text)[0]["groups"]]
    assert not helm.of_kind(helm.render({"monitoring": {**_MONITORED["monitoring"], "rules": False}}), "PrometheusRule")


def test_every_service_is_scraped_under_its_own_name(production: list[Manifest]) -> None:
    (monitor,) = helm.of_kind(production, "ServiceMonitor").values()
    services = helm.of_kind(production, "Service")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    scraped = [one for one in services.values() if wanted.items() <= one["metadata"]["labels"].items()]
    assert {one["metadata"]["labels"][monitor["spec"]["jobLabel"]] for one in scraped} == set(SERVICES)
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    assert all(one["spec"]["ports"][0]["name"] == endpoint["port"] for one in scraped)
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == [helm.NAMESPACE]
