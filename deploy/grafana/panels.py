"""Panels and dashboards, and the JSON that Grafana reads (schema version 39, Grafana 11 and later)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]

_SCHEMA_VERSION = 39
_WIDTH, _COLUMNS, _HEIGHT = 8, 3, 8
_SOURCE: Node = {"type": "prometheus", "uid": "${datasource}"}
_RED_FROM_ONE: Node = {
    "mode": "absolute",
    "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}],
}


@dataclass(frozen=True)
class Query:
    """What is asked, and what its lines are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One question. `unit` is Grafana's; `alarms` makes anything but zero red, as one figure instead of lines."""

    title: str
    said: str
    queries: Sequence[Query]
    unit: str = "short"
    alarms: bool = False


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """Panels in rows of three."""

    uid: str
    title: str
    said: str
    panels: Sequence[Panel]


def as_json(dashboard: Dashboard) -> Node:
    """The dashboard as Grafana provisions it."""
    return {
        "uid": dashboard.uid,
        "title": f"Remit: {dashboard.title}",
        "description": dashboard.said,
        "tags": ["remit"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "links": [{"type": "dashboards", "title": "Remit", "tags": ["remit"], "asDropdown": True, "keepTime": True}],
        "templating": {
            "list": [{"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {"list": []},
        "panels": [_panel(panel, index) for index, panel in enumerate(dashboard.panels)],
    }


def _panel(panel: Panel, index: int) -> Node:
    row, column = divmod(index, _COLUMNS)
    defaults: Node = {"unit": panel.unit, "min": 0}
    if panel.alarms:
        defaults["thresholds"] = _RED_FROM_ONE
    return {
        "id": index + 1,
        "type": "stat" if panel.alarms else "timeseries",
        "title": panel.title,
        "description": panel.said,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _STAT if panel.alarms else _LINES,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": False,
                "range": True,
            }
            for number, query in enumerate(panel.queries)
        ],
    }


_STAT: Node = {
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "colorMode": "background",
    "graphMode": "area",
    "textMode": "auto",
}
_LINES: Node = {
    "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
