"""The comparison of two schemas from their sums to their differences, over views that answer from memory."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from remit.invariants.book import View
from remit.invariants.comparison import Difference, Side, compare, digests_of, told_apart

Row = tuple[str, str, bool]


class MemoryView:
    """Answers "digests" and "rows" for ids from $1 to $2, as the schemas' statements do."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self.asked: list[tuple[Any, ...]] = []

    async def fetch(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        if statement == "digests":
            buckets: dict[str, list[str]] = {}
            for key, fact, _ in self._rows:
                buckets.setdefault(key[:3], []).append(key + fact)
            return [(bucket, len(facts), hash(tuple(sorted(facts)))) for bucket, facts in buckets.items()]
        self.asked.append(arguments)
        low, high, *_ = arguments
        return [row for row in self._rows if low <= UUID(row[0]) <= high]


def side(view: MemoryView, *arguments: object) -> Side:
    return Side(view=cast("View", view), digests="digests", rows="rows", arguments=arguments)


def key(bucket: int, number: int) -> str:
    return str(UUID(int=(bucket << 116) + number))


SAME, LEFT, RIGHT, OTHER, YOUNG = key(1, 1), key(2, 1), key(2, 2), key(9, 1), key(9, 2)


async def test_equal_sides_are_summed_up_and_not_read() -> None:
    left, right = MemoryView([(SAME, "1", False)]), MemoryView([(SAME, "1", False)])
    found = await compare(side(left), side(right))
    assert (found.facts, found.only_left, found.only_right, found.unequal, found.on_their_way) == (1, [], [], [], 0)
    assert left.asked == right.asked == []


async def test_what_differs_is_found_in_the_buckets_that_differ_and_nowhere_else() -> None:
    left = MemoryView([(SAME, "1", False), (LEFT, "1", False), (OTHER, "1|a", False), (YOUNG, "1", True)])
    right = MemoryView([(SAME, "1", False), (RIGHT, "1", False), (OTHER, "2|a", False)])
    found = await compare(side(left, 60), side(right))
    assert found.facts == 4
    assert (found.only_left, found.only_right) == ([LEFT], [RIGHT])
    assert found.unequal == [f"{OTHER}: 1 is not 2"]
    assert found.on_their_way == 1
    assert [arguments[2:] for arguments in left.asked] == [(60,), (60,)]
    assert [arguments[2:] for arguments in right.asked] == [(), ()]
    assert [arguments[0] for arguments in left.asked] == [UUID(int=2 << 116), UUID(int=9 << 116)]


async def test_a_side_is_summed_up_by_bucket() -> None:
    rows = [(key(1, 1), "1", False), (key(1, 2), "1", False), (key(2, 1), "1", False)]
    found = await digests_of(side(MemoryView(rows)))
    assert {bucket: facts for bucket, (facts, _) in found.items()} == {"001": 2, "002": 1}


async def test_keys_that_stand_twice_are_told_in_order() -> None:
    twice = [(key(3, number), "1", False) for number in (9, 4, 7, 1, 8)]
    found = await compare(side(MemoryView([*twice, *twice])), side(MemoryView(twice)))
    assert found.unequal == [f"{key(3, number)}: stands more than once" for number in (1, 4, 7, 8, 9)]


def test_every_field_that_differs_is_told() -> None:
    assert told_apart("a|1|x", "b|1|y") == "a is not b, x is not y"


def test_no_difference_is_nothing_of_anything() -> None:
    assert (Difference().facts, Difference().on_their_way) == (0, 0)
