"""Do two schemas tell the same facts? Asked without a join across them, and without carrying every row here.

Each side sums its facts up, a bucket of keys at a time (4,096 buckets: the first three hex digits of the id): how many,
and the exclusive or of 64 bits of each fact's MD5. Only buckets that differ are then read, as ranges of the key, and
compared row by row. So equal books of any size cost one scan a side, and memory stays bounded for unequal ones.
MD5 guards against accident and bugs, which is what a comparison needs; it is the same on every PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from remit.invariants.book import View

# How many neighbouring buckets are read at once.
_RUN_MAX = 16
_KEY_BITS, _BUCKET_BITS = 128, 12
_REST_BITS = _KEY_BITS - _BUCKET_BITS

# A bucket's number of facts and their exclusive or.
Digest = tuple[int, int]
# What is told of a key, and whether it is so young that the other side may not have it yet.
Fact = tuple[str, bool]


@dataclass(frozen=True, kw_only=True)
class Side:
    """How one schema tells the facts.

    `digests` gives (bucket, facts, digest); `rows`, for ids from $1 to $2, (key, fact, is_young). Both may take more
    arguments after these.
    """

    view: View
    digests: str
    rows: str
    arguments: tuple[object, ...] = ()


@dataclass(kw_only=True)
class Difference:
    """Where the sides differ. `facts` counts the left side."""

    facts: int = 0
    only_left: list[str] = field(default_factory=list)
    only_right: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    # Missing on one side, and young.
    on_their_way: int = 0

    def breaches(self, *, left: str, right: str) -> Iterator[str]:
        """One line a difference that time does not excuse."""
        yield from (f"{key}: not in {right}" for key in self.only_left)
        yield from (f"{key}: not in {left}" for key in self.only_right)
        yield from self.unequal


async def compare(left: Side, right: Side) -> Difference:
    """All differences between the two sides."""
    found = await digests_of(left), await digests_of(right)
    difference = Difference(facts=sum(facts for facts, _ in found[0].values()))
    for low, high in ranges(differing(*found)):
        add_differences(difference, await _facts(left, low, high), await _facts(right, low, high))
    return difference


async def digests_of(side: Side) -> Mapping[str, Digest]:
    """One side, summed up."""
    return {row[0]: (row[1], row[2]) for row in await side.view.fetch(side.digests)}


def differing(left: Mapping[str, Digest], right: Mapping[str, Digest]) -> list[str]:
    """The buckets, in order, whose sums differ."""
    return sorted(bucket for bucket in left.keys() | right.keys() if left.get(bucket) != right.get(bucket))


def ranges(buckets: Sequence[str]) -> Iterator[tuple[UUID, UUID]]:
    """The first and last id of each run of neighbouring buckets."""
    run: list[int] = []
    for number in (int(bucket, 16) for bucket in buckets):
        if run and (number != run[-1] + 1 or len(run) == _RUN_MAX):
            yield _range(run)
            run = []
        run.append(number)
    if run:
        yield _range(run)


def _range(run: Sequence[int]) -> tuple[UUID, UUID]:
    return UUID(int=run[0] << _REST_BITS), UUID(int=((run[-1] + 1) << _REST_BITS) - 1)


async def _facts(side: Side, low: UUID, high: UUID) -> list[tuple[str, Fact]]:
    rows = await side.view.fetch(side.rows, low, high, *side.arguments)
    return [(row[0], (row[1], row[2])) for row in rows]


def add_differences(
    difference: Difference, left: Iterable[tuple[str, Fact]], right: Iterable[tuple[str, Fact]]
) -> None:
    """Compares the facts of one range. A key that stands twice on a side differs, whatever it says."""
    one, twice_left = _by_key(left)
    other, twice_right = _by_key(right)
    difference.unequal += [f"{key}: stands more than once" for key in sorted(twice_left | twice_right)]
    for key, (fact, is_young) in one.items():
        if key not in other:
            _missing(difference, difference.only_left, key, is_young=is_young)
        elif other[key][0] != fact:
            difference.unequal.append(f"{key}: {told_apart(fact, other[key][0])}")
    for key, (_, is_young) in other.items():
        if key not in one:
            _missing(difference, difference.only_right, key, is_young=is_young)


def told_apart(left: str, right: str) -> str:
    """The fields in which two facts differ; whole facts where their fields do not pair up."""
    one, other = left.split("|"), right.split("|")
    if len(one) != len(other):
        return f"{left} is not {right}"
    return ", ".join(f"{a} is not {b}" for a, b in zip(one, other, strict=True) if a != b)


def _missing(difference: Difference, keys: list[str], key: str, *, is_young: bool) -> None:
    if is_young:
        difference.on_their_way += 1
    else:
        keys.append(key)


def _by_key(rows: Iterable[tuple[str, Fact]]) -> tuple[dict[str, Fact], set[str]]:
    found: dict[str, Fact] = {}
    twice: set[str] = set()
    for key, fact in rows:
        if key in found:
            twice.add(key)
        found[key] = fact
    return found, twice
