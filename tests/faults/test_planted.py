"""The checker is checked: bugs that somebody could write, each put into a whole Remit; a campaign must not pass.

Slow, a lab a run: `make planted`. Each bug has the faults that bring it to light, and at most `_RUNS` runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from remit.invariants import Status
from remit.prove import campaign
from remit.prove.campaign import Plan
from tests.support import planting
from tests.support.injecting import injected

_RUNS = 5
_CLIENTS = 16
# Half of what a campaign that proves allows, and less: long enough that the runs without a bug find nothing.
_END_WITHIN_S = 15.0
_BOOKS_WITHIN_S = 10.0

# Reconcilers, the second net under a lost message: away, for bugs that lose what they would publish again; or soon,
# so that a short patience is enough where the broker's data are lost.
_NO_RECONCILER = {"REMIT_TRANSFER_RECONCILE_EVERY_S": "3600", "REMIT_FRAUD_RECONCILE_EVERY_S": "3600"}
_SOON = {
    f"REMIT_{service}_RECONCILE_{name}_S": seconds
    for service in ("TRANSFER", "FRAUD")
    for name, seconds in (("EVERY", "2"), ("GRACE", "3"))
}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A bug, the faults it is looked for with, and the nets that are taken away beside it."""

    bug: str
    nemeses: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    damage: Sequence[str] = ()


PLANTED = (
    Planted(bug="ack before commit", nemeses=("workers killed",), settings=_NO_RECONCILER),
    Planted(bug="publish before commit", nemeses=("sessions ended",)),
    Planted(
        bug="existence read before the locks",
        nemeses=("shuffled and doubled",),
        damage=("ALTER TABLE transfer.transactions DROP CONSTRAINT transactions_pkey",),
    ),
    Planted(bug="conflicts pass", nemeses=("shuffled and doubled",)),
    Planted(
        bug="unique constraint dropped",
        nemeses=("shuffled and doubled",),
        damage=(
            "ALTER TABLE ledger.ledger_entries DROP CONSTRAINT entry_once_a_position",
            "ALTER TABLE ledger.ledger_entries DROP CONSTRAINT entry_once_a_side",
        ),
    ),
    Planted(bug="no row lock", nemeses=("second workers",)),
    Planted(bug="unsorted locks", nemeses=("shuffled and doubled",)),
    Planted(
        bug="verdict recomputed",
        nemeses=("shuffled and doubled",),
        damage=("GRANT UPDATE ON fraud.decisions TO remit_fraud",),
    ),
    Planted(bug="no fingerprint", nemeses=("second workers",)),
    Planted(bug="flag without owner", nemeses=("gateways killed",)),
    Planted(bug="released twice", nemeses=("second workers",)),
    Planted(bug="completed released", nemeses=("second workers",)),
    Planted(bug="stale multiple ack", nemeses=("workers killed",), settings=_NO_RECONCILER),
    Planted(bug="reconciler off", nemeses=("broker wiped full",), settings=_SOON),
    Planted(bug="sweeper off", nemeses=("broker wiped full",), settings=_SOON),
    Planted(bug="answer made anew", nemeses=("redis flushed",)),
)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.bug)
async def test_a_planted_bug_is_found(planted: Planted, tmp_path: Path) -> None:
    """Within five runs one campaign says that something did not hold."""
    for seed in range(1, _RUNS + 1):
        outcome = await campaign.run(_plan(planted, seed, tmp_path), print)
        broken = [result for result in outcome.results if result.status is Status.BREACH]
        for result in broken:
            print(f"run {seed}: {result.name}: {result.figure}: {result.detail[:3]}")
        if broken:
            return
    pytest.fail(f"{planted.bug}: not found in {_RUNS} runs")


# The same faults and the same short patience, several in one run, with every net in place but the reconcilers where a
# bug needs them away.
CONTROLS = (
    Planted(
        bug="nothing",
        nemeses=("workers killed", "gateways killed", "sessions ended", "shuffled and doubled", "second workers"),
        settings=_NO_RECONCILER,
    ),
    Planted(bug="nothing", nemeses=("broker wiped full", "redis flushed"), settings=_SOON),
)


def test_every_fault_that_finds_a_bug_is_in_a_run_without_one() -> None:
    found_with = {nemesis for planted in PLANTED for nemesis in planted.nemeses}
    assert found_with <= {nemesis for control in CONTROLS for nemesis in control.nemeses}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.nemeses[0])
async def test_nothing_is_found_where_nothing_is_planted(control: Planted, tmp_path: Path) -> None:
    """What finds the bugs is the bugs, not the faults that bring them to light."""
    outcome = await campaign.run(_plan(control, 1, tmp_path), print)
    assert {met.name for met in outcome.met} == set(control.nemeses)
    assert [(r.name, r.detail[:3]) for r in outcome.results if r.status is Status.BREACH] == []


def _plan(planted: Planted, seed: int, folder: Path) -> Plan:
    bug = injected({planting.SETTING: planted.bug, **planted.settings})
    return Plan(
        seed=seed,
        duration_s=0.0,
        faults_min=len(planted.nemeses),
        one_breach_will_do=True,
        clients=_CLIENTS,
        nemeses=tuple(planted.nemeses),
        logs=folder / f"logs-{seed}",
        planted=bug,
        damage=planted.damage,
        end_within_s=_END_WITHIN_S,
        books_within_s=_BOOKS_WITHIN_S,
    )
