"""What every service process shows of itself."""

from __future__ import annotations

from deploy.grafana.panels import Panel, Query
from deploy.grafana.queries import R, quantiles


def process(job: str) -> tuple[Panel, ...]:
    """The panels of one process, by the name Prometheus knows it by."""
    where = f'job="{job}"'
    return (
        Panel(
            title="Instances",
            said="That answer, and that do not.",
            queries=[
                Query(f"sum(up{{{where}}})", "up"),
                Query(f"count(up{{{where}}} == 0) or vector(0)", "down"),
            ],
        ),
        Panel(
            title="Event loop, late by",
            said="Four times a second.",
            unit="s",
            queries=quantiles("remit_event_loop_lag_seconds", where=where),
        ),
        Panel(
            title="Processor, of one",
            said="Python uses one at most.",
            unit="percentunit",
            queries=[Query(f"rate(process_cpu_seconds_total{{{where}}}{R})", "{{instance}}")],
        ),
        Panel(
            title="Memory",
            said="Resident.",
            unit="bytes",
            queries=[Query(f"process_resident_memory_bytes{{{where}}}", "{{instance}}")],
        ),
        Panel(
            title="Database connections in use",
            said="Of each pool, over all instances.",
            queries=[
                Query(
                    f'sum by (pool, schema) (remit_pool_connections{{{where}, state="open"}})'
                    f' - sum by (pool, schema) (remit_pool_connections{{{where}, state="idle"}})',
                    "{{pool}} {{schema}}",
                )
            ],
        ),
        Panel(
            title="Broker connections",
            said="Open, and blocked by an alarm.",
            queries=[
                Query(f"sum by (link) (remit_broker_connected{{{where}}})", "{{link}}"),
                Query(f"sum by (link) (remit_broker_blocked{{{where}}})", "{{link}} blocked"),
            ],
        ),
    )
