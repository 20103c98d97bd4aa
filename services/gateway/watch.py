"""The pipeline as metrics: what no worker that is stuck or gone can count itself."""

from __future__ import annotations

import math

from prometheus_client import Gauge

from services.gateway.background import repeatedly
from services.gateway.domain.pipeline import Look, known
from services.gateway.reads.pipeline import PipelineReads

STAGE_LAG = Gauge(
    "remit_stage_lag_seconds", "How long the oldest row waits that a stage has not taken over.", ["stage"]
)
STAGE_BEHIND = Gauge("remit_stage_lag_rows", "How many rows there are from that one on, counted to a bound.", ["stage"])
QUEUE_MESSAGES = Gauge("remit_queue_messages", "Messages that wait and were given to nobody yet.", ["queue"])
QUEUE_CONSUMERS = Gauge("remit_queue_consumers", "Consumers that the broker knows.", ["queue"])
PENDING = Gauge("remit_pending_records", "Records of what was accepted and has not ended.")
PENDING_AGE = Gauge("remit_pending_oldest_seconds", "The age of the oldest of them, as far as some were looked at.")
SERVER_UP = Gauge("remit_server_up", "Whether a server answers this gateway.", ["server"])

_EVERY_S = 5.0


class PipelineWatch:
    """Looks every few seconds."""

    def __init__(self, reads: PipelineReads) -> None:
        self._reads = reads

    async def run(self) -> None:
        """Until cancelled."""
        await repeatedly("pipeline", self._show, every_s=_EVERY_S)

    async def _show(self) -> None:
        show(await self._reads.look())


def show(look: Look) -> None:
    """Sets the gauges; what is unknown is NaN, which a maximum over all gateways passes over."""
    for stage, part in look.lags.items():
        lag = known(part)
        STAGE_LAG.labels(stage).set(math.nan if lag is None else lag.age_s)
        STAGE_BEHIND.labels(stage).set(math.nan if lag is None else lag.rows)
    for queue, standing in (known(look.queues) or {}).items():
        QUEUE_MESSAGES.labels(queue).set(math.nan if standing is None else standing.depth)
        QUEUE_CONSUMERS.labels(queue).set(0 if standing is None else standing.consumers)
    pending = known(look.pending)
    PENDING.set(math.nan if pending is None else pending.count)
    PENDING_AGE.set(math.nan if pending is None else pending.oldest_s or 0.0)
    for server, state in look.servers.items():
        SERVER_UP.labels(server).set(state != "down")
