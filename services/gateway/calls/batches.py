"""A batch call: one record, one envelope, one answer that is rebuilt from the rows whenever it is asked for again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from services.gateway.calls.outcomes import Expected, Outcomes
from services.gateway.calls.publishing import Requests
from services.gateway.calls.refusals import Refusals
from services.gateway.calls.transfers import (
    LEASE_MARGIN_S,
    answering,
    claimed,
    in_progress,
    millis,
    order_of,
    seen,
    unless_away,
)
from services.gateway.domain import bodies, ids, views
from services.gateway.domain.bodies import TransferItemBody
from services.gateway.domain.views import TransferView
from services.gateway.errors import (
    AccountNotFound,
    KeyReused,
    OutcomeUnknown,
    Problem,
    ServiceUnavailable,
)
from services.gateway.idempotency.claims import (
    Absent,
    Claim,
    InProgress,
    Limited,
    Met,
    Record,
    Replay,
    Reuse,
    Taken,
    Told,
    batch_record,
    requests_of,
)
from services.gateway.idempotency.records import Records
from services.gateway.identity.callers import Caller
from services.gateway.reads.transfers import TransferReads
from shared.contracts.gateway import Instruction, TransferRequested
from shared.contracts.transfer import TransferRefused, TransferSettled
from shared.errors import TransientError
from shared.ids import random_id
from shared.observability import traces


class BatchCall(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it was asked for.

    `unpublished` are the indexes whose source account does not exist, `keyed` those with a key of their own.
    """

    batch_id: UUID
    fingerprint: str
    instructions: Sequence[Instruction]
    unpublished: frozenset[int] = frozenset()
    keyed: frozenset[int] = frozenset()

    @property
    def published(self) -> list[Instruction]:
        return [item for index, item in enumerate(self.instructions) if index not in self.unpublished]


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The items of a batch call, in order."""

    items: Sequence[TransferItemBody]
    is_replay: bool = False
    # It went on with what an earlier call began.
    is_resumed: bool = False


class Batches:
    """Carries batch calls."""

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

    async def carry(self, call: BatchCall, caller: Caller, *, wait_s: float, address: str = "") -> BatchAnswer:
        """How each item ended, or that it is still on its way.

        Raises:
            Problem: the whole call was refused before the publish, or its outcome is unknown.
        """
        requests = [TransferRequested(instruction=item, reply_to=self._instance) for item in call.published]
        claim = Claim(
            record=batch_record(call.batch_id, call.fingerprint, requests),
            token=random_id().hex,
            lease_s=wait_s + LEASE_MARGIN_S,
            address=address,
            may_claim=self._requests.is_up,
        )
        met = await claimed(self._records, claim)
        if isinstance(met, Replay):
            return await self._rebuilt(call, Told.read(met.body))
        if isinstance(met, Limited | Absent) and (ended := await self._ended_before(call)) is not None:
            return ended
        await self._refusals.check(met, address, caller.context)
        _check(met, call)
        if isinstance(met, Taken):
            requests = requests_of(met.payload)
        with answering(self._records, claim):
            return await self._go_on(call, claim, requests, met, wait_s)

    async def _go_on(
        self, call: BatchCall, claim: Claim, requests: Sequence[TransferRequested], met: Met, wait_s: float
    ) -> BatchAnswer:
        wanted = {request.instruction.transfer_id: request.instruction.fingerprint for request in requests}
        with self._outcomes.expect(wanted) as expected:
            if not (isinstance(met, Taken) and met.is_published):
                await self._publish(claim, requests)
                await expected.wait(wait_s)
            elif len(await self._rows(expected)) < len(wanted):
                await seen(expected, self._reads, wait_s)
            found = await self._found(expected)
        if _is_of_another(call, found):
            await self._discard(claim.record)
            raise KeyReused(["transfers"])
        first = {request.instruction.transfer_id: request.instruction for request in requests}
        earlier = _told_before(call, found)
        request_id = earlier or (requests[0].instruction.context.request_id if requests else call_request_id(call))
        with traces.part("answer", call.instructions[0].context):
            items = self._items(call, first, found, request_id)
            told = Told(request_id, {i: end.differing_fields for i, end in _refused(call, found)})
            await self._conclude(call, claim.record, claim.token, items, told)
        return BatchAnswer(items=items, is_replay=earlier is not None, is_resumed=isinstance(met, Taken))

    async def _publish(self, claim: Claim, requests: Sequence[TransferRequested]) -> None:
        addressed = [msgspec.structs.replace(request, reply_to=self._instance) for request in requests]
        try:
            await self._requests.whole(addressed)
        except OutcomeUnknown:
            await self._let_sweep(claim.record, claim.token, is_published=False)
            raise

    async def _ended_before(self, call: BatchCall) -> BatchAnswer | None:
        """The answer of a batch of which Redis knows nothing any more, if the rows tell that it has ended."""
        rows = await unless_away(self._reads.rows([item.transfer_id for item in call.published]))
        request_id = _told_before(call, rows or {})
        if rows is None or request_id is None or _is_of_another(call, rows):
            return None
        return BatchAnswer(items=self._items(call, {}, rows, request_id), is_replay=True)

    async def _found(self, expected: Expected) -> dict[UUID, TransferView | TransferRefused]:
        """The ends that were told; and of the rest, the primary is asked before anything is called pending."""
        told: dict[UUID, TransferView | TransferRefused] = {}
        if not expected.is_complete:
            told.update(await self._rows(expected))
        for transfer_id, outcome in expected.arrived.items():
            if isinstance(outcome, TransferSettled):
                told[transfer_id] = views.settled(outcome)
            elif isinstance(outcome, TransferRefused):
                told[transfer_id] = outcome
        return told

    async def _rows(self, expected: Expected) -> dict[UUID, TransferView]:
        return await self._reads.rows([i for i in expected.wanted if i not in expected.arrived])

    def _items(
        self,
        call: BatchCall,
        first: Mapping[UUID, Instruction],
        found: Mapping[UUID, TransferView | TransferRefused],
        request_id: str,
    ) -> list[TransferItemBody]:
        items = []
        for index, asked in enumerate(call.instructions):
            if index in call.unpublished:
                items.append(_problem_item(index, AccountNotFound("No such source account."), request_id))
                continue
            end = found.get(asked.transfer_id)
            if isinstance(end, TransferRefused):
                items.append(_problem_item(index, KeyReused(end.differing_fields), request_id))
            elif end is not None:
                items.append(_ended_item(index, asked, end, request_id))
            else:
                pending = views.pending(first.get(asked.transfer_id, asked))
                items.append(bodies.transfer_item(index, pending))
        return items

    async def _rebuilt(self, call: BatchCall, told: Told) -> BatchAnswer:
        """The answer of a batch that has ended, from its rows and from what its record tells of those without one."""
        rows = await self._reads.rows([item.transfer_id for item in call.instructions])
        items = []
        for index, asked in enumerate(call.instructions):
            view = rows.get(asked.transfer_id)
            if index in told.refused:
                items.append(_problem_item(index, KeyReused(told.refused[index]), told.request_id))
            elif view is None:
                items.append(_problem_item(index, AccountNotFound("No such source account."), told.request_id))
            else:
                items.append(_ended_item(index, asked, view, told.request_id))
        return BatchAnswer(items=items, is_replay=True)

    async def _conclude(
        self, call: BatchCall, record: Record, token: str, items: Sequence[TransferItemBody], told: Told
    ) -> None:
        """Ends the record if every item has ended; its body is what a rebuilt answer cannot know from the rows."""
        if any(item.status_code == 202 for item in items):
            await self._let_sweep(record, token, is_published=True)
            return
        asked_ms = max((millis(item.requested_at) for item in call.instructions), default=0)
        try:
            await self._records.end(record.name, record.fingerprint, 200, told.written, asked_ms)
        except TransientError:
            self._records.let_go(record.name)

    async def _discard(self, record: Record) -> None:
        try:
            await self._records.discard(record.name, record.fingerprint)
        except TransientError:
            # The sweeper finds out.
            return

    async def _let_sweep(self, record: Record, token: str, *, is_published: bool) -> None:
        try:
            await self._records.release(record.name, record.fingerprint, token, is_published=is_published)
        except TransientError:
            # The lease runs out by itself.
            return


def _refused(
    call: BatchCall, found: Mapping[UUID, TransferView | TransferRefused]
) -> Iterator[tuple[int, TransferRefused]]:
    """The items, by their indexes, whose key belongs to another transfer that has no row yet, or to another batch."""
    for index, asked in enumerate(call.instructions):
        end = found.get(asked.transfer_id)
        if index not in call.unpublished and isinstance(end, TransferRefused):
            yield index, end


def _check(met: Met, call: BatchCall) -> None:
    if isinstance(met, InProgress):
        raise in_progress(met)
    if isinstance(met, Reuse):
        raise KeyReused(_differing(requests_of(met.payload), call.instructions))
    if isinstance(met, Absent):
        raise ServiceUnavailable("The message broker does not answer. Nothing was begun.")


def _is_of_another(call: BatchCall, found: Mapping[UUID, TransferView | TransferRefused]) -> bool:
    """Whether an item that has no key but the call's was first used in a batch that said something else."""
    for index, asked in enumerate(call.instructions):
        end = found.get(asked.transfer_id)
        if index in call.keyed or end is None:
            continue
        if isinstance(end, TransferRefused) or end.batch_fingerprint != call.fingerprint:
            return True
    return False


