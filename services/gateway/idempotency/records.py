"""Idempotency records: claimed before anything is published, ended with the answer that every replay gets.

All calls that are ready at once share one round trip. What this gateway has accepted and not seen end it also holds
in memory, so that a Redis that lost its data is told again before it is trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Gauge

from services.gateway.errors import Overloaded
from services.gateway.idempotency.claims import (
    Claim,
    Claimed,
    Epoch,
    Finish,
    Met,
    Record,
    Replay,
    Taken,
    met_with,
    requests_of,
)
from services.gateway.idempotency.metrics import TAKEOVERS
from services.gateway.idempotency.redis import Argument, Redis, RedisUnavailable
from services.gateway.idempotency.retention import Retention
from shared.contracts.gateway import TransferRequested
from shared.ids import random_id
from shared.messaging.batching import GATHERING_APART_S, Batcher

log = structlog.get_logger(__name__)

HELD = Gauge("remit_held_transfers", "Records this gateway has claimed and not seen end.")

_TOGETHER_MAX = 500
_HELD_MAX = 100_000
_ABANDONED_MAX = 10_000
_RELEASED_DUE_MS = 5_000
_RESTORED_TOGETHER = 100
_EPOCH_TRIES = 5


class Records:
    """The records in Redis, as this gateway works on them."""

    def __init__(self, redis: Redis, instance: str, *, ip_rate_limit: int | None, ip_rate_window_s: int) -> None:
        self._redis = redis
        self.retention = Retention(redis)
        self._instance = instance
        self._limit = ip_rate_limit or 0
        self._window_ms = ip_rate_window_s * 1000
        self._held: dict[str, Record] = {}
        # Calls that ended without saying how, with their tokens: their leases are given back by `release_abandoned`.
        self._abandoned: dict[str, Finish] = {}
        self.epoch = Epoch()
        self._registering = asyncio.Lock()
        self._claims: Batcher[Claim, Met] = Batcher(self._claim, items_max=_TOGETHER_MAX, apart_s_max=GATHERING_APART_S)
        self._finishes: Batcher[Finish, Replay | None] = Batcher(
            self._finish, items_max=_TOGETHER_MAX, apart_s_max=GATHERING_APART_S
        )

    async def claim(self, claim: Claim) -> Met:
        """Looks the record up and, where there is none, claims it.

        Raises:
            Overloaded: this gateway holds as many open transfers as it will.
            RedisUnavailable: nothing was claimed.
            RedisUnknown: it may have been.
        """
        if len(self._held) >= _HELD_MAX:
            raise Overloaded
        met = await self._claims.submit(claim)
        if isinstance(met, Taken) and met.was_held:
            TAKEOVERS.inc()
        return met

    async def end(self, name: str, fingerprint: str, status: int, body: bytes, asked_ms: int) -> Replay:
        """Stores the answer if there is none yet; what is stored is the answer."""
        stored = await self._finishes.submit(
            Finish(verb="end", name=name, fingerprint=fingerprint, status=status, body=body, asked_ms=asked_ms)
        )
        self.let_go(name)
        return stored or Replay(status, body)

    async def release(self, name: str, fingerprint: str, token: str, *, is_published: bool) -> None:
        """The call is over, its transfer is not: from now on the sweeper looks after it."""
        status = int(is_published)
        await self._finishes.submit(
            Finish(verb="release", name=name, fingerprint=fingerprint, token=token, status=status)
        )

    def abandon(self, claim: Claim) -> None:
        """The call is over, and nobody knows whether it was claimed or published; the sweeper will find out."""
        record = claim.record
        if len(self._abandoned) >= _ABANDONED_MAX:
            # Its lease runs out by itself.
            return
        self._abandoned[claim.token] = Finish(
            verb="release", name=record.name, fingerprint=record.fingerprint, token=claim.token, status=0
        )

    async def release_abandoned(self) -> None:
        """Gives the leases of abandoned calls back, so that the same key is not answered "in progress" for long."""
        for token, finish in list(self._abandoned.items()):
            await self._finishes.submit(finish)
            del self._abandoned[token]

    async def sent(self, name: str, fingerprint: str) -> None:
        """It was published again just now."""
        await self._finishes.submit(Finish(verb="sent", name=name, fingerprint=fingerprint))

    async def discard(self, name: str, fingerprint: str) -> None:
        """The key belongs to another payload; this record should never have been."""
        await self._finishes.submit(Finish(verb="discard", name=name, fingerprint=fingerprint))
        self.let_go(name)

    def _hold(self, records: Iterable[Record]) -> None:
        self._held.update((record.name, record) for record in records)
        HELD.set(len(self._held))

    def let_go(self, name: str) -> None:
        """It has ended."""
        self._held.pop(name, None)
        HELD.set(len(self._held))

    def longest_held(self, records_max: int) -> list[Record]:
        """What has been held longest; asked again, the next ones."""
        names = list(islice(self._held, records_max))
        for name in names:
            self._held[name] = self._held.pop(name)
        return [self._held[name] for name in names]

    def held(self, name: str) -> Record | None:
        """The record if this gateway holds it."""
        return self._held.get(name)

    async def find(self, transfer_ids: Sequence[UUID]) -> list[list[TransferRequested]]:
        """The requests in the pending record of each transfer, in order; none where there is no such record.

        Raises:
            RedisUnavailable: Redis lost its records and not all gateways have registered theirs again.
        """
        epoch, payloads = await self._redis.run("find", [str(transfer_id) for transfer_id in transfer_ids])
        found = [requests_of(payload) for payload in payloads]
        if not all(found) and (epoch.decode() != self.epoch.known or not self.epoch.is_settled):
            raise RedisUnavailable("its records are being registered again")
        return found

    async def pending_of(self, user_id: UUID, records_max: int) -> list[TransferRequested]:
        """The requests in a user's pending records, newest records first."""
        payloads = await self._redis.run("pending", [str(user_id), records_max])
        return [request for payload in payloads for request in requests_of(payload)]

    async def waiting(self, records_max: int, bytes_max: int) -> tuple[int, int, list[TransferRequested]]:
        """How many records are pending, how many of them were looked at, and the requests that these hold."""
        count, looked, payloads = await self._redis.run("waiting", [records_max, bytes_max])
        return int(count), int(looked), [request for payload in payloads for request in requests_of(payload)]

    async def take_due(
        self, records_max: int, pause_ms: int, pause_max_ms: int, *, can_publish: bool
    ) -> tuple[int, int, list[Any]]:
        """Redis' time and the newest ended request's (ms), and the due records, which are this gateway's to look at.

        The same record is due again after `pause_ms`, then after twice that, at most after `pause_max_ms`; looks at
        which nothing could be published are not counted.
        """
        arguments: list[Argument] = [self.epoch.known, records_max, pause_ms, pause_max_ms, int(can_publish)]
        epoch, now, newest, records = await self._redis.run("due", arguments)
        if epoch.decode() != self.epoch.known or not epoch:
            await self.register_again()
        return int(now), int(newest), records

    async def drain(self) -> None:
        """Returns when nothing is in flight."""
        await self._claims.drain()
        await self._finishes.drain()

    async def check_epoch(self) -> None:
        """Registers again what this gateway holds if Redis has lost it, and at the start."""
        epoch = await self._redis.run("beat", [self._instance])
        if not epoch or epoch.decode() != self.epoch.known:
            await self.register_again()

    async def register_again(self) -> None:
        """Tells Redis what this gateway holds, then takes its epoch for known."""
        async with self._registering:
            self.epoch.forget()
            held = list(self._held.values())
            for start in range(0, len(held), _RESTORED_TOGETHER):
                await self._restore("", held[start : start + _RESTORED_TOGETHER])
            epoch, now = await self._restore(random_id().hex, ())
            self.epoch.adopt(epoch, now)
        log.info("epoch_adopted", epoch=self.epoch.known, registered=len(held))

    async def _restore(self, epoch: str, records: Iterable[Record]) -> tuple[str, int]:
        arguments: list[Argument] = [epoch, _RELEASED_DUE_MS]
        for record in records:
            arguments += [record.name, record.fingerprint, record.payload, record.users, record.members]
        answer, now = await self._redis.run("restore", arguments)
        return answer.decode(), int(now)

    async def _claim(self, claims: Sequence[Claim]) -> Sequence[Met]:
        for _ in range(_EPOCH_TRIES):
            known = self.epoch.known
            arguments: list[Argument] = [known, self._instance, self._limit, self._window_ms]
            for claim in claims:
                record = claim.record
                arguments += (
                    record.name,
                    record.fingerprint,
                    claim.token,
                    int(claim.lease_s * 1000),
                    record.payload,
                    record.users,
                    record.members,
                    claim.address,
                    int(claim.may_claim),
                )
            epoch, answers = await self._redis.run("claim", arguments)
            if known and epoch.decode() == known:
                found = [met_with(answer) for answer in answers]
                # Before anything else runs: a Redis that loses its data now must be told of them.
                self._hold([claim.record for claim, met in zip(claims, found, strict=True) if isinstance(met, Claimed)])
                return found
            await self.register_again()
        raise RedisUnavailable("its epoch keeps changing")

    async def _finish(self, finishes: Sequence[Finish]) -> Sequence[Replay | None]:
        arguments: list[Argument] = [self.retention.kept_ms, _RELEASED_DUE_MS]
        for item in finishes:
            arguments += (item.verb, item.name, item.fingerprint, item.token, item.status, item.body, item.asked_ms)
        answers = await self._redis.run("finish", arguments)
        return [Replay(int(answer[0]), answer[1]) if answer else None for answer in answers]
