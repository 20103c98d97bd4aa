"""What a fault is: a name, what it does, what is promised all the same, and how it is done and undone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from random import Random

from remit.prove.lab import Lab

# Entered: the fault is there. Left: what it hurt is whole again. It yields a word about whom it met.
Act = Callable[[Lab, Random], AbstractAsyncContextManager[str]]


@dataclass(frozen=True, kw_only=True)
class Nemesis:
    """One fault. Seconds."""

    name: str
    # One sentence each, for the report.
    does: str
    promises: str
    act: Act
    # How long it lasts, drawn from between the two.
    least_s: float = 0.0
    most_s: float = 0.0
    # The servers whose data are lost, or that are away: two faults with a part in common are not mixed.
    touches: frozenset[str] = frozenset()
    # Whether it may be there together with others.
    mixes: bool = True