def _told_before(call: BatchCall, found: Mapping[UUID, TransferView | TransferRefused]) -> str | None:
    """The request in which all of this was told before, whatever Redis remembers of it; None if this one is the first.

    The rows tell: they keep the request that was accepted, and clients may repeat their request's id.
    """
    views_found = [found.get(asked.transfer_id) for asked in call.published]
    before = [
        view.request_id
        for asked, view in zip(call.published, views_found, strict=True)
        if isinstance(view, TransferView)
        and (view.request_id, view.requested_at) != (asked.context.request_id, asked.requested_at)
    ]
    return before[0] if before and len(before) == len(views_found) else None


def _differing(first: Sequence[TransferRequested], asked: Sequence[Instruction]) -> list[str]:
    """Which items and fields differ, as far as the first payload is still known; at most a few are named."""
    if not first:
        return ["transfers"]
    known = {request.instruction.transfer_id: request.instruction for request in first}
    named: list[str] = []
    for index, item in enumerate(asked):
        before = known.get(item.transfer_id)
        fields = ids.differing_fields(order_of(before), order_of(item)) if before else ()
        named += [f"transfers[{index}].{field}" for field in fields] if before else [f"transfers[{index}]"]
    if len(known) > len(asked):
        named.append("transfers")
    return named[:20] or ["transfers"]


def _ended_item(index: int, asked: Instruction, view: TransferView, request_id: str) -> TransferItemBody:
    if view.fingerprint != asked.fingerprint:
        return _problem_item(index, KeyReused(ids.differing_fields(view, order_of(asked))), request_id)
    return bodies.transfer_item(index, view)


def _problem_item(index: int, problem: Problem, request_id: str) -> TransferItemBody:
    return TransferItemBody(index=index, status_code=problem.status, problem=bodies.problem(problem, request_id))


def call_request_id(call: BatchCall) -> str:
    """The id of the request that makes this call."""
    return call.instructions[0].context.request_id
