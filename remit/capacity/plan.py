"""From microseconds a transfer to instances: pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from remit.capacity.figures import Work

# A transfer's way. What makes the load and what watches it are no part of it.
GATEWAYS, WORKERS, SERVERS = ("gateway",), ("fraud", "transfer", "ledger", "audit"), ("postgres", "rabbitmq", "redis")
# Each runs one thread at a time, so more of them carry more; but for these, more carry no more.
_ALONE: Mapping[str, str] = {
    "audit": "one worker at a time extends the chain; a second one waits for its turn",
    "redis": "one thread runs all scripts",
}
# These use as many cores as there are; where that ends was not measured.
_WIDE = frozenset({"postgres", "rabbitmq"})


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What one part needs for a rate. `instances`: None for a server that takes cores instead; `each_per_s`: what one
    instance, or one core of it, carries; `most_per_s`: what all that may be carry, None if more carry more.
    """

    part: str
    cpu_us: float
    cores: float
    instances: int | None
    each_per_s: int
    most_per_s: int | None
    note: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A rate in settled transfers a second, and what it takes. `load` is the share of a core that may be used.

    `first` is what is full first with one of each and a server of one core, `last` what is full first when all
    that can be more is more: no rate above `most_per_s` can be had.
    """

    rate_per_s: float
    load: float
    parts: Sequence[Need]
    cores: float
    first: str
    first_per_s: int
    last: str
    most_per_s: int
    reachable: bool


def plan(work: Work, rate_per_s: float, load: float) -> Plan:
    """What `rate_per_s` needs where each transfer costs what it cost in `work`.

    Raises:
        KeyError: the work does not say what a part costs.
    """
    parts = [_need(part, _cost_us(work, part), rate_per_s, load) for part in (*GATEWAYS, *WORKERS, *SERVERS)]
    scaled = [part for part in parts if part.part not in _WIDE]
    bounded = [(part.most_per_s, part.part) for part in parts if part.most_per_s is not None]
    first_per_s, first = min((part.each_per_s, part.part) for part in scaled)
    most_per_s, last = min(bounded)
    return Plan(
        rate_per_s=rate_per_s,
        load=load,
        parts=parts,
        cores=round(sum(part.cores for part in parts), 2),
        first=first,
        first_per_s=first_per_s,
        last=last,
        most_per_s=most_per_s,
        reachable=rate_per_s <= most_per_s,
    )


def machine_per_s(work: Work, cores: int) -> float:
    """What a machine could carry whose cores do nothing else: the bound that a measurement on it is held against."""
    return cores * 1e6 / sum(work.cpu_us.values())


def _cost_us(work: Work, part: str) -> float:
    """Of all its instances (`transfer`, `transfer-2`) together."""
    spent = [cost for name, cost in work.cpu_us.items() if name.partition("-")[0] == part]
    if not spent:
        raise KeyError(part)
    return sum(spent)


def _need(part: str, cpu_us: float, rate_per_s: float, load: float) -> Need:
    cores = rate_per_s * cpu_us / 1e6
    each_per_s = int(load * 1e6 / cpu_us)
    is_alone = part in _ALONE
    return Need(
        part=part,
        cpu_us=round(cpu_us, 1),
        cores=round(cores, 2),
        instances=None if part in _WIDE else 1 if is_alone else math.ceil(cores / load),
        each_per_s=each_per_s,
        most_per_s=each_per_s if is_alone else None,
        note=_note(part, cores, load),
    )


def _note(part: str, cores: float, load: float) -> str:
    if part in _WIDE:
        count = math.ceil(cores / load)
        return f"a server of {count} {'core' if count == 1 else 'cores'}"
    if part in _ALONE:
        return _ALONE[part]
    return "two at least, so that one may be away" if math.ceil(cores / load) < 2 else ""
