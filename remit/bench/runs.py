"""A run under way: what is planned, where it happens, and what has been found so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from remit.bench.booking import SQL, look
from remit.bench.lab import Lab
from remit.bench.population import Population
from remit.bench.report import Timing, WorkReport, work_report
from remit.bench.works import WORKS, Work, do

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do. `seconds` are of each work; what is 0 or false is left out.

    `book`: so many transfers are made before single transfers and batches are measured again. `soak_minutes`: as long
    at half the peak. `entries`: so many on one account, which is then verified. `verify_book`: so many transfers before
    the books are checked.
    """

    works: Sequence[Work]
    seconds: float
    customers: int
    seed: int
    with_pgbench: bool
    book: int = 0
    with_workers: bool = False
    soak_minutes: float = 0.0
    entries: int = 0
    verify_book: int = 0


@dataclass
class Run:
    """A run under way: where it happens, and what it has found."""

    plan: Plan
    lab: Lab
    population: Population
    tell: Tell
    works: list[WorkReport] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)

    async def do(self, work: Work, variant: str = "", seconds: float | None = None) -> WorkReport:
        """One work."""
        rate = None if work.share is None else work.share * await self.peak()
        chosen_s = self.plan.seconds if seconds is None else seconds
        self.tell(f"{work.name}: {work.does}{variant and f', {variant}'}, {chosen_s:.0f} s")
        found = work_report(await do(self.lab, self.population, work, chosen_s, rate), variant)
        self.works.append(found)
        self.tell(f"{work.name}: {found.settled_per_s:,.0f} settled/s, p50 {found.p50_ms:.1f} ms")
        return found

    async def peak(self) -> float:
        """Single transfers settled a second: as measured in this run, now if that has not been done yet."""
        return (await self.once(WORKS["single"])).settled_per_s

    async def once(self, work: Work) -> WorkReport:
        """A work as it was done before, or now."""
        found = next((one for one in self.works if (one.name, one.variant) == (work.name, "")), None)
        return found or await self.do(work)

    async def transactions(self) -> int:
        """Rows on the book."""
        [row] = await look(self.lab.owner, SQL.transactions)
        return int(row["transactions"])

    async def storage(self) -> dict[str, int]:
        """Bytes by schema."""
        return {row["schema"]: row["bytes"] for row in await look(self.lab.owner, SQL.storage)}
