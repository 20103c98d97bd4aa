"""The metrics that all services have in common. Each service adds its own beside its handlers."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# A second series for each counter and histogram, of which nobody asks anything.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library types it by half

_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500)
# For whatever somebody waits for: from a millisecond to the longest that a client may ask to wait.
DURATIONS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# A message may wait for as long as nobody takes it.
_AGES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800)
_LOOP_LAGS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

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
BATCH_SECONDS = Histogram(
    "remit_batch_seconds", "From taking a batch to its last confirm.", ["queue"], buckets=DURATIONS_S
)
MESSAGE_AGE = Histogram(
    "remit_message_age_seconds",
    "How long ago the first message of a batch was published when the batch was taken.",
    ["queue"],
    buckets=_AGES_S,
)
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
UNRECONCILED = Gauge("remit_unreconciled_items", "Items that the last sweep over the rows did not find downstream.")
CHORE_ENDED = Gauge(
    "remit_chore_ended_timestamp_seconds",
    "When work that is done again and again ended last, in seconds since 1970; 0: never in this process.",
    ["chore"],
)
CHORE_POSTPONED = Counter("remit_chore_postponed_total", "How often it was put off by an error.", ["chore"])
BROKER_UP = Gauge("remit_broker_connected", "Whether a connection to the broker is open.", ["link"])
BROKER_BLOCKED = Gauge("remit_broker_blocked", "Whether the broker blocks what is published on it.", ["link"])
POOL = Gauge(
    "remit_pool_connections", "Connections to a database: open, idle among them, at most.", ["pool", "schema", "state"]
)
LOOP_LAG = Histogram(
    "remit_event_loop_lag_seconds", "How much later than asked the event loop came back.", buckets=_LOOP_LAGS_S
)
SPANS_EXPORTED = Counter("remit_spans_exported_total", "Spans that the collector of traces took.")
SPANS_DROPPED = Counter("remit_spans_dropped_total", "Spans that nobody will see, by reason.", ["reason"])


class ChoreMeter:
    """What is counted of one chore; known from the beginning, so that one that never ends is seen too."""

    def __init__(self, name: str) -> None:
        self._ended, self._postponed = CHORE_ENDED.labels(name), CHORE_POSTPONED.labels(name)

    def ended(self) -> None:
        """It was done once more."""
        self._ended.set_to_current_time()

    def postponed(self) -> None:
        """An error put it off."""
        self._postponed.inc()
