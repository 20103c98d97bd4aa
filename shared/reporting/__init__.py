"""What each running process says of itself once a second, in its own schema, for operators who ask the gateway.

The broker tells a gateway how many messages wait and who is connected, and nothing else that it may know. The rest is
known to the processes themselves: rates, what they have in hand, when their chores ended last.
"""

from shared.reporting.rates import Counted
from shared.reporting.report import Chore, Report
from shared.reporting.reporter import Reporter

__all__ = ["Chore", "Counted", "Report", "Reporter"]
