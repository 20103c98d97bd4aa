"""Writes the dashboards' files; with `--as-rules` the queries instead, as rules, for promtool to parse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.panels import Dashboard, as_json

FOLDER = Path(__file__).with_name("dashboards")


def text_of(dashboard: Dashboard) -> str:
    """The file of a dashboard."""
    return json.dumps(as_json(dashboard), indent=2) + "\n"


def as_rules() -> str:
    """Every query as a recording rule, in YAML (of which JSON is a part)."""
    queries = [query.expr for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries]
    rules = [
        {"record": f"dashboards:query:{number}", "expr": expr.replace("$__rate_interval", "5m")}
        for number, expr in enumerate(queries)
    ]
    return json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}, indent=2)


def main(arguments: list[str]) -> None:
    """Writes, or prints."""
    if arguments == ["--as-rules"]:
        print(as_rules())
        return
    FOLDER.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid.removeprefix('remit-')}.json").write_text(text_of(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
