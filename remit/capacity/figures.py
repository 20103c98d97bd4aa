"""What was measured: the part of a report of `remit bench` that capacity rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from remit.errors import EXIT_USAGE, CommandError

# Shipped: of a quiet machine, the very run whose table stands in docs/performance.md.
SHIPPED = Path(__file__).with_name("measured.json")


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One work: microseconds of CPU a settled transfer, by process; what others took of the machine's cores."""

    name: str
    does: str
    variant: str
    settled_per_s: float
    cpu_us: Mapping[str, float]
    elsewhere_share: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as far as it matters here; all else that its report holds is passed over."""

    commit: str
    finished_at: str
    machine: str
    cores: int
    customers: int
    works: Sequence[Work]

    def work(self, name: str) -> Work:
        """The work of that name with one worker of each kind.

        Raises:
            CommandError: it was not measured.
        """
        found = next((work for work in self.works if (work.name, work.variant) == (name, "")), None)
        if found is None:
            names = ", ".join(sorted({work.name for work in self.works})) or "none"
            raise CommandError(f"the work {name!r} was not measured; measured were: {names}", EXIT_USAGE)
        return found


def read(path: Path) -> Figures:
    """A report of `remit bench --into`, or the shipped figures.

    Raises:
        CommandError: there is no such file, or it is no such report.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Figures)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", EXIT_USAGE) from None
    except msgspec.DecodeError as error:
        raise CommandError(f"{path} is no report of `remit bench`: {error}", EXIT_USAGE) from None
