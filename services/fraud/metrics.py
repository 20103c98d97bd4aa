"""What fraud counts. The detection rate is blocked over approved and blocked, for the policy `user`."""

from prometheus_client import Counter

VERDICTS = Counter("remit_fraud_verdicts_total", "Verdicts reached, once each.", ["policy", "verdict"])
REASONS = Counter("remit_fraud_reasons_total", "Limits that blocked transfers would have exceeded.", ["reason"])
REPEATED = Counter("remit_fraud_repeated_total", "Requests that had their verdict already.")
RELEASES = Counter("remit_fraud_releases_total", "Failed transfers whose amount was taken back.")
