"""The report, `docs/mutation.md`: how many mutants each module had, and why the survivors may live."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.mutants import Mutant
from tests.mutation.plan import Target
from tests.mutation.session import SURVIVED

REASONS = Path(__file__).with_name("reasons.toml")
KILLED_MIN = 0.85
NO_REASON = "**no reason was given**"

_INTRODUCTION = """\
# Mutation testing

`make mutate` changes one small thing at a time (a comparison, a sign, a bound, a branch, a constant, a line left out)
and runs the tests that concern the module. A change that no test notices survives: either a rule has no test, or the
change makes no difference. This page is written by that command; the reasons stand in `tests/mutation/reasons.toml`.
What decides (domains, money, ids, the audit chain, the comparisons of the invariants) is tried whole, by unit tests
alone, and at least 85 % of it must be noticed. What speaks to servers is sampled, by its tests on real ones. Not
changed are docstrings, annotations, decorators and the texts of errors. A mutant on which the tests never end is
noticed too.
"""


@dataclass
class Tried:
    """What became of the mutants of one module, of which there are `total`."""

    target: Target
    total: int
    fates: dict[Mutant, str] = field(default_factory=dict)

    @property
    def survivors(self) -> Sequence[Mutant]:
        """Those that no test noticed, in the order of their lines."""
        return sorted((mutant for mutant, fate in self.fates.items() if fate == SURVIVED), key=lambda m: m.line)

    @property
    def killed(self) -> int:
        """How many were noticed."""
        return len(self.fates) - len(self.survivors)


def share(tried: Iterable[Tried]) -> float:
    """How much of what was tried was noticed, of one."""
    listed = list(tried)
    met = sum(len(one.fates) for one in listed)
    return sum(one.killed for one in listed) / met if met else 1.0


def reasons() -> Mapping[str, Mapping[str, str]]:
    """Why a survivor may live, by module and by its name there."""
    found: dict[str, dict[str, str]] = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return found


def page(tried: Sequence[Tried], *, seed: int) -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for title, on_servers in (("Whole", False), (f"Sampled, by seed {seed}", True)):
        chosen = [one for one in tried if one.target.on_servers is on_servers]
        if chosen:
            parts.append(f"## {title}\n\n{_table(chosen)}")
    known = reasons()
    survivors = [_survivors(one, known.get(one.target.path, {})) for one in tried if one.survivors]
    return "\n".join([*parts, "## Survivors\n", *survivors])


def _table(tried: Sequence[Tried]) -> str:
    rows = [_row(one.target.path, one.total, len(one.fates), one.killed) for one in tried]
    sums = (sum(one.total for one in tried), sum(len(one.fates) for one in tried), sum(one.killed for one in tried))
    head = "| module | mutants | tried | noticed | survived | noticed, % |\n|---|---:|---:|---:|---:|---:|"
    return "\n".join([head, *rows, _row("together", *sums), ""])


def _row(name: str, total: int, met: int, killed: int) -> str:
    percent = f"{100 * killed / met:.0f}" if met else ""
    return f"| {name} | {total} | {met} | {killed} | {met - killed} | {percent} |"


def _survivors(tried: Tried, known: Mapping[str, str]) -> str:
    lines = [f"- {mutant.name}: {known.get(mutant.name, NO_REASON)}" for mutant in tried.survivors]
    return "\n".join([f"### {tried.target.path}\n", *lines, ""])
