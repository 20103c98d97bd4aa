"""Where transfers are: what waits, how old it is, and what was sent again."""

from __future__ import annotations

from deploy.grafana.panels import Dashboard, Panel, Query
from deploy.grafana.queries import R, rate

PIPELINE = Dashboard(
    uid="remit-pipeline",
    title="pipeline",
    said="Where transfers are. `GET /api/v1/admin/pipeline` says the same in sentences.",
    panels=(
        Panel(
            title="Behind, in seconds",
            said="How long the oldest row waits that a stage has not taken over from the one before it.",
            unit="s",
            queries=[Query("max by (stage) (remit_stage_lag_seconds)", "{{stage}}")],
        ),
        Panel(
            title="Behind, in rows",
            said="Counted to 10,000.",
            queries=[Query("max by (stage) (remit_stage_lag_rows)", "{{stage}}")],
        ),
        Panel(
            title="Messages that wait",
            said="At the broker, given to nobody yet; a message holds one item or many.",
            queries=[Query("max by (queue) (remit_queue_messages)", "{{queue}}")],
        ),
        Panel(
            title="Age of messages when taken, p99",
            said="Of the first message of each batch.",
            unit="s",
            queries=[
                Query(
                    f"histogram_quantile(0.99, sum by (queue, le) (rate(remit_message_age_seconds_bucket{R})))",
                    "{{queue}}",
                )
            ],
        ),
        Panel(
            title="Items carried, per second",
            said="Redeliveries too.",
            unit="ops",
            queries=[rate("remit_consumed_items_total", "queue")],
        ),
        Panel(
            title="Consumers",
            said="None for half a minute is an alarm.",
            queries=[Query("max by (queue) (remit_queue_consumers)", "{{queue}}")],
        ),
        Panel(
            title="Accepted and not ended",
            said="Records of transfers and batches.",
            queries=[Query("max(remit_pending_records)", "pending")],
        ),
        Panel(
            title="The oldest of them",
            said="Of those that were looked at.",
            unit="s",
            queries=[Query("max(remit_pending_oldest_seconds)", "oldest")],
        ),
        Panel(
            title="Dead letters open",
            said="docs/operations.md, dead letters open.",
            queries=[Query("max by (service) (remit_dead_letters_open)", "{{service}}")],
            alarms=True,
        ),
        Panel(
            title="Batches tried again",
            said="After a transient error.",
            unit="ops",
            queries=[rate("remit_batch_retries_total", "job")],
        ),
        Panel(
            title="Sent again from rows and records",
            said="By reconcilers and sweepers: what was lost on its way, or late.",
            unit="ops",
            queries=[
                rate("remit_reconciled_items_total", "type"),
                Query(f'sum(rate(remit_swept_records_total{{done="published"}}{R}))', "swept"),
            ],
        ),
        Panel(
            title="Since they ended last",
            said="Of each chore, by whichever instance did it.",
            unit="s",
            queries=[
                Query(
                    'time() - max by (job, chore) (remit_chore_ended_timestamp_seconds{chore=~"reconcile|sweep"})',
                    "{{job}} {{chore}}",
                )
            ],
        ),
    ),
)
