"""Quantiles by the nearest rank: always a value that was seen."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed; 0 where there are none."""
    if not ascending:
        return 0.0
    return ascending[max(0, ceil(len(ascending) * share) - 1)]


def weighted_quantile(counted: Sequence[tuple[float, int]], share: float) -> float:
    """The same over values that stand for `count` equal ones each, in ascending order."""
    left = ceil(sum(count for _, count in counted) * share)
    for value, count in counted:
        left -= count
        if left <= 0:
            return value
    return 0.0
