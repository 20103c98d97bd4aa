"""One transfer: claim its record, publish it, wait for the committed outcome, answer with what every replay gets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from services.gateway.calls.outcomes import Expected, Outcomes
from services.gateway.calls.publishing import Requests
from services.gateway.calls.refusals import Refusals
from services.gateway.domain import bodies, ids, views
from services.gateway.domain.parsing import Order
from services.gateway.domain.views import TransferView
from services.gateway.errors import KeyReused, OutcomeUnknown, RequestInProgress, ServiceUnavailable
from services.gateway.idempotency.claims import (
    Absent,
    Claim,
    Claimed,
    InProgress,
    Limited,
    Met,
    Record,
    Replay,
    Reuse,
    Taken,
    requests_of,
    single_record,
)
from services.gateway.idempotency.records import Records
from services.gateway.idempotency.redis import RedisUnknown
from services.gateway.identity.callers import Caller
from services.gateway.reads.transfers import TransferReads
from shared.contracts.gateway import BatchPlace, Instruction, TransferRequested
from shared.contracts.transfer import TransferRefused, TransferSettled
from shared.database import is_transient
from shared.errors import TransientError
from shared.ids import random_id
from shared.observability import traces

# A lease outlives the longest wait by this much: what the publish and the last reads may take.
LEASE_MARGIN_S = 10.0
_LOOK_EVERY_S = 0.25

Found = TypeVar("Found")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a call for one transfer is answered."""

    transfer_id: UUID
    status: int
    body: bytes
    is_replay: bool = False
    # It went on with what an earlier call began.
    is_resumed: bool = False


def instruction_of(
    order: Order,
    caller: Caller,
    transfer_id: UUID,
    *,
    key: str | None,
    owner_id: UUID | None = None,
    batch: BatchPlace | None = None,
) -> Instruction:
    """An order as an instruction of this caller, asked for now."""
    return Instruction(
        transfer_id=transfer_id,
        fingerprint=ids.fingerprint(order),
        kind=order.kind,
        caller_id=caller.user_id,
        owner_id=owner_id or caller.user_id,
        from_account_id=order.from_account_id,
        to_account_id=order.to_account_id,
        amount_minor=order.amount_minor,
        currency=order.currency,
        requested_at=datetime.now(UTC),
        context=caller.context,
        description=order.description,
        metadata=None if order.metadata is None else msgspec.Raw(order.metadata),
        idempotency_key=key,
        batch=batch,
    )


class Transfers:
    """Carries single transfers: a client's own, and an operator's deposits and withdrawals."""

    def __init__(
        self,
        instance: str,
        records: Records,
        requests: Requests,
        outcomes: Outcomes,
        reads: TransferReads,
        refusals: Refusals,
    ) -> None:
        self._instance = instance
        self._records = records
        self._requests = requests
        self._outcomes = outcomes
        self._reads = reads
        self._refusals = refusals

    async def carry(self, instruction: Instruction, *, wait_s: float, address: str) -> Answer:
        """The answer to a call; `address` is empty where no address limit counts it.

        Raises:
            Problem: refused before the publish, or the outcome is unknown.
        """
        request = TransferRequested(instruction=instruction, reply_to=self._instance)
        token = random_id().hex
        claim = Claim(
            record=single_record(request),
            token=token,
            lease_s=wait_s + LEASE_MARGIN_S,
            address=address,
            may_claim=self._requests.is_up,
        )
        met = await claimed(self._records, claim)
        if isinstance(met, Limited | Absent):
            met = await self._ended_before(claim.record, instruction) or met
        if isinstance(met, Replay):
            return Answer(transfer_id=instruction.transfer_id, status=met.status, body=met.body, is_replay=True)
        await self._refusals.check(met, address, instruction.context)
        check_met(met, instruction)
        with answering(self._records, claim):
            return await self._go_on(claim.record, token, request, met, wait_s)

    async def _ended_before(self, record: Record, asked: Instruction) -> Replay | None:
        """The answer to a call of which Redis knows nothing any more, if the row tells that it has ended."""
        view = await unless_away(self._reads.row(asked.transfer_id))
        if view is None or view.fingerprint != asked.fingerprint:
            return None
        return await end_record(self._records, record.name, view)

    async def _go_on(self, record: Record, token: str, request: TransferRequested, met: Met, wait_s: float) -> Answer:
        asked = request.instruction
        first = asked
        is_published = isinstance(met, Taken) and met.is_published
        if isinstance(met, Taken):
            first = requests_of(met.payload)[0].instruction
            view = await self._reads.row(asked.transfer_id)
            if view is not None:
                return await self._ended(record, asked, view)
        if wait_s <= 0 and not is_published:
            # Who does not want to wait is told so, however fast it goes; but never of what has ended before.
            view = await self._reads.row(asked.transfer_id)
            if view is not None:
                return await self._ended(record, asked, view)
            await self._publish(record, token, TransferRequested(instruction=first, reply_to=self._instance))
            await self._let_sweep(record, token, is_published=True)
            return _pending(asked, first)
        with self._outcomes.expect({asked.transfer_id: asked.fingerprint}) as expected:
            if not is_published:
                await self._publish(record, token, TransferRequested(instruction=first, reply_to=self._instance))
            if is_published:
                await seen(expected, self._reads, wait_s)
            else:
                await expected.wait(wait_s)
            return await self._after(record, token, asked, first, expected)

    async def _publish(self, record: Record, token: str, request: TransferRequested) -> None:
        try:
            await self._requests.transfer(request)
        except OutcomeUnknown:
            await self._let_sweep(record, token, is_published=False)
            raise

    async def _after(
        self, record: Record, token: str, asked: Instruction, first: Instruction, expected: Expected
    ) -> Answer:
        transfer_id = asked.transfer_id
        if transfer_id not in expected.arrived:
            # Nobody told; before the client hears "pending", the primary is asked.
            view = await self._reads.row(transfer_id)
            if view is not None:
                return await self._ended(record, asked, view)
            await self._let_sweep(record, token, is_published=True)
        outcome = expected.arrived.get(transfer_id)
        if isinstance(outcome, TransferRefused):
            await self.discard(record)
            raise KeyReused(outcome.differing_fields)
        if isinstance(outcome, TransferSettled):
            return await self._ended(record, asked, views.settled(outcome))
        return _pending(asked, first)

    async def _ended(self, record: Record, asked: Instruction, view: TransferView) -> Answer:
        if view.fingerprint != asked.fingerprint:
            await self.discard(record)
            raise KeyReused(ids.differing_fields(view, order_of(asked)))
        with traces.part("answer", asked.context, asked.transfer_id):
            stored = await end_record(self._records, record.name, view)
        # A row that tells of another request is the answer to an earlier call; clients may repeat their request's id.
        is_replay = (view.request_id, view.requested_at) != (asked.context.request_id, asked.requested_at)
        return Answer(transfer_id=view.transfer_id, status=stored.status, body=stored.body, is_replay=is_replay)

    async def discard(self, record: Record) -> None:
        """The key belongs to another payload; if Redis cannot be told now, the sweeper will find out."""
        try:
            await self._records.discard(record.name, record.fingerprint)
        except TransientError:
            return

    async def _let_sweep(self, record: Record, token: str, *, is_published: bool) -> None:
        try:
            await self._records.release(record.name, record.fingerprint, token, is_published=is_published)
        except TransientError:
            # The lease runs out by itself.
            return


