"""The crash sweep: every service dies at every seam, before, during and after; nothing is lost, nothing is doubled.

The seams stand in `tests.support.seams`, which a test compares with the code. The reconcilers only run when a service
connects, so that what heals is the redelivery and not their minute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from tests.faults.conftest import SETTINGS
from tests.support import crashing
from tests.support.accepted import book_is_clean, until
from tests.support.bank import Bank
from tests.support.crashing import Trap
from tests.support.injecting import injected
from tests.support.insisting import Traffic, pool
from tests.support.seams import Crash, crashes
from tests.support.stirs import STIRS, Scene

# Where set to "all" every case is run; else this many, drawn by the number it is set to.
SWEEP = "REMIT_TEST_CRASHES"
_SAMPLED = 24
_DEATH_WITHIN_S = 40.0
# These take ten seconds and more; the whole sweep has them.
_LONG = {"account held", "broker emptied"}

_UNHURRIED = {
    **SETTINGS,
    "REMIT_FRAUD_MAX_DAILY_AMOUNT": "off",
    # The whole sweep takes longer than any suite.
    "REMIT_GATEWAY_JWT_TTL_S": "86400",
    "REMIT_TRANSFER_RECONCILE_EVERY_S": "3600",
    "REMIT_TRANSFER_RECONCILE_GRACE_S": "0",
    "REMIT_FRAUD_RECONCILE_EVERY_S": "3600",
    "REMIT_FRAUD_RECONCILE_GRACE_S": "0",
    "REMIT_AUDIT_CHECKPOINT_EVERY_S": "1",
}


def _chosen() -> list[Crash]:
    every, asked = list(crashes()), os.environ.get(SWEEP, "1")
    if asked == "all":
        return every
    draw = Random(asked)  # noqa: S311 - a sample that repeats, no secret
    quick = [crash for crash in every if crash.stir not in _LONG]
    return sorted(draw.sample(quick, _SAMPLED), key=every.index)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where services are armed."""
    return tmp_path_factory.mktemp("traps")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    """One stack for the whole sweep; every service of it can be armed."""
    with temporary_stack(durable=True, settings=_UNHURRIED) as stack:
        stack.start_servers()
        stack.migrate()
        stack.start_services(overrides=injected({crashing.SETTING: str(folder)}))
        yield stack


@pytest.fixture(scope="module")
def scene(stack: Stack, bank: Bank, folder: Path) -> Iterator[Scene]:
    overrides = injected({crashing.SETTING: str(folder)})
    with pool() as threads:
        yield Scene(
            stack=stack,
            bank=bank,
            traffic=Traffic(bank),
            pool=threads,
            start=lambda service: stack.start_service(service, overrides=overrides),
        )


@pytest.mark.parametrize("crash", _chosen(), ids=str)
def test_a_crash_at_a_seam_loses_and_doubles_nothing(scene: Scene, folder: Path, crash: Crash) -> None:
    """Every call ends, its replay has the same bytes, the balance is right to the cent, and the book is clean."""
    trap = Trap(folder, crash.service)
    stir = STIRS[crash.stir](scene, crash.service, lambda: trap.arm(crash.point))
    next(stir)
    try:
        until(lambda: trap.marker.exists() and scene.stack.pid(crash.service) is None, within_s=_DEATH_WITHIN_S)
    finally:
        trap.disarm()
        scene.start(crash.service)
    next(stir, None)
    assert scene.traffic.balance_is_right()
    book_is_clean(scene.stack)
