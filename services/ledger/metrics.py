"""What the ledger counts."""

from prometheus_client import Counter

ENTRIES = Counter("remit_ledger_entries_total", "Entries booked, once each.")
DIFFERENCES = Counter(
    "remit_ledger_differences_total",
    "Settled transfers that contradict themselves or what is booked; each is parked, and nothing is overwritten.",
)