def _pending(asked: Instruction, first: Instruction) -> Answer:
    """The answer while nobody knows the end of what was first asked under this key."""
    body = bodies.outcome(views.pending(first))
    return Answer(transfer_id=asked.transfer_id, status=202, body=body, is_resumed=first is not asked)


async def seen(expected: Expected, reads: TransferReads, wait_s: float) -> None:
    """Waits for the ends of what another call published. They are told to that call's gateway; here the rows tell."""
    until = asyncio.get_running_loop().time() + wait_s
    while (left_s := until - asyncio.get_running_loop().time()) > 0 and not expected.is_complete:
        await expected.wait(min(_LOOK_EVERY_S, left_s))
        if len(await reads.rows(list(expected.wanted))) == len(expected.wanted):
            return


async def unless_away(read: Awaitable[Found]) -> Found | None:
    """What is read, for a call that is refused where nothing is found; None where the database cannot tell either."""
    try:
        return await read
    except Exception as error:
        if not is_transient(error):
            raise
        return None


async def claimed(records: Records, claim: Claim) -> Met:
    """What the record of this call was met with.

    Raises:
        OutcomeUnknown: Redis was asked and did not answer.
    """
    try:
        return await records.claim(claim)
    except RedisUnknown as error:
        records.abandon(claim)
        raise OutcomeUnknown from error


@contextmanager
def answering(records: Records, claim: Claim) -> Iterator[None]:
    """From the claim on: whatever breaks here, the record stays, and its lease does not outlive the call.

    Raises:
        OutcomeUnknown: in place of every error that would tell the client that nothing was begun.
    """
    try:
        yield
    except KeyReused:
        raise
    except BaseException as error:
        records.abandon(claim)
        if is_transient(error):
            raise OutcomeUnknown from error
        raise


async def end_record(records: Records, name: str, view: TransferView) -> Replay:
    """Stores the answer of a transfer that has ended. If Redis is away the answer is the same: the row makes it."""
    status, body = bodies.status_of(view), bodies.outcome(view)
    try:
        return await records.end(name, view.fingerprint, status, body, millis(view.requested_at))
    except TransientError:
        records.let_go(name)
        return Replay(status, body)


def check_met(met: Met, asked: Instruction) -> None:
    """Lets through what may go on: a record of our own, or one that nobody holds.

    Raises:
        Problem: the key is in use, covers another payload, or nothing can be begun now.
    """
    if isinstance(met, Claimed | Taken):
        return
    if isinstance(met, InProgress):
        raise in_progress(met)
    if isinstance(met, Reuse):
        first = requests_of(met.payload)
        raise KeyReused(ids.differing_fields(order_of(first[0].instruction), order_of(asked)) if first else ())
    if isinstance(met, Absent):
        raise ServiceUnavailable("The message broker does not answer. Nothing was begun.")
    raise AssertionError(f"unexpected: {met!r}")


def in_progress(met: InProgress) -> RequestInProgress:
    """The refusal of a second call while the first is open."""
    wait_s = max(1, math.ceil(min(met.lease_left_ms / 1000, 5)))
    return RequestInProgress(headers={"Retry-After": str(wait_s)})


def order_of(instruction: Instruction) -> Order:
    """What an instruction asks for."""
    return Order(
        kind=instruction.kind,
        from_account_id=instruction.from_account_id,
        to_account_id=instruction.to_account_id,
        amount_minor=instruction.amount_minor,
        currency=instruction.currency,
        description=instruction.description,
        metadata=views.metadata_of(instruction.metadata),
    )


def millis(moment: datetime) -> int:
    """Milliseconds since 1970, without a float."""
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
