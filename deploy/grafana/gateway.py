"""Calls, as clients meet them."""

from __future__ import annotations

from deploy.grafana.panels import Dashboard, Panel, Query
from deploy.grafana.process import process
from deploy.grafana.queries import R, quantiles, rate

GATEWAY = Dashboard(
    uid="remit-gateway",
    title="gateway",
    said="Calls, as clients meet them.",
    panels=(
        Panel(
            title="Answers, per second",
            said="By status.",
            unit="ops",
            queries=[rate("remit_http_answers_total", "status")],
        ),
        Panel(
            title="A transfer takes",
            said="Single ones, to the last byte; those that ask to wait among them.",
            unit="s",
            queries=quantiles("remit_http_seconds", where='route="/api/v1/transfers", method="POST"'),
        ),
        Panel(
            title="Calls take, p99 by route",
            said="To the last byte.",
            unit="s",
            queries=[
                Query(
                    f"histogram_quantile(0.99, sum by (route, method, le) (rate(remit_http_seconds_bucket{R})))",
                    "{{method}} {{route}}",
                )
            ],
        ),
        Panel(
            title="Calls under way, transfers held",
            said="Held: claimed here, and not seen to end.",
            queries=[
                Query("sum(remit_calls_under_way)", "under way"),
                Query("sum(remit_held_transfers)", "held"),
            ],
        ),
        Panel(
            title="Answers kept in Redis",
            said="A day; less from half of Redis' memory on. Rows answer afterwards.",
            unit="s",
            queries=[Query("min(remit_answers_kept_seconds)", "kept")],
        ),
        Panel(
            title="Refused before anything was begun",
            said="By what was full.",
            unit="ops",
            queries=[rate("remit_overload_refusals_total", "full"), rate("remit_http_cut_total", "reason")],
        ),
        Panel(
            title="Replies lost or unreadable",
            said="The gateway reads the row instead; it costs time.",
            unit="ops",
            queries=[
                Query(f"sum(rate(remit_replies_lost_total{R}))", "lost"),
                Query(f"sum(rate(remit_replies_unreadable_total{R}))", "unreadable"),
            ],
        ),
        Panel(
            title="What the sweeper did",
            said="About records that were due.",
            unit="ops",
            queries=[rate("remit_swept_records_total", "done")],
        ),
        Panel(
            title="Chores put off",
            said="By an error; each is tried again.",
            unit="ops",
            queries=[rate("remit_chore_postponed_total", "chore", where='job="gateway"')],
        ),
        Panel(
            title="Keys taken over",
            said="From a gateway that died, or a lease that ran out.",
            unit="ops",
            queries=[Query(f"sum(rate(remit_idempotency_takeovers_total{R}))", "keys")],
        ),
        *process("gateway"),
    ),
)
