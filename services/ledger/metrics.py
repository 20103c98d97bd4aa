"""What the ledger counts."""

from prometheus_client import Counter

ENTRIES = Counter("remit_ledger_entries_total", "Entries booked, once each.")
CONTRADICTIONS = Counter(
    "remit_ledger_contradictions_total",
    "Settled transfers, as met, that contradict themselves or what is booked; each is parked, and changes nothing.",
)
