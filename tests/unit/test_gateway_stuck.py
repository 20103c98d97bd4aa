"""Why a transfer does not go on: a sentence, and what it rests on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.gateway.domain.pipeline import Standing, Unknown
from services.gateway.domain.problems import Bounds, problems_of
from services.gateway.domain.stuck import Parked, Passed, Wait, waits
from tests.unit.test_gateway_pipeline import instance, lag, look

NOW = look().at
LETTER = UUID(int=7)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def parked(**changes: Any) -> Parked:
    fields = {"letter_id": LETTER, "service": "transfer", "message_type": "transfer.screened", "reason": "poison"}
    return Parked(**{**fields, "parked_at": ago(60), "resolution": None, **changes})


def waited(passed: Passed, *letters: Parked, unknown: tuple[str, ...] = (), **pipeline: Any) -> list[Wait]:
    """What is found while the pipeline is so."""
    found = look(**pipeline)
    problems = problems_of(found, Bounds(lag_max_s=60))
    return waits(passed, letters, found, problems, dict.fromkeys(unknown, "away"))


SCREENED = Passed(gateway=ago(90), fraud=ago(80))


def test_one_that_has_come_to_its_end_waits_for_nothing() -> None:
    assert waited(Passed(gateway=ago(9), fraud=ago(8), transfer=ago(7), audit=ago(6))) == []
    assert waited(Passed(gateway=ago(9), transfer=ago(7), needs_ledger=True, ledger=ago(6), audit=ago(6))) == []


@pytest.mark.parametrize(
    ("passed", "stages"),
    [
        (Passed(gateway=ago(1)), {"fraud": "fraud.requested"}),
        (Passed(gateway=ago(2), fraud=ago(1)), {"transfer": "transfer.screened"}),
        (
            Passed(gateway=ago(2), fraud=ago(1), transfer=ago(1), needs_ledger=True),
            {"ledger": "ledger.settled", "audit": "audit.events"},
        ),
        (Passed(gateway=ago(2), fraud=ago(1), transfer=ago(1)), {"audit": "audit.events"}),
    ],
)
def test_the_next_stage_is_named_with_the_queue_before_it(passed: Passed, stages: dict[str, str]) -> None:
    """Whatever it waits for since a second, it is not stuck."""
    found = waited(passed, queues={})
    assert {one.stage: one.queue for one in found} == stages
    assert {(one.stuck_because, one.waited_s) for one in found} == {(None, 1.0)}
    assert [one.evidence for one in found] == [[]] * len(found)


BROKER: dict[str, Any] = {"servers": {"broker": "blocked"}}


@pytest.mark.parametrize(
    ("pipeline", "code", "text"),
    [
        (BROKER, "broker_blocks", "The broker blocks publishers (memory or disk alarm): nothing is accepted."),
        ({"servers": {"broker": "down"}}, "broker_down", "The broker does not answer."),
        ({"servers": {"database transfer": "down"}}, "database_down", "The database transfer does not answer."),
        (
            {"queues": {"transfer.screened": Standing(depth=3, consumers=0)}},
            "worker_missing",
            "No transfer worker is connected to the broker.",
        ),
        ({"lags": {"transfer": lag(45, 3_400)}}, "stage_behind", "transfer is 45 s behind transfer (3400 rows)."),
        ({"lags": {"transfer": lag(45, 1)}}, "stage_behind", "transfer is 45 s behind transfer (1 row)."),
        (
            {"instances": {**look().instances, "transfer": [instance("transfer", silent_s=9.0)]}},
            "instance_silent",
            "The transfer instance transfer-1 has been silent for 9 s.",
        ),
    ],
)
def test_what_is_wrong_with_the_stage_is_why(pipeline: dict[str, Any], code: str, text: str) -> None:
    [found] = waited(SCREENED, **pipeline)
    assert found.stuck_because == f"It has waited for transfer for 80 s. {text}"
    assert [finding.code for finding in found.evidence] == [code]


@pytest.mark.parametrize(
    "pipeline",
    [
        {"servers": {"database ledger": "down"}},
        {"servers": {"redis": "down"}},
        {"lags": {"ledger": lag(45, 3_400)}},
        {"letters": {"transfer": 4}},
    ],
)
def test_what_is_wrong_elsewhere_is_not_why(pipeline: dict[str, Any]) -> None:
    [found] = waited(SCREENED, **pipeline)
    assert found.stuck_because == (
        "It has waited for transfer for 80 s. Nothing is known to be wrong there. 0 messages wait in transfer.screened."
        " If its message was lost, fraud's reconciler sends it again."
    ), found
    assert found.evidence == []


@pytest.mark.parametrize(
    ("passed", "again"),
    [
        (Passed(gateway=ago(9)), ["the gateways' sweeper"]),
        (Passed(gateway=ago(9), fraud=ago(9)), ["fraud's reconciler"]),
        (Passed(gateway=ago(9), fraud=ago(9), transfer=ago(9), needs_ledger=True), ["transfer's reconciler"] * 2),
    ],
)
def test_who_sends_a_lost_message_again_is_named_though_no_queue_can_be_looked_at(
    passed: Passed, again: list[str]
) -> None:
    found = waited(passed, queues=Unknown("away"))
    assert [one.stuck_because for one in found] == [
        f"It has waited for {one.stage} for 9 s. Nothing is known to be wrong there. If its message was lost,"
        f" {who} sends it again."
        for one, who in zip(found, again, strict=True)
    ]


@pytest.mark.parametrize(("seconds", "is_stuck"), [(5.0, False), (5.001, True)])
def test_it_is_stuck_after_five_seconds_and_not_at_them(seconds: float, is_stuck: bool) -> None:
    [found] = waited(Passed(gateway=ago(seconds)))
    assert (found.stuck_because is not None) is is_stuck


def test_how_long_it_has_waited_is_told_to_the_millisecond() -> None:
    [found] = waited(Passed(gateway=ago(1.234567)))
    assert found.waited_s == 1.235


def test_its_own_dead_letter_is_told_at_once_and_first_of_all() -> None:
    just_now = Passed(gateway=ago(2), fraud=ago(1))
    [found] = waited(just_now, parked(parked_at=ago(1)), **BROKER)
    assert found.stuck_because == (
        f"It has waited for transfer for 1 s. Its transfer.screened is the dead letter {LETTER} of transfer (poison)"
        " 1 s ago: an operator replays it, or discards it."
    )
    assert [finding.code for finding in found.evidence] == ["dead_letter", "broker_blocks"]


def test_a_closed_letter_is_told_with_how_it_was_closed_and_another_stages_is_not() -> None:
    [found] = waited(SCREENED, parked(resolution="discarded"), parked(service="audit"))
    assert found.stuck_because is not None
    assert found.stuck_because.endswith("(poison), which an operator closed (discarded).")
    assert len(found.evidence) == 1


def test_of_a_stage_that_could_not_be_looked_at_nothing_is_claimed() -> None:
    passed = Passed(gateway=ago(90), fraud=ago(80), transfer=ago(70), needs_ledger=True)
    assert [one.stage for one in waited(passed, unknown=("ledger",))] == ["audit"]
