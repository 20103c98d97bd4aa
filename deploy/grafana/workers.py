"""The four workers: what is each one's own, then what all of them share."""

from __future__ import annotations

from deploy.grafana.panels import Dashboard, Panel, Query
from deploy.grafana.process import process
from deploy.grafana.queries import R, quantiles, rate


def _worker(job: str, said: str, *more: Panel) -> Dashboard:
    where = f'job="{job}"'
    work = (
        Panel(
            title="Items carried, per second",
            said="By queue, redeliveries too.",
            unit="ops",
            queries=[rate("remit_consumed_items_total", "queue", where=where)],
        ),
        Panel(
            title="A batch takes",
            said="From taking it to its last confirm.",
            unit="s",
            queries=quantiles("remit_batch_seconds", where=where),
        ),
        Panel(
            title="A batch holds",
            said="Items, on average: it grows with the load.",
            queries=[
                Query(
                    f"sum by (queue) (rate(remit_batch_items_sum{{{where}}}{R}))"
                    f" / sum by (queue) (rate(remit_batch_items_count{{{where}}}{R}))",
                    "{{queue}}",
                )
            ],
        ),
        Panel(
            title="Age of messages when taken",
            said="Of the first of each batch.",
            unit="s",
            queries=quantiles("remit_message_age_seconds", where=where),
        ),
        Panel(
            title="Retried, given up, parked",
            said="Batches; items that failed alone; dead letters.",
            unit="ops",
            queries=[
                Query(f"sum(rate(remit_batch_retries_total{{{where}}}{R}))", "retried"),
                Query(f"sum(rate(remit_items_given_up_total{{{where}}}{R}))", "given up"),
                Query(f"sum(rate(remit_dead_letters_total{{{where}}}{R}))", "parked"),
            ],
        ),
    )
    return Dashboard(uid=f"remit-{job}", title=job, said=said, panels=(*more, *work, *process(job)))


FRAUD = _worker(
    "fraud",
    "Screening.",
    Panel(
        title="Verdicts, per second",
        said="Operators' are always approved; a conflict is an id used before with another payload.",
        unit="ops",
        queries=[rate("remit_fraud_verdicts_total", "policy, verdict")],
    ),
    Panel(
        title="Asked again, released",
        said="Requests that had their verdict; failed transfers whose amount was taken back.",
        unit="ops",
        queries=[
            Query(f"sum(rate(remit_fraud_repeated_total{R}))", "asked again"),
            Query(f"sum(rate(remit_fraud_releases_total{R}))", "released"),
        ],
    ),
)
TRANSFER = _worker(
    "transfer",
    "Settling, and account commands.",
    Panel(
        title="Ended, per second",
        said="By status.",
        unit="ops",
        queries=[rate("remit_transfers_settled_total", "status")],
    ),
    Panel(
        title="Account commands",
        said="By how they ended.",
        unit="ops",
        queries=[rate("remit_account_commands_total", "operation, outcome")],
    ),
    Panel(
        title="Not found downstream",
        said="By the last sweep of the reconciler.",
        queries=[Query("max by (job) (remit_unreconciled_items)", "{{job}}")],
    ),
)
LEDGER = _worker(
    "ledger",
    "Entries.",
    Panel(
        title="Entries booked, per second",
        said="Two a completed transfer.",
        unit="ops",
        queries=[Query(f"sum(rate(remit_ledger_entries_total{R}))", "entries")],
    ),
    Panel(
        title="Contradictions",
        said="Settled transfers that contradict the book; parked.",
        queries=[Query("sum(increase(remit_ledger_contradictions_total[1h]))", "in an hour")],
        alarms=True,
    ),
)
AUDIT = _worker(
    "audit",
    "The log and its chain.",
    Panel(
        title="Rows, per second",
        said="By action.",
        unit="ops",
        queries=[rate("remit_audit_rows_total", "action")],
    ),
    Panel(
        title="Newest checkpoint",
        said="Its position in the chain, and those that the stream did not take.",
        queries=[
            Query("max(remit_audit_checkpoint_seq)", "position"),
            Query("sum(remit_audit_checkpoints_unsent_total)", "unsent"),
        ],
    ),
    Panel(
        title="Broken, or cut",
        said="By the last verification, and by the last checkpoints.",
        queries=[
            Query("max(remit_audit_chain_broken)", "broken"),
            Query("sum(increase(remit_audit_cuts_met_total[10m]))", "cut"),
        ],
        alarms=True,
    ),
)
