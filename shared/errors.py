"""The three classes of error that decide the fate of a message, and of a batch that holds it.

Transient errors are retried with the whole batch; business errors become a committed outcome; poison is parked.
An error of no class takes the bounded path: the batch is bisected until the item that fails stands alone.
"""

from __future__ import annotations


class RemitError(Exception):
    """Something Remit understands well enough to name. The docstring of the class is its message."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])


class TransientError(RemitError):
    """A server or a race was in the way; the same work may succeed later."""


class BusinessError(RemitError):
    """A rule of the business refuses this item; retrying cannot help."""


class PoisonError(RemitError):
    """A message that nobody here can read or place."""


class Unavailable(TransientError):
    """A server that this work needs does not answer; nothing was decided."""


class SettingsError(RemitError):
    """A setting is missing or wrong; the service must not start."""
