"""What can be wrong with an event, seen from audit."""

from __future__ import annotations

from shared.errors import PoisonError


class UnknownActivity(PoisonError):
    """An event that names an action, a resource, a status or an operation that no audit row may have."""
