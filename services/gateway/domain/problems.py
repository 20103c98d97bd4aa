"""What is wrong with the pipeline, in plain sentences, the worst first. Each code has a part in the runbook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.gateway.domain.pipeline import Finding, Instance, Look, Standing, Unknown, known, queues_of

CRITICAL, WARNING = "critical", "warning"

BEHIND_S = 5.0
SILENT_S = 5.0
# A caller waits for five seconds unless he prefers otherwise.
PENDING_S = 30.0
# What looks after transfers that were lost on their way, and how long it may be that none of it came to an end.
_CHORES = {"reconcile": ("reconciler", 300.0), "sweep": ("sweeper", 60.0)}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """From when on what is late is critical, in seconds."""

    lag_max_s: float


def problems_of(look: Look, bounds: Bounds) -> list[Finding]:
    """Everything that is not as it should be."""
    found = [
        *_servers(look),
        *(problem for stage in look.instances for problem in _queues(look, stage)),
        *(problem for stage in look.instances for problem in _instances(look, stage)),
        *_lags(look, bounds),
        *_pending(look, bounds),
        *_letters(look.letters),
        *_differences(look),
        *_unknown(look),
    ]
    return sorted(found, key=lambda problem: problem.severity != CRITICAL)


def _finding(severity: str, code: str, text: str, stage: str | None = None) -> Finding:
    return Finding(severity=severity, code=code, stage=stage, text=text)


def _servers(look: Look) -> Iterator[Finding]:
    for name, state in look.servers.items():
        if state == "down":
            yield _finding(CRITICAL, f"{name.split()[0]}_down", f"The {name} does not answer.")
        elif state == "blocked":
            yield _finding(
                CRITICAL, "broker_blocks", "The broker blocks publishers (memory or disk alarm): nothing is accepted."
            )


def _queues(look: Look, stage: str) -> Iterator[Finding]:
    queues: Mapping[str, Standing | None] = known(look.queues) or {}
    own = [name for name in queues_of(stage) if name in queues]
    missing = [name for name in own if queues[name] is None]
    alone = [name for name in own if (standing := queues[name]) is not None and not standing.consumers]
    if missing:
        yield _finding(CRITICAL, "queue_missing", f"The broker has no queue {', '.join(missing)}.", stage)
    if alone and len(alone) + len(missing) == len(own):
        yield _finding(CRITICAL, "worker_missing", f"No {stage} worker is connected to the broker.", stage)
    elif alone:
        yield _finding(CRITICAL, "consumer_missing", f"Nobody consumes {', '.join(alone)}.", stage)


def _instances(look: Look, stage: str) -> Iterator[Finding]:
    instances = known(look.instances[stage]) or ()
    for one in instances:
        if one.silent_s > SILENT_S:
            text = f"The {stage} instance {one.instance} has been silent for {one.silent_s:.0f} s."
            yield _finding(WARNING, "instance_silent", text, stage)
    for chore, (name, bound_s) in _CHORES.items():
        late_s = _late_s(look, [one for one in instances if chore in one.report.chores], chore)
        if late_s is not None and late_s > bound_s:
            text = f"The {name} of {stage} has not come to an end for {late_s:.0f} s."
            yield _finding(WARNING, f"{name}_late", text, stage)


def _late_s(look: Look, instances: list[Instance], chore: str) -> float | None:
    """How long ago any of them did it, or else could have begun to."""
    if not instances:
        return None
    last = max(one.report.chores[chore].ended_at or one.started_at for one in instances)
    return (look.at - last).total_seconds()


def _lags(look: Look, bounds: Bounds) -> Iterator[Finding]:
    for stage, part in look.lags.items():
        lag = known(part)
        if lag is not None and lag.age_s > BEHIND_S:
            severity = CRITICAL if lag.age_s > bounds.lag_max_s else WARNING
            rows = "1 row" if lag.rows == 1 else f"{'more than ' if lag.rows_capped else ''}{lag.rows} rows"
            text = f"{stage} is {lag.age_s:.0f} s behind {lag.behind} ({rows})."
            yield _finding(severity, "stage_behind", text, stage)


def _pending(look: Look, bounds: Bounds) -> Iterator[Finding]:
    pending = known(look.pending)
    if pending is not None and pending.oldest_s is not None and pending.oldest_s > PENDING_S:
        severity = CRITICAL if pending.oldest_s > bounds.lag_max_s else WARNING
        text = f"An accepted transfer has been waiting for its end for {pending.oldest_s:.0f} s."
        yield _finding(severity, "transfer_pending_long", text)


def _letters(letters: Mapping[str, int | Unknown]) -> Iterator[Finding]:
    for stage, part in letters.items():
        if count := known(part):
            said = "1 dead letter waits" if count == 1 else f"{count} dead letters wait"
            yield _finding(WARNING, "dead_letters_open", f"{said} for an operator in {stage}.", stage)


def _differences(look: Look) -> Iterator[Finding]:
    found = [one.report.figures.get("ledger_differences", 0.0) for one in known(look.instances["gateway"]) or ()]
    if differences := int(max(found, default=0)):
        accounts = "1 account" if differences == 1 else f"{differences} accounts"
        yield _finding(CRITICAL, "ledger_differs", f"The ledger does not explain {accounts}.", "ledger")


def _unknown(look: Look) -> Iterator[Finding]:
    """What cannot be looked at although its server answers; where it does not, that is said already."""
    parts: dict[str, object] = {"queues": look.queues, "pending transfers": look.pending}
    if look.servers.get("broker") == "down":
        parts.pop("queues")
    if look.servers.get("redis") == "down":
        parts.pop("pending transfers")
    for name, whole in parts.items():
        if isinstance(whole, Unknown):
            yield _finding(WARNING, "not_looked_at", f"The {name} could not be looked at: {whole.why}.")
    for stage in look.instances:
        for kind, of in (("instances", look.instances), ("lag", look.lags), ("dead letters", look.letters)):
            part: object = of.get(stage)
            if isinstance(part, Unknown) and look.servers.get(f"database {schema_of(stage)}") == "up":
                text = f"The {kind} of {stage} could not be looked at: {part.why}."
                yield _finding(WARNING, "not_looked_at", text, stage)


def schema_of(stage: str) -> str:
    """The schema in which a stage's instances report."""
    return "identity" if stage == "gateway" else stage
