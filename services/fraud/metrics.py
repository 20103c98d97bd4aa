"""What fraud counts, once the verdicts are committed. The detection rate is blocked over approved and blocked, for the
policy `user`. All series begin at zero, so that a rate sees the first event."""

from prometheus_client import Counter

from services.fraud.domain.screening import CODES
from shared.contracts.fraud import Policy, Verdict

VERDICTS = Counter(
    "remit_fraud_verdicts_total",
    "Verdicts: approved and blocked once a transfer, conflict whenever one is met.",
    ["policy", "verdict"],
)
REASONS = Counter("remit_fraud_reasons_total", "Limits that blocked transfers would have exceeded.", ["reason"])
REPEATED = Counter("remit_fraud_repeated_total", "Requests that had their verdict already.")
RELEASES = Counter("remit_fraud_releases_total", "Failed transfers whose amount was taken back.")

for _policy in Policy:
    for _verdict in Verdict:
        VERDICTS.labels(_policy, _verdict)
for _code in CODES:
    REASONS.labels(_code)
