"""What can be wrong with a settled transfer, seen from the ledger."""

from __future__ import annotations

from shared.errors import BusinessError


class PostingsInconsistent(BusinessError):
    """A completed transfer whose postings do not explain it."""
