"""Where a transfer waits, for how long, and in a plain sentence why, with what that rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from services.gateway.domain.bodies import Moment
from services.gateway.domain.pipeline import Finding, Look, Standing, known
from services.gateway.domain.problems import BEHIND_S, CRITICAL

# The queue in which it waits for a stage, and what sends it again if it was lost on its way there.
_QUEUES = {
    "fraud": "fraud.requested",
    "transfer": "transfer.screened",
    "ledger": "ledger.settled",
    "audit": "audit.events",
}
_AGAIN = {"fraud": "the gateways' sweeper", "transfer": "fraud's reconciler"}
_OF_ALL = frozenset({"broker_down", "broker_blocks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """When each stage had it; None: it has not. `needs_ledger`: it moved money."""

    gateway: datetime
    fraud: datetime | None = None
    transfer: datetime | None = None
    needs_ledger: bool = False
    ledger: datetime | None = None
    audit: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A dead letter that holds the transfer."""

    letter_id: UUID
    service: str
    message_type: str
    reason: str
    parked_at: datetime
    resolution: str | None


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that has not had the transfer yet. `stuck_because` is null while that is nothing unusual."""

    stage: str
    queue: str
    since: Moment
    waited_s: float
    stuck_because: str | None
    evidence: list[Finding]


def waits(
    passed: Passed, parked: Sequence[Parked], look: Look, problems: Sequence[Finding], unknown: Mapping[str, str]
) -> list[Wait]:
    """What it waits for; nothing, where it has come to its end. Stages that could not be looked at are left out."""
    return [
        _wait(stage, since, [letter for letter in parked if letter.service == stage], look, problems)
        for stage, since in _next(passed)
        if stage not in unknown
    ]


def _next(passed: Passed) -> Iterator[tuple[str, datetime]]:
    if passed.transfer is None:
        if passed.fraud is None:
            yield "fraud", passed.gateway
        else:
            yield "transfer", passed.fraud
        return
    if passed.needs_ledger and passed.ledger is None:
        yield "ledger", passed.transfer
    if passed.audit is None:
        yield "audit", passed.transfer


def _wait(stage: str, since: datetime, parked: Sequence[Parked], look: Look, problems: Sequence[Finding]) -> Wait:
    waited_s = max((look.at - since).total_seconds(), 0.0)
    evidence = [*_letters(parked, look.at), *(problem for problem in problems if _concerns(problem, stage))]
    because = None
    if parked or waited_s > BEHIND_S:
        cause = evidence[0].text if evidence else _nothing_known(stage, look)
        because = f"It has waited for {stage} for {waited_s:.0f} s. {cause}"
    return Wait(
        stage=stage,
        queue=_QUEUES[stage],
        since=since,
        waited_s=round(waited_s, 3),
        stuck_because=because,
        evidence=evidence if because is not None else [],
    )


def _letters(parked: Sequence[Parked], now: datetime) -> Iterator[Finding]:
    for letter in parked:
        age_s = max((now - letter.parked_at).total_seconds(), 0.0)
        named = f"Its {letter.message_type} is the dead letter {letter.letter_id} of {letter.service} ({letter.reason})"
        said = (
            f"{named} {age_s:.0f} s ago: an operator replays it, or discards it."
            if letter.resolution is None
            else f"{named}, which an operator closed ({letter.resolution})."
        )
        yield Finding(severity=CRITICAL, code="dead_letter", stage=letter.service, text=said)


def _concerns(problem: Finding, stage: str) -> bool:
    """Whether this may be why something waits for the stage."""
    if problem.code == "dead_letters_open":
        # Others' letters: its own are told by name.
        return False
    of_its_database = problem.code == "database_down" and f"database {stage} " in problem.text
    return problem.stage == stage or problem.code in _OF_ALL or of_its_database


def _nothing_known(stage: str, look: Look) -> str:
    standings: Mapping[str, Standing | None] = known(look.queues) or {}
    standing = standings.get(_QUEUES[stage])
    waiting = "" if standing is None else f" {standing.depth} messages wait in {_QUEUES[stage]}."
    again = _AGAIN.get(stage, "transfer's reconciler")
    return f"Nothing is known to be wrong there.{waiting} If its message was lost, {again} sends it again."
