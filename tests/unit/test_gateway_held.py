"""What a gateway holds in memory of the calls it has accepted, so that a Redis that lost its data is told again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from services.gateway.idempotency.claims import Claim, single_record
from services.gateway.idempotency.records import Records
from services.gateway.sweeper import Sweeper
from tests.support.builders import requested
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from services.gateway.calls.publishing import Requests
    from services.gateway.idempotency.redis import Redis
    from services.gateway.reads.transfers import TransferReads


class ClaimingRedis:
    """Lets every claim pass, once it is let to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def run(self, script: str, arguments: Sequence[Any]) -> list[Any]:
        if script == "restore":
            return [b"1-epoch", 0]
        self.asked.set()
        await self.answers.wait()
        return [b"1-epoch", [[b"claimed"]] * ((len(arguments) - 4) // 9)]


def records_in(redis: ClaimingRedis) -> Records:
    return Records(cast("Redis", redis), "gw", ip_rate_limit=None, ip_rate_window_s=60)


def a_claim() -> Claim:
    return Claim(record=single_record(requested(transfer_id=uuid4())), token=uuid4().hex, lease_s=1)


async def test_what_is_claimed_for_a_client_that_hangs_up_meanwhile_is_held() -> None:
    redis, claim = ClaimingRedis(), a_claim()
    records = records_in(redis)
    await records.register_again()
    call = asyncio.create_task(records.claim(claim))
    await redis.asked.wait()
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    redis.answers.set()
    await records.drain()
    assert records.held(claim.record.name) == claim.record


class AllEnded:
    """Every transfer has a row."""

    async def rows(self, transfer_ids: Sequence[UUID]) -> dict[UUID, Any]:
        return dict.fromkeys(transfer_ids)


async def test_however_many_have_ended_elsewhere_they_are_let_go_of_in_one_round() -> None:
    """A round comes every half minute: what it leaves adds up, and in the end every call would be refused."""
    redis = ClaimingRedis()
    redis.answers.set()
    records = records_in(redis)
    await asyncio.gather(*(records.claim(a_claim()) for _ in range(1_000)))
    sweeper = Sweeper(records, cast("Requests", None), cast("TransferReads", AllEnded()))

    async def none_is_held() -> bool:
        return not records.longest_held(1)

    assert not await none_is_held()
    forgetting = asyncio.create_task(sweeper.forget())
    try:
        await eventually(none_is_held, timeout_s=10)
    finally:
        forgetting.cancel()
