"""What audit counts, once it is committed. All series begin at zero, so that a rate sees the first event."""

from prometheus_client import Counter, Gauge

from shared.contracts.audit import Action

ROWS = Counter("remit_audit_rows_total", "Rows recorded, once an event.", ["action"])
CHECKPOINT = Gauge("remit_audit_checkpoint_seq", "Position in the chain of the newest checkpoint that was announced.")
CHECKPOINTS_LOST = Counter(
    "remit_audit_checkpoints_unsent_total",
    "Checkpoints that the stream did not take; each is tried again with the next.",
)

CUTS = Counter("remit_audit_cuts_met_total", "Times that the log was found to end before its newest checkpoint.")

for _action in Action:
    ROWS.labels(_action)
