"""What is broken when: a function of the seed and the length alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from remit.prove.nemesis import NEMESES, Nemesis

# Between one fault's end and the next one's beginning, so that recovery can be seen.
_CALM_S = (2.0, 5.0)
# Once every fault has been alone, this part of what follows is two at once.
_MIXED = 0.5


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One fault to come. `seed` draws whom it meets."""

    nemesis: Nemesis
    hold_s: float
    seed: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """Faults that are there together, and the calm before them."""

    calm_s: float
    faults: tuple[Planned, ...]


def steps(seed: int, names: Sequence[str]) -> Steps:
    """The steps of a campaign over these faults, without end."""
    return Steps(seed, [NEMESES[name] for name in names])


class Steps:
    """Every fault once, alone, in an order drawn; then alone or two at once, as drawn; and so on."""

    def __init__(self, seed: int, nemeses: Sequence[Nemesis]) -> None:
        self._draw = Random(f"{seed} schedule")  # noqa: S311 - a schedule that repeats, no secret
        self._seed = seed
        self._nemeses = list(nemeses)
        self._round: list[Nemesis] = []
        self._rounds = 0
        self._made = 0

    def next(self) -> Step:
        """The next step."""
        if not self._round:
            self._round = self._draw.sample(self._nemeses, len(self._nemeses))
            self._rounds += 1
        chosen = [self._round.pop()]
        if self._rounds > 1 and chosen[0].mixes and self._draw.random() < _MIXED:
            partners = [one for one in self._nemeses if _may_join(one, chosen[0])]
            chosen += self._draw.sample(partners, min(1, len(partners)))
        calm_s = self._draw.uniform(*_CALM_S)
        return Step(calm_s=calm_s, faults=tuple(self._planned(one) for one in chosen))

    def _planned(self, nemesis: Nemesis) -> Planned:
        self._made += 1
        hold_s = self._draw.uniform(nemesis.least_s, nemesis.most_s)
        return Planned(nemesis=nemesis, hold_s=hold_s, seed=f"{self._seed} fault {self._made}")


def _may_join(one: Nemesis, other: Nemesis) -> bool:
    """Two faults are mixed where no part is hurt by both: what may be lost together is one part."""
    return one.mixes and one is not other and not (one.touches and other.touches)
