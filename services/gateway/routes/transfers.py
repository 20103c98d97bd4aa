"""A customer's transfers: one, many in a batch, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls.batches import BatchAnswer, BatchCall, Batches
from services.gateway.calls.transfers import Answer, Transfers, instruction_of
from services.gateway.domain import bodies, ids, parsing, requests, views
from services.gateway.domain.bodies import TransferBody, TransferItems
from services.gateway.domain.parsing import Order
from services.gateway.errors import TransferNotFound
from services.gateway.http import paging
from services.gateway.http.addresses import counted_as
from services.gateway.http.openapi import DATES, PAGING, Call, Query
from services.gateway.http.reading import BATCH_BYTES_MAX, Reader, path_id, required_key, wait_s
from services.gateway.http.responses import answer, encoded
from services.gateway.idempotency.metrics import as_answered, count_reused, counted
from services.gateway.identity.activity import BLOCKED, SUCCESS, Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.lookup import TransferLookup
from services.gateway.reads.timeline import Stage, Timelines
from services.gateway.reads.transfers import Filter
from shared.contracts.gateway import BatchPlace

_STATUSES = (views.PENDING, views.COMPLETED, views.FAILED, views.BLOCKED)


class TimelineBody(msgspec.Struct, frozen=True, kw_only=True):
    """The stages of a transfer, in the order in which it passes them."""

    items: Sequence[Stage]


class TransferRoutes:
    """The calls under `/transfers`."""

    def __init__(
        self,
        reader: Reader,
        callers: Callers,
        transfers: Transfers,
        batches: Batches,
        lookup: TransferLookup,
        timelines: Timelines,
        activities: Activities,
    ) -> None:
        self._reader = reader
        self._callers = callers
        self._transfers = transfers
        self._batches = batches
        self._lookup = lookup
        self._timelines = timelines
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        at, one, tag = "/api/v1/transfers", "/api/v1/transfers/{transfer_id}", "transfers"
        choices: Query = {
            "account_id": {"type": "string", "format": "uuid"},
            "status": {"type": "string", "enum": list(_STATUSES)},
            "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        }
        return [
            Call(method="POST", path=at, endpoint=self.create, summary="Send money", tag=tag, waits=True,
                 key="required", body=requests.Transfer, answers=TransferBody, status=201,
                 also=(202, 403, 404, 409, 429)),
            Call(method="POST", path=f"{at}/batch", endpoint=self.create_batch, summary="Send money in a batch",
                 tag=tag, key="required", waits=True, also=(409, 429), body=requests.TransferBatch,
                 answers=TransferItems),
            Call(method="GET", path=at, endpoint=self.list, summary="My transfers", tag=tag, listed=TransferBody,
                 query={**choices, **DATES, **PAGING}),
            Call(method="GET", path=one, endpoint=self.read, summary="One transfer", tag=tag, answers=TransferBody,
                 also=(404,)),
            Call(method="GET", path=f"{one}/timeline", endpoint=self.timeline, summary="A transfer's way", tag=tag,
                 answers=TimelineBody),
        ]  # fmt: skip

    async def create(self, request: Request) -> Response:
        """Money from an account of the caller to any account."""
        caller = await self._callers.of(request)
        key = required_key(request)
        body = await self._reader.body(request, requests.Transfer)
        (order,) = parsing.checked(lambda: parsing.transfer_order(body))
        transfer_id = ids.transfer_id(caller.user_id, ids.TRANSFERS, key)
        instruction = instruction_of(order, caller, transfer_id, key=key)
        carrying = self._transfers.carry(instruction, wait_s=wait_s(request), address=counted_as(caller.context.ip))
        return transfer_answer(await counted(ids.TRANSFERS, carrying, as_answered))

    async def create_batch(self, request: Request) -> Response:
        """Transfers in order, each on its own."""
        caller = await self._callers.of(request)
        key = required_key(request)
        body = await self._reader.body(request, requests.TransferBatch, bytes_max=BATCH_BYTES_MAX)
        orders = parsing.each("transfers", body.transfers, parsing.transfer_order)
        call = own_batch(caller, key, orders)
        carrying = self._batches.carry(call, caller, wait_s=wait_s(request), address=counted_as(caller.context.ip))
        return batch_answer(await counted(ids.TRANSFERS_BATCH, carrying, as_answered))

    async def list(self, request: Request) -> Response:
        """The caller's transfers, those under way first of all, and what others have sent him."""
        caller = await self._callers.of(request)
        limit, place = paging.limit(request), paging.place(request)
        start, end = paging.time_range(request)
        chosen = Filter(
            account_id=paging.uuid_filter(request, "account_id"),
            status=paging.choice_filter(request, "status", _STATUSES),
            start=start,
            end=end,
            before=None if place is None else (place.created_at, place.id),
            idempotency_key=paging.key_filter(request),
        )
        found = await self._lookup.page(caller, chosen, limit + 1)
        if caller.is_admin and chosen.account_id is not None:
            act = activity("ADMIN", "account", chosen.account_id, caller.context, details={"act": "list_transfers"})
            await self._activities.tell(act)
        last = found[limit - 1] if len(found) > limit else None
        cursor = paging.cursor_text(paging.Place(last.requested_at, last.transfer_id)) if last else None
        items = [bodies.transfer(view) for view in found[:limit]]
        return answer(paging.Page(items=items, next_cursor=cursor))

    async def read(self, request: Request) -> Response:
        """One transfer, whatever its state."""
        caller = await self._callers.of(request)
        return answer(bodies.transfer(await self._seen(request, caller)))

    async def timeline(self, request: Request) -> Response:
        """Where the transfer was, and when. Operators also see what its entries did to the accounts."""
        caller = await self._callers.of(request)
        view = await self._seen(request, caller)
        return answer(TimelineBody(items=await self._timelines.of(view, with_books=caller.is_admin)))

    async def _seen(self, request: Request, caller: Caller) -> views.TransferView:
        transfer_id = path_id(request, "transfer_id", TransferNotFound)
        view = await self._lookup.one(caller, transfer_id)
        if view is None:
            await self._tell(caller, transfer_id, status=BLOCKED, error="transfer_not_found")
            raise TransferNotFound
        await self._tell(caller, transfer_id)
        return view

    async def _tell(self, caller: Caller, transfer_id: UUID, status: str = SUCCESS, error: str | None = None) -> None:
        act = activity("ACCOUNT_ACCESS", "transaction", transfer_id, caller.context, status=status, error=error)
        await self._activities.tell(act)


