"""The edges of what operators are told: exactly when something is wrong, whose it is, and what is left open."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from services.gateway.domain.lag import Lag, Seen, places_back, places_between
from services.gateway.domain.pipeline import STAGES, Look, Pending, Standing, Unknown, body_of, queues_of
from services.gateway.domain.problems import Bounds, problems_of, schema_of
from shared.contracts import topology
from shared.reporting.report import Chore, Report
from tests.unit.test_gateway_pipeline import answer, instance, look, sentences

_AWAY = Unknown("no answer within 1 s")
_ID = UUID(int=1)


def lag(age_s: float) -> Lag:
    return Lag(behind="transfer", age_s=age_s, rows=1, rows_capped=False)


def severities(found: Look, *, lag_max_s: float = 60) -> list[str]:
    return [problem.severity for problem in problems_of(found, Bounds(lag_max_s=lag_max_s))]


def gateways(*differences: float) -> dict[str, Any]:
    told = [instance("gateway", report=Report(figures={"ledger_differences": n})) for n in differences]
    return {**look().instances, "gateway": told}


@pytest.mark.parametrize(("over_s", "severity"), [(0.0, "warning"), (0.1, "critical")])
def test_late_is_critical_once_the_bound_is_passed(over_s: float, severity: str) -> None:
    assert severities(look(lags={"ledger": lag(60 + over_s)})) == [severity]
    assert severities(look(pending=Pending(count=1, oldest_s=60 + over_s))) == [severity]


def test_an_instance_is_silent_after_five_seconds_and_not_at_them() -> None:
    def of(silent_s: float) -> list[str]:
        return severities(look(instances={**look().instances, "audit": [instance("audit", silent_s=silent_s)]}))

    assert (of(5.0), of(5.1)) == ([], ["warning"])


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ((0.0,), []),
        ((), []),
        ((0.0, 1.0), [("critical", "ledger_differs", "The ledger does not explain 1 account.")]),
    ],
)
def test_the_ledger_differs_where_any_gateway_found_it(differences: tuple[float, ...], said: list[Any]) -> None:
    found = look(instances=gateways(*differences))
    assert sentences(found) == said
    assert {problem.stage for problem in answer(found).problems} <= {"ledger"}


def test_a_worker_is_missing_where_all_of_its_queues_are_alone_or_gone() -> None:
    own = queues_of("ledger")
    queues: dict[str, Standing | None] = dict(look().queues)  # type: ignore[arg-type]
    queues |= dict.fromkeys(own, Standing(depth=0, consumers=0)) | {own[0]: None}
    assert sentences(look(queues=queues)) == [
        ("critical", "queue_missing", f"The broker has no queue {own[0]}."),
        ("critical", "worker_missing", "No ledger worker is connected to the broker."),
    ]
    queues |= dict.fromkeys(own, None)
    assert sentences(look(queues=queues)) == [
        ("critical", "queue_missing", f"The broker has no queue {', '.join(own)}.")
    ]
    queues |= {name: Standing(depth=0, consumers=int(name == own[0])) for name in own}
    assert sentences(look(queues=queues)) == [
        ("critical", "consumer_missing", f"Nobody consumes {', '.join(own[1:])}.")
    ]


def test_each_stage_reports_in_its_own_schema_and_the_gateway_in_that_of_identities() -> None:
    assert [schema_of(stage) for stage in STAGES] == ["identity", "fraud", "transfer", "ledger", "audit"]


@pytest.mark.parametrize(("part", "named"), [("instances", "instances"), ("lags", "lag"), ("letters", "dead letters")])
def test_a_part_of_a_stage_that_is_not_looked_at_is_named(part: str, named: str) -> None:
    found = look(**{part: {**getattr(look(), part), "ledger": _AWAY}})
    assert sentences(found) == [
        ("warning", "not_looked_at", f"The {named} of ledger could not be looked at: no answer within 1 s.")
    ]


def test_what_the_gateway_says_of_itself_is_missed_when_its_own_schema_answers() -> None:
    found = look(instances={**look().instances, "gateway": _AWAY})
    assert [problem.stage for problem in answer(found).problems] == ["gateway"]
    down = look(instances=found.instances, servers={**look().servers, "database identity": "down"})
    assert [problem.code for problem in answer(down).problems] == ["database_down"]


def test_a_stage_has_its_work_first_and_dead_letters_last_and_the_gateway_consumes_nothing() -> None:
    assert queues_of("gateway") == []
    for stage in STAGES[1:]:
        assert queues_of(stage)[-1] == topology.dead_letter_queue(stage)
        assert {name.split(".")[0] for name in queues_of(stage)} == {stage}
    assert STAGES[-1] == "audit"


def test_an_instance_is_shown_as_it_reported() -> None:
    chores = {"sweep": Chore(ended_at=None, postponed=2), "reconcile": Chore(ended_at=None, postponed=0)}
    report = Report(rates={"consumed": {"a": 1.2344}}, figures={"f": 2.0}, chores=chores)
    one = instance("fraud", silent_s=0.12345, report=report)
    [view] = body_of(look(instances={**look().instances, "fraud": [one]}), []).stages[1].instances or []
    assert (view.instance, view.started_at, view.silent_s) == (one.instance, one.started_at, 0.123)
    assert (view.rates, view.figures) == (report.rates, report.figures)
    assert [(chore.name, chore.postponed) for chore in view.chores] == [("reconcile", 0), ("sweep", 2)]


def test_a_queue_is_told_what_the_publishers_of_its_own_types_published() -> None:
    """Nothing of others, and nothing where each message is for one service alone, or nobody of the five publishes."""
    published = {"transfer.settled": 1.00049, "transfer.screened": 64.0, "account.changed": 8.0}
    everybody = {stage: [instance(stage, report=Report(rates={"published": published}))] for stage in STAGES}
    queues = {queue.name: queue for stage in body_of(look(instances=everybody), []).stages for queue in stage.queues}
    assert queues["ledger.settled"].published_per_s == 1.0
    assert queues["transfer.screened"].published_per_s == 64.0
    assert queues["audit.events"].published_per_s is not None
    assert queues[topology.command_queue("fraud")].published_per_s is None
    assert queues[topology.dead_letter_queue("fraud")].published_per_s is None
    assert (queues["fraud.requested"].unacknowledged, queues["fraud.requested"].delivered_per_s) == (0, 0.0)
    summed = body_of(look(instances={**everybody, "transfer": [instance("transfer", report=report(1.00049))]}), [])
    assert summed.settled_per_s == {"completed": 1.0}


def report(settled_per_s: float) -> Report:
    return Report(rates={"settled": {"completed": settled_per_s}})


def test_looks_go_back_by_doublings_to_the_first_place_there_is() -> None:
    assert places_back(1) == [1]
    assert places_back(5) == [5, 4, 3, 1]
    assert places_back(6) == [6, 5, 4, 2]
    assert places_back(1 << 50)[-1] == (1 << 50) - (1 << 41)


def test_the_second_look_stands_evenly_between_what_is_there_and_what_is_missing() -> None:
    def seen(place: int, *, is_there: bool) -> Seen:
        return Seen(place=place, id=_ID, age_s=0.0, is_there=is_there)

    assert places_between([seen(10, is_there=True), seen(13, is_there=False)]) == [12, 11]
    assert places_between([seen(4, is_there=False)]) == [3, 2, 1]
    assert places_between([seen(10, is_there=True), seen(11, is_there=False)]) == []
    wide = places_between([seen(100, is_there=True), seen(6_500, is_there=False)])
    assert (wide[0], wide[-1], len(wide)) == (6_300, 300, 31)
