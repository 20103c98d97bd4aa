"""Where transfers are: the five stages as one look found them. What could not be looked at is unknown, and says why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from services.gateway.domain.bodies import Moment
from services.gateway.domain.lag import Lag
from shared.contracts import topology
from shared.reporting.report import Report

STAGES = ("gateway", "fraud", "transfer", "ledger", "audit")

_PerSecond = Annotated[dict[str, float], Meta(description="Per second, over the last minute.")]
_Unknown = Annotated[dict[str, str], Meta(description="What is null because it could not be found out, and why.")]


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue that the stage consumes. Messages hold one item or many; rates count items."""

    name: str
    depth: Annotated[int | None, Meta(description="Messages that wait and were given to nobody yet.")]
    unacknowledged: Annotated[int | None, Meta(description="Messages in the hands of the stage's instances.")]
    consumers: int | None
    published_per_s: Annotated[float | None, Meta(description="Null too where publishers do not tell queues apart.")]
    delivered_per_s: float | None


class ChoreView(msgspec.Struct, frozen=True, kw_only=True):
    """Work that an instance does again and again. Of some one instance works, and the others stand by."""

    name: str
    ended_at: Moment | None
    postponed: int


class InstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """One process, by its own word of `silent_s` seconds ago."""

    instance: str
    started_at: Moment
    silent_s: float
    rates: dict[str, _PerSecond]
    figures: dict[str, float]
    chores: list[ChoreView]


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """One stage. `lag` is null at the gateway: before it there is nothing."""

    stage: str
    queues: list[QueueView]
    lag: Lag | None
    dead_letters_open: int | None
    instances: list[InstanceView] | None
    unknown: _Unknown


class ServerView(msgspec.Struct, frozen=True, kw_only=True):
    """A server, as this gateway meets it."""

    name: str
    state: Annotated[str, Meta(extra_json_schema={"enum": ["up", "blocked", "down"]})]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be, in a sentence."""

    severity: Annotated[str, Meta(extra_json_schema={"enum": ["critical", "warning"]})]
    code: str
    stage: str | None
    text: str


class PipelineBody(msgspec.Struct, frozen=True, kw_only=True):
    """The whole pipeline. `status` is `ok` where there are no problems, else the worst severity among them."""

    looked_at: Moment
    status: Annotated[str, Meta(extra_json_schema={"enum": ["ok", "warning", "critical"]})]
    problems: list[Finding]
    settled_per_s: _PerSecond | None
    pending: Annotated[int | None, Meta(description="Transfers and batches that were accepted and have not ended.")]
    oldest_pending_s: float | None
    servers: list[ServerView]
    stages: list[StageView]
    unknown: _Unknown


@dataclass(frozen=True, slots=True)
class Unknown:
    """What could not be looked at."""

    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A queue at the broker."""

    depth: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Instance:
    """A process, and its last word."""

    instance: str
    started_at: datetime
    silent_s: float
    report: Report


@dataclass(frozen=True, slots=True)
class Pending:
    """The records that wait for an end; `oldest_s` among those that were looked at, None where there is none."""

    count: int
    oldest_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found. A queue that is None does not exist."""

    at: datetime
    servers: Mapping[str, str]
    queues: Mapping[str, Standing | None] | Unknown
    pending: Pending | Unknown
    instances: Mapping[str, Sequence[Instance] | Unknown]
    letters: Mapping[str, int | Unknown]
    lags: Mapping[str, Lag | Unknown]


Known = TypeVar("Known")


def known(part: Known | Unknown | None) -> Known | None:
    """The part if it could be looked at."""
    return None if isinstance(part, Unknown) else part


def queues_of(stage: str) -> list[str]:
    """The queues that a stage consumes, those for work first."""
    own = [queue.name for queue in topology.QUEUES if queue.consumer == stage]
    return [*own, topology.dead_letter_queue(stage)] if stage in topology.CONSUMERS else own


def body_of(look: Look, problems: Sequence[Finding]) -> PipelineBody:
    """The answer."""
    pending, settled = known(look.pending), known(look.instances["transfer"])
    severities = {problem.severity for problem in problems}
    return PipelineBody(
        looked_at=look.at,
        status=next((severity for severity in ("critical", "warning") if severity in severities), "ok"),
        problems=list(problems),
        settled_per_s=None if settled is None else summed(settled, "settled"),
        pending=None if pending is None else pending.count,
        oldest_pending_s=None if pending is None else pending.oldest_s,
        servers=[ServerView(name=name, state=state) for name, state in look.servers.items()],
        stages=[_stage(look, stage) for stage in STAGES],
        unknown=_why(pending=look.pending, settled_per_s=look.instances["transfer"]),
    )


def summed(instances: Iterable[Instance], rate: str) -> dict[str, float]:
    """One kind of rates of several processes; what a silent one said last counts until it is forgotten."""
    total: dict[str, float] = {}
    for one in instances:
        for label, value in one.report.rates.get(rate, {}).items():
            total[label] = round(total.get(label, 0.0) + value, 3)
    return total


def _stage(look: Look, stage: str) -> StageView:
    instances, lag, letters = look.instances[stage], look.lags.get(stage), look.letters.get(stage)
    told = known(instances)
    return StageView(
        stage=stage,
        queues=[_queue(look, name, told) for name in queues_of(stage)],
        lag=known(lag),
        dead_letters_open=known(letters),
        instances=None if told is None else [_instance(one) for one in told],
        unknown=_why(
            queues=look.queues if queues_of(stage) else None, instances=instances, lag=lag, dead_letters_open=letters
        ),
    )


def _queue(look: Look, name: str, instances: Sequence[Instance] | None) -> QueueView:
    standing = (known(look.queues) or {}).get(name)
    return QueueView(
        name=name,
        depth=None if standing is None else standing.depth,
        consumers=None if standing is None else standing.consumers,
        unacknowledged=None if instances is None else sum(i.report.unacknowledged.get(name, 0) for i in instances),
        published_per_s=_published(look, name),
        delivered_per_s=None if instances is None else summed(instances, "consumed").get(name, 0.0),
    )


def _published(look: Look, name: str) -> float | None:
    types = next((queue.types for queue in topology.QUEUES if queue.name == name), ())
    publishers = [s for s, published in topology.PUBLISHED.items() if set(types) & set(published)]
    if not publishers or set(types) & topology.ADDRESSED:
        return None
    total = 0.0
    for publisher in publishers:
        instances = known(look.instances[publisher])
        if instances is None:
            return None
        total += sum(value for label, value in summed(instances, "published").items() if label in types)
    return round(total, 3)


def _instance(one: Instance) -> InstanceView:
    return InstanceView(
        instance=one.instance,
        started_at=one.started_at,
        silent_s=round(one.silent_s, 3),
        rates=one.report.rates,
        figures=one.report.figures,
        chores=[
            ChoreView(name=name, ended_at=chore.ended_at, postponed=chore.postponed)
            for name, chore in sorted(one.report.chores.items())
        ],
    )


def _why(**parts: object) -> dict[str, str]:
    return {name: part.why for name, part in parts.items() if isinstance(part, Unknown)}
