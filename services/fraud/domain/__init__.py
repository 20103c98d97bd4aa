"""What fraud decides: pure, no I/O, no clock. A transfer is measured against the limits in `screening.exceeded`."""

from services.fraud.domain.limits import (
    OFF,
    AmountLimit,
    Limits,
    parse_amount_limit,
    parse_count_limit,
)
from services.fraud.domain.screening import (
    Exceeded,
    Fate,
    Outcome,
    Past,
    Request,
    Window,
    differing_fields,
    exceeded,
    is_operators,
    screen,
)

__all__ = [
    "OFF",
    "AmountLimit",
    "Exceeded",
    "Fate",
    "Limits",
    "Outcome",
    "Past",
    "Request",
    "Window",
    "differing_fields",
    "exceeded",
    "is_operators",
    "parse_amount_limit",
    "parse_count_limit",
    "screen",
]
