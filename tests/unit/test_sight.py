"""Rules, dashboards and runbook fit together, and ask for nothing that does not exist."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from deploy.grafana.__main__ import FOLDER, text_of
from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.panels import Dashboard
from services.gateway.domain import problems
from tests.support.sight import (
    ADDED_LABELS,
    FOREIGN,
    ROOT,
    documented,
    labels_in,
    metrics_in,
    queries,
    rule_tests,
    rules,
)

_RUNBOOK = "docs/operations.md"
_ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def _headings() -> set[str]:
    """The anchors of the runbook, as GitHub makes them."""
    text = (ROOT / _RUNBOOK).read_text(encoding="utf-8")
    return {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_every_query_asks_for_metrics_and_labels_that_exist() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = documented()
    for query in queries():
        names = metrics_in(query)
        assert names, query
        assert names <= known.keys() | FOREIGN | recorded, query
        if names <= known.keys():
            labels = frozenset[str]().union(*(known[name] for name in names))
            assert labels_in(query) <= labels | ADDED_LABELS, query


def test_nothing_foreign_is_listed_that_nobody_asks_for() -> None:
    asked = {name for query in queries() for name in metrics_in(query)}
    assert asked >= FOREIGN


@pytest.mark.parametrize("name", sorted(_ALERTS))
def test_an_alert_says_how_bad_it_is_and_where_the_runbook_has_it(name: str) -> None:
    rule = _ALERTS[name]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert page == _RUNBOOK
    assert anchor in _headings()


@pytest.mark.parametrize("name", sorted(_ALERTS))
def test_an_alert_is_tested_silent_and_not(name: str) -> None:
    checks = [check for test in rule_tests() for check in test["alert_rule_test"] if check["alertname"] == name]
    assert {bool(check["exp_alerts"]) for check in checks} == {True, False}


def test_every_problem_that_an_operator_is_told_stands_in_the_runbook() -> None:
    text = (ROOT / "services/gateway/domain/problems.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'_finding\(\s*(?:CRITICAL|WARNING|severity), "(\w+)"', text))
    codes |= {f"{server}_down" for server in ("broker", "redis", "database")}
    codes |= {f"{name}_late" for name, _ in problems._CHORES.values()}
    told = (ROOT / _RUNBOOK).read_text(encoding="utf-8")
    assert len(codes) >= 12
    assert [code for code in sorted(codes) if f"`{code}`" not in told] == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: str(dashboard.uid))
def test_a_dashboards_file_is_what_the_code_says(dashboard: Dashboard) -> None:
    file = FOLDER / f"{dashboard.uid.removeprefix('remit-')}.json"
    assert file.read_text(encoding="utf-8") == text_of(dashboard), "make dashboards"


def test_no_dashboard_is_left_over_and_no_two_are_called_the_same() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == {d.uid.removeprefix("remit-") for d in DASHBOARDS}
    for dashboard in DASHBOARDS:
        titles: Counter[Any] = Counter(panel.title for panel in dashboard.panels)
        assert titles.most_common(1)[0][1] == 1
