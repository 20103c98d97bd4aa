"""What `remit bench` works out: quantiles, what the kernel and PostgreSQL say, costs, loads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from remit.bench import pgbench
from remit.bench.booking import Snapshot, Watch, judge, parse_snapshot
from remit.bench.lab import Batches, booked_in, read_batches
from remit.bench.population import BATCH_ITEMS, Population
from remit.bench.processes import parse_memory, parse_stat, usage_of
from remit.bench.quantiles import quantile, weighted_quantile
from remit.errors import CommandError

_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return _NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0.0),
        ([7.0], 0.01, 7.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.51, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 1.0, 4.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
    ],
)
def test_a_quantile_is_a_value_that_was_seen(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == expected
    assert weighted_quantile([(value, 1) for value in values], share) == expected


def test_a_weighted_quantile_counts_every_value_as_often_as_it_was_seen() -> None:
    """Ninety-nine fast ones and a slow one: the slow one is the last percent, and no more."""
    counted = [(1.0, 99), (50.0, 1)]
    assert weighted_quantile(counted, 0.99) == 1.0
    assert weighted_quantile(counted, 0.995) == 50.0


def test_a_name_with_parentheses_does_not_shift_the_fields() -> None:
    """CPU is that of the process and of the children it has waited for, in user and system mode."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    line = "4711 (a) b (c 9) S 42 1 1 0 -1 4194560 1 2 3 4 100 20 3 4000 20 0 1 0 55 1 1"
    found = parse_stat(line)
    assert (found.pid, found.parent) == (4711, 42)
    assert found.cpu_s == pytest.approx(4123 * tick_s)


def test_memory_is_told_apart_by_who_may_share_it() -> None:
    """An ended process has no such lines, and no memory."""
    lines = (
        "Name:\tx",
        "VmHWM:\t  300 kB",
        "VmRSS:\t 200 kB",
        "RssAnon:\t 100 kB",
        "RssFile:\t 60 kB",
        "RssShmem:\t 40 kB",
    )
    text = "\n".join([*lines, "Threads:\t3"])
    found = parse_memory(text)
    assert (found.own, found.shared, found.peak) == (100 * 1024, 100 * 1024, 300 * 1024)
    assert parse_memory("Name:\tx\nState:\tZ (zombie)\n").peak == 0


def test_what_a_child_costs_is_its_parents_also_after_it_ended() -> None:
    """A process that only waits for one that works: before, during and after."""
    burning = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burning!r}])\nprint(1, flush=True)\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = usage_of({"it": process.pid, "gone": 2**22 + 1})
        process.communicate(b"\n")
    assert set(found) == {"it"}
    assert found["it"].cpu_s >= 0.3
    assert found["it"].memory > 1024 * 1024


def test_a_snapshot_shows_what_was_committed_before_it() -> None:
    """Transactions at or above its end, and those in progress, cannot be seen."""
    found = parse_snapshot("100:105:101,103", _NOON)
    assert [xid for xid in range(98, 108) if found.shows(xid)] == [98, 99, 100, 102, 104]
    assert parse_snapshot("7:7:", _NOON).running == frozenset()


def test_a_row_was_there_at_the_first_sample_that_shows_its_transaction() -> None:
    """Transaction 101 is in progress until the third sample; 200 never ended."""
    watch = Watch(
        [
            Snapshot(_at(0), 100, frozenset()),
            Snapshot(_at(1), 105, frozenset({101})),
            Snapshot(_at(2), 106, frozenset()),
        ]
    )
    assert [watch.seen_at(xid) for xid in (99, 104, 101)] == [_at(0), _at(1), _at(2)]
    with pytest.raises(ValueError, match="200"):
        watch.seen_at(200)


def _group(settled_s: float, transfers: int, **xids: int | None) -> Mapping[str, Any]:
    return {"settled_at": _at(settled_s), "transfers": transfers, "entries": 1, "checks": 1, "ends": 1, **xids}


def test_a_transfer_counts_when_the_last_of_its_rows_is_there() -> None:
    """Entries before audit rows or after; what lacks one is missing, whatever its client was told."""
    watch = Watch([Snapshot(_at(n / 10), n, frozenset()) for n in range(1, 60)])
    groups = [
        _group(0.2, 10, entries=3, checks=2, ends=4),
        _group(1.0, 5, entries=30, checks=12, ends=11),
        _group(1.0, 2, entries=None),
        _group(1.0, 1, ends=None),
    ]
    booked = judge(groups, watch, {"completed": 18, "failed": 1, "blocked": 0, "begun_at": _at(0)})
    assert (booked.settled, booked.missing, booked.failed) == (15, 3, 1)
    # Transaction n is first seen in the sample that ends above it.
    assert booked.seconds == pytest.approx(3.1)
    assert booked.per_second == [10, 0, 0, 5]
    assert booked.ledger.p50_ms == pytest.approx(200)
    assert booked.ledger.max_ms == pytest.approx(2100)
    assert booked.audit.max_ms == pytest.approx(300)


