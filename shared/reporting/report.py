"""A process's word about itself: nothing in it but what its metrics, and the first lines of its log, say too."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Chore(msgspec.Struct, frozen=True, kw_only=True):
    """Work that is done again and again: when it ended last (None: never), and how often it had to be put off."""

    ended_at: datetime | None
    postponed: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`rates`: what is counted, by what, per second over the last minute or, of a younger process, over its life.

    `unacknowledged`: by queue, messages in hand. `settings`: those by which it judges, in their canonical words. Later
    releases add fields; readers pass over what they do not know.
    """

    rates: dict[str, dict[str, float]] = {}
    unacknowledged: dict[str, int] = {}
    chores: dict[str, Chore] = {}
    figures: dict[str, float] = {}
    settings: dict[str, str] = {}
