"""PostgreSQL with a synchronous standby, promoted while clients work: no answer is taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from remit.prove.history import Fate
from tests.support.campaigns import Faults, survived
from tests.support.standby import open_pair

_TRANSFERS_MIN = 200


@pytest.mark.timeout(240)
async def test_a_standby_is_promoted_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every transfer that was answered is there, with the same bytes; every one that was accepted ends.

    The standby is behind when the primary is lost: what it had not written was not answered.
    """
    async with open_pair() as pair:

        async def primary_lost(faults: Faults) -> None:
            await faults.works()
            async with faults.fault("primary lost"):
                await pair.fail_over()
                await faults.works()

        outcome = await survived(primary_lost, pair.addresses(), tmp_path, monkeypatch)
    assert outcome.history.by_fate()[Fate.COMPLETED] > _TRANSFERS_MIN
