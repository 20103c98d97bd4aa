"""Counters as rates: what was counted per second over the last minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

WINDOW_S = 60.0

Values = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A counter, and the one of its labels by which it is told; over the others it is summed up.

    Of a histogram it is how often something was observed.
    """

    counter: Counter | Histogram
    by: str

    def values(self) -> dict[str, float]:
        """How much was counted so far."""
        found: dict[str, float] = {}
        for family in self.counter.collect():
            for sample in family.samples:
                if sample.name.endswith(("_total", "_count")):
                    label = sample.labels[self.by]
                    found[label] = found.get(label, 0.0) + sample.value
        return found


class Rates:
    """Looked at every second or so; remembers what it saw in the last minute."""

    def __init__(self, counters: Mapping[str, Counted], clock_s: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock_s = clock_s
        self._seen: deque[tuple[float, Values]] = deque([(clock_s(), self._values())])

    def look(self) -> dict[str, dict[str, float]]:
        """By name and label, per second since the oldest look that is no older than the window; what stood still is
        left out."""
        now_s, values = self._clock_s(), self._values()
        while len(self._seen) > 1 and now_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()
        then_s, before = self._seen[0]
        self._seen.append((now_s, values))
        elapsed_s = max(now_s - then_s, 1e-3)
        return {
            name: {
                label: round((value - before[name].get(label, 0.0)) / elapsed_s, 3)
                for label, value in found.items()
                if value > before[name].get(label, 0.0)
            }
            for name, found in values.items()
        }

    def _values(self) -> Values:
        return {name: counted.values() for name, counted in self._counters.items()}
