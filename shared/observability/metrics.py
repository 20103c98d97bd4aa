"""The metrics that all services have in common. Each service adds its own beside its handlers."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500)

CONSUMED = Counter(
    "remit_consumed_items_total",
    "Items taken from a queue and carried to an end.",
    ["queue"],
)
PUBLISHED = Counter("remit_published_items_total", "Items that the broker confirmed.", ["type"])
REPLIES_LOST = Counter(
    "remit_replies_lost_total",
    "Replies that could not be sent; the gateway reads the row.",
)
REPLIES_UNREADABLE = Counter("remit_replies_unreadable_total", "Replies that this release cannot read.")
BATCH_ITEMS = Histogram("remit_batch_items", "Items of one natural batch.", ["queue"], buckets=_SIZES)
BATCH_SECONDS = Histogram("remit_batch_seconds", "From taking a batch to its last confirm.", ["queue"])
RETRIES = Counter("remit_batch_retries_total", "Batches tried again after a transient error.")
GIVEN_UP = Counter(
    "remit_items_given_up_total",
    "Items that failed alone while others could be carried.",
    ["type"],
)
PARKED = Counter("remit_dead_letters_total", "Items parked in the service's own table.", ["reason"])
LETTER_ACTS = Counter(
    "remit_dead_letter_acts_total",
    "What operators did with dead letters, by how it ended.",
    ["act", "outcome"],
)
RECONCILED = Counter("remit_reconciled_items_total", "Items emitted again from rows.", ["type"])