def test_a_load_that_settled_nothing_has_no_figures() -> None:
    booked = judge([], Watch(), {"completed": 0, "failed": 0, "blocked": 0, "begun_at": None})
    assert (booked.settled, booked.seconds, booked.per_second, booked.ledger.max_ms) == (0, 0.0, [], 0.0)


_METRICS = """# HELP remit_batch_items Items of one natural batch.
remit_batch_items_bucket{le="1.0",queue="ledger.settled"} 2.0
remit_batch_items_bucket{le="10.0",queue="ledger.settled"} 5.0
remit_batch_items_bucket{le="+Inf",queue="ledger.settled"} 5.0
remit_batch_items_count{queue="ledger.settled"} 5.0
remit_batch_items_sum{queue="ledger.settled"} 20.0
remit_ledger_entries_total 40.0
remit_audit_rows_total{action="TRANSFER"} 2.0
remit_audit_rows_total{action="CREATE"} 1.0
remit_audit_rows_created{action="CREATE"} 1.7e+09
"""


def test_batches_are_those_of_this_work_alone_and_of_all_instances() -> None:
    """Two instances of which each had batches before; sizes are known as closely as the histogram tells."""
    before: dict[str, Batches] = {}
    read_batches(_METRICS, before)
    now: dict[str, Batches] = {}
    for _ in range(2):
        read_batches(_METRICS, now)
    added = now["ledger.settled"].since(before["ledger.settled"])
    assert (added.count, added.items, added.mean, added.largest) == (5, 20, 4, 10)
    assert now["ledger.settled"].since(None).count == 10


def test_a_batch_of_an_earlier_work_does_not_stand_for_this_ones() -> None:
    """One of a single item before, then one of up to ten."""
    before: dict[str, Batches] = {}
    now: dict[str, Batches] = {}
    line = 'remit_batch_items_bucket{{le="{}",queue="q"}} {}\n'
    read_batches(line.format("1.0", 1) + line.format("10.0", 1) + 'remit_batch_items_count{queue="q"} 1\n', before)
    read_batches(line.format("1.0", 1) + line.format("10.0", 2) + 'remit_batch_items_count{queue="q"} 2\n', now)
    assert now["q"].since(before["q"]).largest == 10
    assert before["q"].largest == 1


def test_entries_and_audit_rows_are_counted_and_nothing_else() -> None:
    assert sorted(map(float, booked_in(_METRICS))) == [1.0, 2.0, 40.0]


def test_pgbench_is_read_without_its_connection_time() -> None:
    output = (
        "latency average = 1.904 ms\ninitial connection time = 9.1 ms\ntps = 4201.5 (without initial connection time)\n"
    )
    assert pgbench.parse(output) == (4201.5, 1.904)
    with pytest.raises(CommandError):
        pgbench.parse("nothing")


def _population(customers: int = 50) -> Population:
    return Population(
        [f"account-{n}" for n in range(customers)], [f"token-{n}" for n in range(customers)], "operator", 7
    )


def test_nobody_pays_himself_and_everybody_pays_with_his_own_token() -> None:
    for template in _population().singles(is_hot=False):
        body = msgspec.json.decode(template.body)
        payer = body["from_account_id"].removeprefix("account-")
        assert template.token == f"token-{payer}"
        assert body["from_account_id"] != body["to_account_id"]


@pytest.mark.parametrize("kind", ["singles", "batches", "operator_batches"])
def test_nine_of_ten_transfers_of_a_hot_load_go_into_one_account(kind: str) -> None:
    """And it pays none of them, so that its row is hot for one reason only."""
    population = _population()
    bodies = [msgspec.json.decode(template.body) for template in getattr(population, kind)(is_hot=True)]
    orders = [order for body in bodies for order in body.get("transfers", [body])]
    hot = sum(order["to_account_id"] == population.hot_account for order in orders)
    assert 0.88 < hot / len(orders) < 0.93
    assert all(order["from_account_id"] != population.hot_account for order in orders)


def test_a_customers_batch_has_one_payer_an_operators_many() -> None:
    own = msgspec.json.decode(_population().batches(is_hot=False)[0].body)["transfers"]
    operators = msgspec.json.decode(_population().operator_batches(is_hot=False)[0].body)["transfers"]
    assert len(own) == len(operators) == BATCH_ITEMS
    assert len({order["from_account_id"] for order in own}) == 1
    assert len({order["from_account_id"] for order in operators}) > 40
