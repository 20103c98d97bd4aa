"""What transfer counts."""

from prometheus_client import Counter

SETTLED = Counter("remit_transfers_settled_total", "Transfers that ended, once each.", ["kind", "status", "reason"])
REFUSED = Counter("remit_transfers_refused_total", "Requests whose id was used before with another payload.")
COMMANDS = Counter("remit_account_commands_total", "Account commands that ended.", ["operation", "outcome"])
