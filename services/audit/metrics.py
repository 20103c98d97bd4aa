"""What audit counts."""

from prometheus_client import Counter, Gauge

ROWS = Counter("remit_audit_rows_total", "Rows recorded, once an event.", ["action"])
CHECKPOINT = Gauge("remit_audit_checkpoint_seq", "Position in the chain of the newest checkpoint that was announced.")
CHECKPOINTS_LOST = Counter(
    "remit_audit_checkpoints_unsent_total",
    "Checkpoints that the stream did not take; each is tried again with the next.",
)
