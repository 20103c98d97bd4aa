"""The pipeline as operators read it: what is behind, what is wrong, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.gateway.domain.lag import ROWS_MAX, Lag, Seen, oldest_missing, places_back, places_between
from services.gateway.domain.pipeline import (
    STAGES,
    Instance,
    Look,
    Pending,
    PipelineBody,
    Standing,
    Unknown,
    body_of,
    queues_of,
)
from services.gateway.domain.problems import Bounds, problems_of
from shared.contracts import topology
from shared.reporting.rates import Counted, Rates
from shared.reporting.report import Chore, Report

_NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
_SERVERS = ("broker", "redis", *(f"database {name}" for name in ("identity", "fraud", "transfer", "ledger", "audit")))


def instance(stage: str, **changes: Any) -> Instance:
    """A process that has just reported."""
    fields = {"instance": f"{stage}-1", "started_at": _NOW, "silent_s": 0.3, "report": Report(), **changes}
    return Instance(**fields)


def look(**changes: Any) -> Look:
    """A pipeline in which all is well."""
    well: dict[str, Any] = {
        "at": _NOW,
        "servers": dict.fromkeys(_SERVERS, "up"),
        "queues": {name: Standing(depth=0, consumers=1) for stage in STAGES for name in queues_of(stage)},
        "pending": Pending(count=0, oldest_s=None),
        "instances": {stage: [instance(stage)] for stage in STAGES},
        "letters": dict.fromkeys(topology.CONSUMERS, 0),
        "lags": {stage: lag() for stage in ("fraud", "transfer", "ledger", "audit")},
    }
    return Look(**{**well, **changes})


def lag(age_s: float = 0.0, rows: int = 0, *, capped: bool = False) -> Lag:
    return Lag(behind="transfer", age_s=age_s, rows=rows, rows_capped=capped)


def answer(found: Look) -> PipelineBody:
    """What an operator reads."""
    return body_of(found, problems_of(found, Bounds(lag_max_s=60)))


def sentences(found: Look) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.code, problem.text) for problem in answer(found).problems]


def test_a_pipeline_in_which_all_is_well_has_no_problems() -> None:
    body = answer(look())
    assert (body.status, body.problems, body.unknown) == ("ok", [], {})
    assert [stage.stage for stage in body.stages] == list(STAGES)


@pytest.mark.parametrize(
    ("changes", "severity", "code", "text"),
    [
        (
            {"lags": {"ledger": lag(12.4, 3_400)}},
            "warning",
            "stage_behind",
            "ledger is 12 s behind transfer (3400 rows).",
        ),
        (
            {"lags": {"audit": lag(61, ROWS_MAX, capped=True)}},
            "critical",
            "stage_behind",
            "audit is 61 s behind transfer (more than 10000 rows).",
        ),
        (
            {"letters": {"ledger": 1}},
            "warning",
            "dead_letters_open",
            "1 dead letter waits for an operator in ledger.",
        ),
        (
            {"pending": Pending(count=3, oldest_s=31)},
            "warning",
            "transfer_pending_long",
            "An accepted transfer has been waiting for its end for 31 s.",
        ),
        ({"servers": {"redis": "down"}}, "critical", "redis_down", "The redis does not answer."),
        ({"servers": {"database ledger": "down"}}, "critical", "database_down", "The database ledger does not answer."),
        (
            {"servers": {"broker": "blocked"}},
            "critical",
            "broker_blocks",
            "The broker blocks publishers (memory or disk alarm): nothing is accepted.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(changes: dict[str, Any], severity: str, code: str, text: str) -> None:
    found = look(**changes)
    assert sentences(found) == [(severity, code, text)]
    assert answer(found).status == severity


@pytest.mark.parametrize("age_s", [0.0, 5.0])
def test_what_is_hardly_behind_is_no_problem(age_s: float) -> None:
    assert sentences(look(lags={"ledger": lag(age_s, 9)}, pending=Pending(count=9, oldest_s=30))) == []


def test_a_worker_that_is_not_there_is_told_from_a_queue_that_nobody_consumes() -> None:
    queues: dict[str, Standing | None] = dict(look().queues)  # type: ignore[arg-type]
    alone = Standing(depth=4, consumers=0)
    queues |= dict.fromkeys(queues_of("fraud"), alone) | {"transfer.screened": alone, "ledger.settled": None}
    assert sentences(look(queues=queues)) == [
        ("critical", "worker_missing", "No fraud worker is connected to the broker."),
        ("critical", "consumer_missing", "Nobody consumes transfer.screened."),
        ("critical", "queue_missing", "The broker has no queue ledger.settled."),
    ]


def test_the_worst_comes_first() -> None:
    found = answer(look(letters={"ledger": 2}, servers={"redis": "down"}))
    assert [problem.severity for problem in found.problems] == ["critical", "warning"]
    assert found.status == "critical"


@pytest.mark.parametrize(("chore", "name", "bound_s"), [("reconcile", "reconciler", 300), ("sweep", "sweeper", 60)])
def test_of_shared_work_it_is_enough_that_some_instance_has_done_it(chore: str, name: str, bound_s: int) -> None:
    def did(late_s: float | None) -> Instance:
        ended_at = None if late_s is None else _NOW - timedelta(seconds=late_s)
        report = Report(chores={chore: Chore(ended_at=ended_at, postponed=0)})
        return instance("transfer", started_at=_NOW - timedelta(hours=1), report=report)

    def found(*instances: Instance) -> list[tuple[str, str, str]]:
        return sentences(look(instances={**look().instances, "transfer": list(instances)}))

    assert found(did(None), did(bound_s)) == []
    assert found(did(None), did(bound_s + 1)) == [
        ("warning", f"{name}_late", f"The {name} of transfer has not come to an end for {bound_s + 1} s.")
    ]


def test_an_instance_that_says_nothing_any_more_and_a_ledger_that_differs_are_named() -> None:
    report = Report(figures={"ledger_differences": 2.0})
    gateways = [instance("gateway", report=report), instance("gateway", silent_s=7.2)]
    assert sentences(look(instances={**look().instances, "gateway": gateways})) == [
        ("critical", "ledger_differs", "The ledger does not explain 2 accounts."),
        ("warning", "instance_silent", "The gateway instance gateway-1 has been silent for 7 s."),
    ]


def test_what_could_not_be_looked_at_is_null_and_says_why() -> None:
    away = Unknown("no answer within 1 s")
    found = look(
        queues=Unknown("no connection"),
        pending=away,
        instances={**look().instances, "ledger": away},
        letters={**look().letters, "ledger": away},
        lags={**look().lags, "ledger": away},
        servers={**look().servers, "broker": "down", "redis": "down", "database ledger": "down"},
    )
    body = answer(found)
    assert [problem.code for problem in body.problems] == ["broker_down", "redis_down", "database_down"]
    assert (body.pending, body.unknown) == (None, {"pending": "no answer within 1 s"})
    ledger = next(stage for stage in body.stages if stage.stage == "ledger")
    assert (ledger.lag, ledger.dead_letters_open, ledger.instances) == (None, None, None)
    assert ledger.unknown == {
        "queues": "no connection",
        **dict.fromkeys(("instances", "lag", "dead_letters_open"), "no answer within 1 s"),
    }
    assert {queue.depth for stage in body.stages for queue in stage.queues} == {None}


def test_what_cannot_be_looked_at_while_its_server_answers_is_a_problem_of_its_own() -> None:
    found = look(lags={**look().lags, "ledger": Unknown("no answer within 1 s")}, queues=Unknown("refused"))
    assert sentences(found) == [
        ("warning", "not_looked_at", "The queues could not be looked at: refused."),
        ("warning", "not_looked_at", "The lag of ledger could not be looked at: no answer within 1 s."),
    ]


def test_rates_and_messages_in_hand_are_those_of_all_instances() -> None:
    def worker(settled: float, unacknowledged: int) -> Instance:
        rates = {"settled": {"completed": settled}, "consumed": {"transfer.screened": settled}}
        return instance("transfer", report=Report(rates=rates, unacknowledged={"transfer.screened": unacknowledged}))

    publishing = instance("fraud", report=Report(rates={"published": {"transfer.screened": 40.0, "other": 1.0}}))
    everybody = {**look().instances, "transfer": [worker(10.5, 3), worker(20, 4)], "fraud": [publishing]}
    body = answer(look(instances=everybody))
    assert body.settled_per_s == {"completed": 30.5}
    queue = next(q for stage in body.stages for q in stage.queues if q.name == "transfer.screened")
    assert (queue.unacknowledged, queue.delivered_per_s, queue.published_per_s) == (7, 30.5, 40.0)


def rows(there: int, missing: int, *, apart: int = 1) -> list[tuple[int, bool]]:
    """So many rows that the stage has, then so many that it has not: (place, is there)."""
    return [((n + 1) * apart, n < there) for n in range(there + missing)]


def seen_at(book: Sequence[tuple[int, bool]], places: Sequence[int]) -> list[Seen]:
    """What a look at these places finds: at each the newest row there or before."""
    newest = book[-1][0]
    found = {row for place in places if (row := max((r for r in book if r[0] <= place), default=None))}
    return [Seen(place=p, id=UUID(int=p), age_s=float(newest - p), is_there=is_there) for p, is_there in found]


@pytest.mark.parametrize(("there", "missing"), [(0, 1), (1, 1), (700, 1), (700, 30), (5, 700), (0, 700)])
@pytest.mark.parametrize("apart", [1, 13])
def test_the_oldest_missing_row_is_found_by_two_looks(there: int, missing: int, apart: int) -> None:
    book = rows(there, missing, apart=apart)
    seen = seen_at(book, places_back(book[-1][0]))
    seen += seen_at(book, places_between(seen))
    found = oldest_missing(seen)
    assert found is not None
    wanted = (there + 1) * apart
    assert wanted <= found.place <= wanted + max(missing * apart // 16, 1)
    assert len(seen) < 80


def test_a_stage_that_has_the_newest_row_is_not_behind_whatever_is_missing_before() -> None:
    book = [(1, True), (2, False), (3, True)]
    seen = seen_at(book, places_back(3))
    assert (oldest_missing(seen), places_between(seen)) == (None, [])


def test_a_rate_is_what_was_counted_over_the_last_minute_or_the_life_of_the_process() -> None:
    counter = Counter("remit_rates_tried_total", "Here alone.", ["status", "kind"], registry=CollectorRegistry())
    now_s = 1_000.0
    rates = Rates({"settled": Counted(counter=counter, by="status")}, clock_s=lambda: now_s)
    seen = []
    for second in range(1, 121):
        now_s += 1
        for kind in ("a", "b"):
            counter.labels("completed", kind).inc(5 if second <= 60 else 10)
        seen.append(rates.look())
    assert seen[9] == {"settled": {"completed": 10.0}}
    assert seen[59] == {"settled": {"completed": 10.0}}
    assert seen[119] == {"settled": {"completed": 20.0}}
    now_s += 60
    rates.look()
    assert rates.look() == {"settled": {}}
