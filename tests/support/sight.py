"""What rules and dashboards ask Prometheus, and what there is to be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"

# What is not Remit's own, as RabbitMQ 3.10, HAProxy 2.6 and Prometheus 2.42 call it. A test of the containers sees that
# Prometheus knows each of them.
FOREIGN = frozenset(
    {
        "up",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "rabbitmq_alarms_memory_used_watermark",
        "rabbitmq_alarms_free_disk_space_watermark",
        "rabbitmq_process_resident_memory_bytes",
        "rabbitmq_resident_memory_limit_bytes",
        "rabbitmq_queue_messages_ready",
        "rabbitmq_queue_messages_unacked",
        "rabbitmq_global_messages_received_total",
        "rabbitmq_global_messages_delivered_total",
        "rabbitmq_global_messages_redelivered_total",
        "rabbitmq_disk_space_available_bytes",
        "rabbitmq_disk_space_available_limit_bytes",
        "haproxy_backend_active_servers",
        "haproxy_frontend_http_responses_total",
    }
)
# Labels that Prometheus adds, or that a histogram's buckets have.
ADDED_LABELS = frozenset({"job", "instance", "le"})

_PAGE = ROOT / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `(remit_\w+)` \|([^|]*)\|", re.MULTILINE)
_METRIC = re.compile(r"\b(remit:[\w:]+|(?:remit|rabbitmq|haproxy|process)_\w+|up)\b")
_STRINGS = re.compile(r'"[^"]*"')


def documented() -> Mapping[str, frozenset[str]]:
    """Remit's own metrics and their labels, as the page has them."""
    rows = _ROW.findall(_PAGE.read_text(encoding="utf-8"))
    return {name: frozenset(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def rules() -> list[Mapping[str, Any]]:
    """All rules, recording and alerting."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    return [rule for file in files for group in _yaml(file)["groups"] for rule in group["rules"]]


def rule_tests() -> list[Mapping[str, Any]]:
    """All of their tests."""
    return [test for file in sorted((PROMETHEUS / "tests").glob("*.yml")) for test in _yaml(file)["tests"]]


def queries() -> Iterator[str]:
    """Everything that is asked, by rules and by dashboards."""
    for rule in rules():
        yield str(rule["expr"])
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield str(target["expr"])


def metrics_in(query: str) -> set[str]:
    """The names of the metrics that a query asks for; those of a histogram's series as the histogram's."""
    names = set(_METRIC.findall(_STRINGS.sub('""', query)))
    return {re.sub(r"(_seconds|_items)_(bucket|sum|count)$", r"\1", name) for name in names}


def labels_in(query: str) -> set[str]:
    """The labels that it chooses or groups by."""
    groups = re.findall(r"\bby \(([^)]*)\)", query)
    chosen = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    return {label.strip() for group in groups for label in group.split(",")} | set(chosen)


def _yaml(file: Path) -> Any:
    return YAML(typ="safe").load(file)
