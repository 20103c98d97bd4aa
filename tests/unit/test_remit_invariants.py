"""The comparisons behind the invariants, without a database."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest

from remit.commands.verify import EXIT_CODES
from remit.errors import EXIT_CATCHING_UP, EXIT_FAILED, EXIT_OK
from remit.invariants import Result, Status, worst
from remit.invariants.audit import expected_event_id
from remit.invariants.book import max_lag_s
from remit.invariants.comparison import Difference, Fact, add_differences, differing, ranges, told_apart
from remit.invariants.ledger import Standing, contradictions
from remit.invariants.result import DETAIL_MAX, judged
from shared.errors import SettingsError
from shared.ids import event_id

OLD, YOUNG = False, True
Facts = list[tuple[str, Fact]]


@pytest.mark.parametrize(
    ("left", "right", "only_left", "only_right", "unequal", "on_their_way"),
    [
        ([("k", ("1", OLD))], [("k", ("1", OLD))], [], [], [], 0),
        ([("k", ("1", OLD))], [], ["k"], [], [], 0),
        ([("k", ("1", YOUNG))], [], [], [], [], 1),
        ([], [("k", ("1", OLD))], [], ["k"], [], 0),
        ([], [("k", ("1", YOUNG))], [], [], [], 1),
        ([("k", ("a|1", OLD))], [("k", ("a|2", OLD))], [], [], ["k: 1 is not 2"], 0),
        # Youth excuses that something is missing, never that it is wrong.
        ([("k", ("a|1", YOUNG))], [("k", ("a|2", YOUNG))], [], [], ["k: 1 is not 2"], 0),
        ([("k", ("1", OLD))], [("k", ("1", OLD)), ("k", ("1", OLD))], [], [], ["k: stands more than once"], 0),
    ],
)
def test_what_differs_between_two_schemas(
    left: Facts, right: Facts, only_left: list[str], only_right: list[str], unequal: list[str], on_their_way: int
) -> None:
    found = Difference()
    add_differences(found, left, right)
    assert (found.only_left, found.only_right, found.unequal, found.on_their_way) == (
        only_left,
        only_right,
        unequal,
        on_their_way,
    )


def test_breaches_say_which_side_lacks_what() -> None:
    found = Difference(only_left=["a"], only_right=["b"], unequal=["c: 1 is not 2"])
    assert list(found.breaches(left="rows", right="the ledger")) == [
        "a: not in the ledger",
        "b: not in rows",
        "c: 1 is not 2",
    ]


def test_facts_of_another_shape_are_told_whole() -> None:
    assert told_apart("a|1", "a") == "a|1 is not a"


def test_only_buckets_that_differ_are_read_and_neighbours_at_once() -> None:
    left = {"000": (1, 5), "001": (1, 6), "00a": (2, 7), "fff": (1, 1)}
    right = {"000": (1, 5), "001": (1, 9), "002": (1, 1), "00a": (3, 7), "fff": (1, 2)}
    buckets = differing(left, right)
    assert buckets == ["001", "002", "00a", "fff"]
    assert [(str(low)[:4], str(high)[:4]) for low, high in ranges(buckets)] == [
        ("0010", "002f"),
        ("00a0", "00af"),
        ("fff0", "ffff"),
    ]


def test_ranges_cover_every_id_once_and_stay_small() -> None:
    found = list(ranges([f"{bucket:03x}" for bucket in range(4_096)]))
    assert len(found) == 256
    assert found[0][0] == UUID(int=0)
    assert found[-1][1] == UUID(int=2**128 - 1)
    assert all(before[1].int + 1 == after[0].int for before, after in pairwise(found))


A = UUID(int=0xA)


@pytest.mark.parametrize(
    ("account", "ledger", "is_wrong"),
    [
        ((3, 500, 3), (3, 500, 3), False),
        # Behind: the missing entry is judged elsewhere, by its age.
        ((3, 500, 3), (2, 700, 2), False),
        ((3, 500, 3), (3, 900, 2), False),
        ((3, 500, 3), (3, 501, 3), True),
        ((3, 500, 3), (4, 500, 4), True),
        ((3, 500, 3), (3, 500, 4), True),
    ],
)
def test_where_the_ledger_contradicts_an_account(account: Standing, ledger: Standing, is_wrong: bool) -> None:
    assert bool(list(contradictions({A: account}, {A: ledger}))) is is_wrong


def test_entries_of_an_account_that_has_none_contradict() -> None:
    assert list(contradictions({}, {A: (1, 100, 1)}))


@pytest.mark.parametrize(
    ("breaches", "waiting", "status"),
    [([], 0, Status.OK), ([], 3, Status.CATCHING_UP), (["x"], 0, Status.BREACH), (["x"], 3, Status.BREACH)],
)
def test_a_breach_outweighs_what_is_on_its_way(breaches: list[str], waiting: int, status: Status) -> None:
    result = judged("n", "f", breaches, waiting)
    assert (result.status, result.ok) == (status, status is not Status.BREACH)


def test_the_first_breaches_are_shown_and_the_others_counted() -> None:
    detail = judged("n", "f", (str(number) for number in range(1_000))).detail
    assert list(detail) == [*(str(number) for number in range(DETAIL_MAX)), "and 995 more"]


def test_the_book_is_as_good_as_its_worst_invariant() -> None:
    ok, late, bad = (Result(name="n", status=status, figure="") for status in Status)
    assert [EXIT_CODES[worst(found)] for found in ([ok], [ok, late], [late, bad, ok], [])] == [
        EXIT_OK,
        EXIT_CATCHING_UP,
        EXIT_FAILED,
        EXIT_OK,
    ]


def test_audit_rows_about_transfers_carry_derived_ids() -> None:
    assert expected_event_id("TRANSFER", str(A)) == event_id(A, "transfer.settled")
    assert expected_event_id("FRAUD_CHECK", str(A)) == event_id(A, "transfer.screened")
    assert expected_event_id("TRANSFER", "no id") is None


@pytest.mark.parametrize(("text", "lag_s"), [("", 60.0), ("5", 5.0), (" 0.5 ", 0.5)])
def test_the_lag_is_a_setting(text: str, lag_s: float) -> None:
    assert max_lag_s({"REMIT_LEDGER_MAX_LAG_S": text}) == lag_s


@pytest.mark.parametrize("text", ["x", "0", "-1", "inf", "nan"])
def test_a_wrong_lag_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="REMIT_LEDGER_MAX_LAG_S"):
        max_lag_s({"REMIT_LEDGER_MAX_LAG_S": text})


def test_the_words_of_a_result_are_those_that_scripts_read() -> None:
    assert [status.value for status in Status] == ["ok", "catching_up", "breach"]
    assert judged("n", "f", ()).status is Status.OK
