"""What the bank does, and whether its book is right."""

from __future__ import annotations

from deploy.grafana.panels import Dashboard, Panel, Query
from deploy.grafana.queries import R, rate

BUSINESS = Dashboard(
    uid="remit-business",
    title="business",
    said="What the bank does, and whether its book is right.",
    panels=(
        Panel(
            title="Transfers that ended, per second",
            said="Each once, when its row is committed.",
            unit="ops",
            queries=[rate("remit_transfers_settled_total", "kind, status")],
        ),
        Panel(
            title="Share that fraud blocks",
            said="Of customers' transfers that got a verdict.",
            unit="percentunit",
            queries=[
                Query(
                    f'sum(rate(remit_fraud_verdicts_total{{policy="user", verdict="blocked"}}{R}))'
                    f' / sum(rate(remit_fraud_verdicts_total{{policy="user", verdict=~"approved|blocked"}}{R}))',
                    "blocked",
                )
            ],
        ),
        Panel(
            title="Limits that blocked",
            said="One transfer may exceed several.",
            unit="ops",
            queries=[rate("remit_fraud_reasons_total", "reason")],
        ),
        Panel(
            title="Transfers that failed, by reason",
            said="Refused by a rule, or given up.",
            unit="ops",
            queries=[rate("remit_transfers_settled_total", "reason", where='status="failed"')],
        ),
        Panel(
            title="Accounts that the ledger does not explain",
            said="Anything but 0 is an alarm: docs/operations.md, ledger differs.",
            queries=[Query("max(remit_ledger_differences)")],
            alarms=True,
        ),
        Panel(
            title="Since the last whole round of verification",
            said="Of the one gateway that verifies.",
            unit="s",
            queries=[Query("time() - max(remit_ledger_round_ended_timestamp_seconds)", "ago")],
        ),
        Panel(
            title="Keys: claimed, replayed, reused",
            said="How calls with an idempotency key were met.",
            unit="ops",
            queries=[rate("remit_idempotency_calls_total", "how")],
        ),
        Panel(
            title="Audited, per second",
            said="Rows by action.",
            unit="ops",
            queries=[rate("remit_audit_rows_total", "action")],
        ),
        Panel(
            title="Budget of errors: how many times too fast it burns",
            said="1 uses exactly 0.1 % of calls; 14.4 for an hour is a page.",
            queries=[
                Query("remit:calls_failed:ratio_rate5m / 0.001", "5 minutes"),
                Query("remit:calls_failed:ratio_rate1h / 0.001", "1 hour"),
                Query("remit:calls_failed:ratio_rate6h / 0.001", "6 hours"),
            ],
        ),
    ),
)
