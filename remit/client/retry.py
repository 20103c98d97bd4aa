"""Which answers are worth another try, and after how long: pure decisions, tested as a table.

A call may be repeated where its repetition cannot pay twice: it only reads, or it carries an idempotency key. Such a
call is repeated with the same key and the same body, byte for byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

# Nothing was attempted: any call may come again.
_NOTHING_DONE = frozenset({"unavailable", "overloaded"})
# What an item of a batch, or a single call, says while its fate is open.
_OPEN_STATUSES = frozenset({202, 503})
# Doubling ends here, long after the longest pause is reached.
_DOUBLINGS_MAX = 16


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a client goes on. Seconds."""

    # For one call, all its tries and the pauses between them together.
    give_up_after_s: float = 120.0
    attempts_max: int = 100
    pause_first_s: float = 0.1
    pause_max_s: float = 5.0
    # For transfers that were accepted and are not ended yet.
    pending_max_s: float = 600.0

    def pause_s(self, attempt: int, asked_s: float | None, drawn: float = 1.0) -> float:
        """The pause before the try after `attempt` (from 1). `drawn`, from 0 to 1, keeps many clients from marching.

        Never sooner than the server asked for; else doubling to a bound, and between half of that and the whole.
        """
        if asked_s is not None:
            return asked_s + self.pause_first_s * drawn
        whole_s = min(self.pause_first_s * 2.0 ** min(attempt - 1, _DOUBLINGS_MAX), self.pause_max_s)
        return whole_s * (1.0 + drawn) / 2


class Fate(Enum):
    """What to do with a call after one try."""

    DONE = "done"
    REPEAT = "repeat"
    RENEW_TOKEN = "renew_token"  # noqa: S105 - a word, no secret
    FAIL = "fail"


def after_answer(status: int, code: str, *, repeatable: bool, token_is_fresh: bool) -> Fate:
    """What an answer means. `token_is_fresh`: the token was made for this very call, so a new one cannot help."""
    if status < 400:
        return Fate.DONE
    if status == 401 and code == "unauthenticated" and not token_is_fresh:
        return Fate.RENEW_TOKEN
    if status == 429 or (status == 503 and code in _NOTHING_DONE):
        return Fate.REPEAT
    if repeatable and is_open(status, code):
        return Fate.REPEAT
    # Answers of a proxy in front, which cannot know what happened behind it.
    return Fate.REPEAT if repeatable and status in {502, 504} else Fate.FAIL


def after_loss(*, was_sent: bool, repeatable: bool) -> Fate:
    """What a broken or refused connection means: what never left may come again, what left only if repeatable."""
    return Fate.REPEAT if repeatable or not was_sent else Fate.FAIL


def may_be_done(status: int, code: str) -> bool:
    """Whether an answer that is no success leaves it open that the call was, or will be, carried out."""
    return (status >= 500 and code not in _NOTHING_DONE) or (status == 409 and code == "request_in_progress")


def is_open(status: int, code: str) -> bool:
    """Whether this is not an end yet, so that the same item is to be asked again."""
    return status in _OPEN_STATUSES or (status == 409 and code == "request_in_progress")


def retry_after_s(header: str | None) -> float | None:
    """The seconds of a `Retry-After`; its other form, a date, is not used by this API and counts as absent."""
    try:
        seconds = float(header) if header is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and math.isfinite(seconds) and seconds >= 0 else None
