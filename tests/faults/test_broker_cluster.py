"""Three brokers as one: any of them may die, freeze, or be cut off while clients work; nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from remit.prove.history import Fate
from tests.support.campaigns import Faults, survived
from tests.support.nodes import open_nodes

_TRANSFERS_MIN = 1_000


@pytest.mark.timeout(300)
async def test_a_cluster_loses_a_node_is_partitioned_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fault hits the node that leads the queues. The other two go on by themselves; it finds back to them.

    Of a frozen node only the second is asked: its clients wait for three heartbeats, longer than it is frozen here.
    """
    async with open_nodes() as cluster:

        async def cluster_faults(faults: Faults) -> None:
            await cluster.whole()
            leader = await cluster.leader()
            async with faults.fault("node killed"):
                await cluster.kill(leader)
                await cluster.missed(leader)
                await faults.works()
                await cluster.start(leader)
                await cluster.whole()
            leader = await cluster.leader()
            async with faults.fault("node cut off"):
                cluster.cut_off(leader)
                await cluster.missed(leader)
                await cluster.paused(leader)
                await faults.works()
                await cluster.join(leader)
                await cluster.whole()
            leader = await cluster.leader()
            async with faults.fault("node frozen"):
                cluster.freeze(leader)
                await cluster.missed(leader)
                cluster.thaw(leader)
                await cluster.whole()

        outcome = await survived(cluster_faults, cluster.addresses(), tmp_path, monkeypatch)
    assert outcome.history.by_fate()[Fate.COMPLETED] > _TRANSFERS_MIN
