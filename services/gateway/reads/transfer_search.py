"""Operators' search over all transfers, pending ones too. Whatever is asked for, a page looks at a bounded number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.domain import views
from services.gateway.domain.views import TransferView
from services.gateway.idempotency.records import Records
from services.gateway.idempotency.redis import RedisUnavailable
from services.gateway.reads.transfers import TransferReads, newest, view_of
from shared.database import Database, load_queries
from shared.errors import TransientError

SEARCH_SQL = load_queries(__file__, "transfer_search.sql")

# What one page looks at: rows, a user's accounts, pending records at each end of their order.
ROWS_LOOKED_MAX = 2_000
ACCOUNTS_MAX = 50
_RECORDS_MAX = 500
_RECORDS_BYTES_MAX = 2 * 1024 * 1024

Place = tuple[datetime, UUID]


class Search(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which transfers: all that is given must hold. `start` (inclusive) and `end` (exclusive) are of `created_at`.

    `user_id` is whose transfer it is, or whose account it goes from or to. Amounts in minor units of `currency`.
    """

    id: UUID | None = None
    idempotency_key: str | None = None
    account_id: UUID | None = None
    user_id: UUID | None = None
    status: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    currency: str | None = None
    min_minor: int | None = None
    max_minor: int | None = None
    include_deleted: bool = False

    def takes(self, view: TransferView, own: Sequence[UUID]) -> bool:
        """The same choice for what is not a row yet; `own` are the user's accounts."""
        touched = {view.from_account_id, view.to_account_id}
        return (
            self.id in {None, view.transfer_id}
            and self.idempotency_key in {None, view.idempotency_key}
            and (self.account_id is None or self.account_id in touched)
            and (self.user_id in {None, view.owner_id} or bool(touched & set(own)))
            and self.status in {None, view.status}
            and (self.start is None or view.requested_at >= self.start)
            and (self.end is None or view.requested_at < self.end)
            and self.currency in {None, view.currency}
            and (self.min_minor is None or view.amount_minor >= self.min_minor)
            and (self.max_minor is None or view.amount_minor <= self.max_minor)
        )

    @property
    def is_whole(self) -> bool:
        """Whether what an index finds is all that is asked for."""
        narrowed = (self.id, self.idempotency_key, self.account_id, self.user_id, self.status, self.currency)
        return narrowed.count(None) == len(narrowed)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One page, the place after which the next one begins, and what may be missing."""

    items: list[TransferView]
    next_place: Place | None
    unknown: dict[str, str]


class TransferSearch:
    """Finds transfers in whatever state: rows, decisions without a row, records that wait in Redis."""

    def __init__(self, transfer: Database, reads: TransferReads, records: Records) -> None:
        self._transfer = transfer
        self._reads = reads
        self._records = records

    async def page(self, chosen: Search, before: Place | None, limit: int) -> Found:
        """Newest first, below `before`. What is pending is looked at first: it may end meanwhile, and is a row then."""
        unknown: dict[str, str] = {}
        own = await self._accounts_of(chosen.user_id, unknown)
        pending = await self._pending(chosen, own, unknown)
        rows, until = await self._rows(chosen, own, before, limit)
        among = [view for view in pending if _is_between(_place(view), before, until)]
        items = newest([*among, *rows], limit)
        if len({view.transfer_id for view in (*among, *rows)}) > limit:
            until = _place(items[-1])
        return Found(items=items, next_place=until, unknown=unknown)

    async def one(self, transfer_id: UUID) -> TransferView | None:
        """One transfer in whatever state, hidden or not.

        Raises:
            TransientError: no table has it and Redis cannot tell.
        """
        if row := (await self._reads.rows([transfer_id])).get(transfer_id):
            return row
        page = await self.page(Search(id=transfer_id, include_deleted=True), None, 1)
        if not page.items and page.unknown:
            raise RedisUnavailable(page.unknown["pending"])
        return page.items[0] if page.items else None

    async def _accounts_of(self, user_id: UUID | None, unknown: dict[str, str]) -> list[UUID]:
        if user_id is None:
            return []
        rows = await self._transfer.fetch(SEARCH_SQL.accounts_of, user_id, ACCOUNTS_MAX + 1)
        if len(rows) > ACCOUNTS_MAX:
            unknown["accounts"] = (
                f"The user has more than {ACCOUNTS_MAX} accounts: what others sent to the older ones is not looked for."
            )
        return [row["id"] for row in rows[:ACCOUNTS_MAX]]

    async def _rows(
        self, chosen: Search, own: list[UUID], before: Place | None, limit: int
    ) -> tuple[list[TransferView], Place | None]:
        """Rows that match, and where the look has ended; None: it came to the end."""
        if chosen.status == views.PENDING:
            return [], None
        until: Place | None = None
        if chosen.id is None:
            looked_max = limit + 1 if chosen.is_whole else ROWS_LOOKED_MAX
            places = await self._places(chosen, own, before, looked_max)
            wanted = list({transfer_id for _, transfer_id in places})
            until = places[-1] if len(places) == looked_max else None
        else:
            wanted = [chosen.id]
        matching = await self._matching(chosen, own, wanted, limit + 1)
        found = [view for view in matching if before is None or _place(view) < before]
        if len(found) > limit:
            until = _place(found[limit - 1])
        return found[:limit], until

    async def _places(self, chosen: Search, own: list[UUID], before: Place | None, looked_max: int) -> list[Place]:
        moment, place = before or (None, None)
        among = (chosen.start, chosen.end, moment, place, looked_max)
        found = [
            (row["created_at"], row["id"])
            for statement, of in _where(chosen, own)
            for row in await self._transfer.fetch(statement, *among, *of)
        ]
        return sorted(found, reverse=True)[:looked_max]

    async def _matching(self, chosen: Search, own: list[UUID], wanted: list[UUID], limit: int) -> list[TransferView]:
        rows = await self._transfer.fetch(
            SEARCH_SQL.matching,
            wanted,
            chosen.include_deleted,
            chosen.status,
            chosen.idempotency_key,
            chosen.account_id,
            chosen.user_id,
            own,
            chosen.currency,
            chosen.min_minor,
            chosen.max_minor,
            chosen.start,
            chosen.end,
            limit,
        )
        return [view_of(row) for row in rows]

    async def _pending(self, chosen: Search, own: list[UUID], unknown: dict[str, str]) -> list[TransferView]:
        """What matches among that which has no row."""
        if chosen.status not in {None, views.PENDING}:
            return []
        waiting = [*await self._waiting(chosen, unknown), *await self._decided(chosen)]
        taken = {view.transfer_id: view for view in waiting if chosen.takes(view, own)}
        ended = await self._reads.rows(list(taken)) if taken else {}
        return [view for transfer_id, view in taken.items() if transfer_id not in ended]

    async def _waiting(self, chosen: Search, unknown: dict[str, str]) -> list[TransferView]:
        try:
            if chosen.id is not None:
                found = (await self._records.find([chosen.id]))[0]
                return [views.pending(request.instruction) for request in found]
            count, looked, requests = await self._records.waiting(_RECORDS_MAX, _RECORDS_BYTES_MAX)
            if chosen.user_id is not None:
                requests += await self._records.pending_of(chosen.user_id, _RECORDS_MAX)
        except TransientError:
            unknown["pending"] = "Redis does not answer: transfers that fraud has not decided on are not looked for."
            return []
        if count > looked:
            unknown["pending"] = f"{count} calls wait for their end, of which {looked} were looked at: name an id."
        return [views.pending(request.instruction) for request in requests]

    async def _decided(self, chosen: Search) -> list[TransferView]:
        """What fraud has decided, as far as it is asked for by id or by user; Redis knows the rest."""
        if chosen.id is not None:
            decided = await self._reads.decisions([chosen.id])
            return [views.pending(event.instruction) for event in decided.values()]
        if chosen.user_id is not None:
            return await self._reads.decided_only(chosen.user_id, chosen.idempotency_key)
        return []


def _where(chosen: Search, own: list[UUID]) -> list[tuple[str, tuple[Any, ...]]]:
    """The statements that tell where to look: those by which there is least to look at."""
    if chosen.idempotency_key is not None:
        return [(SEARCH_SQL.places_of_key, (chosen.idempotency_key,))]
    if chosen.account_id is not None:
        return [(SEARCH_SQL.places_of_accounts, ([chosen.account_id],))]
    if chosen.user_id is not None:
        return [(SEARCH_SQL.places_of_owner, (chosen.user_id,)), (SEARCH_SQL.places_of_accounts, (own,))]
    if chosen.status in {views.FAILED, views.BLOCKED}:
        return [(SEARCH_SQL.places_of_status, (chosen.status,))]
    return [(SEARCH_SQL.places, ())]


def _place(view: TransferView) -> Place:
    return view.requested_at, view.transfer_id


def _is_between(place: Place, before: Place | None, until: Place | None) -> bool:
    """Whether a page that goes from `before` down to `until` holds it."""
    return (before is None or place < before) and (until is None or place >= until)