def own_batch(caller: Caller, key: str, orders: list[Order]) -> BatchCall:
    """A batch call of a customer: one key covers it, and its items' ids derive from their places."""
    prints = [ids.fingerprint(order) for order in orders]
    batch_id, fingerprint = ids.batch_id(caller.user_id, ids.TRANSFERS_BATCH, key), ids.fingerprint_of("batch", prints)
    instructions = [
        instruction_of(
            order,
            caller,
            ids.transfer_id(caller.user_id, ids.TRANSFERS_BATCH, key, index),
            key=key,
            batch=BatchPlace(batch_id=batch_id, fingerprint=fingerprint, index=index, count=len(orders)),
        )
        for index, order in enumerate(orders)
    ]
    return BatchCall(batch_id=batch_id, fingerprint=fingerprint, instructions=instructions)


def transfer_answer(found: Answer) -> Response:
    """The answer to a call for one transfer."""
    headers = {"Location": f"/api/v1/transfers/{found.transfer_id}"}
    if found.status == 202:
        headers["Retry-After"] = str(bodies.PENDING_RETRY_AFTER_S)
    if found.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return encoded(found.body, found.status, headers)


def batch_answer(found: BatchAnswer) -> Response:
    """The answer to a batch call."""
    count_reused(found.items)
    headers = {"Idempotent-Replayed": "true"} if found.is_replay else None
    return answer(TransferItems(items=found.items), 200, headers)
