"""Operators' search over transfers: page by page it holds what a plain query finds, and looks at a bounded number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.gateway.idempotency.redis import RedisUnavailable
from services.gateway.reads import transfer_search
from services.gateway.reads.transfer_search import SEARCH_SQL, Place, Search, TransferSearch
from services.gateway.reads.transfers import TRANSFER_SQL, TransferReads
from shared.contracts.gateway import TransferRequested
from shared.database import Database
from tests.support.builders import requested
from tests.support.databases import Inside, undone

# No other test's transfers were ever made then.
EPOCH = datetime(2011, 1, 1, tzinfo=UTC)
USERS = [UUID(int=0x5EA0 + n) for n in range(3)]
ACCOUNTS = [UUID(int=0xACC0 + n) for n in range(4)]

_FILL = """
    INSERT INTO transfer.transactions (
        id, fingerprint, kind, caller_id, owner_id, from_account_id, to_account_id, amount_minor, currency,
        idempotency_key, context, verdict, policy, limits_version, decided_at, status, failure_reason, retry_count,
        debit_seq, debit_balance_before_minor, debit_balance_after_minor,
        credit_seq, credit_balance_before_minor, credit_balance_after_minor,
        created_at, settled_at, updated_at, is_deleted, deleted_at)
    SELECT gen_random_uuid(), 'v1', 'transfer', u.id, u.id, ($2::uuid[])[1 + n % 4], ($2::uuid[])[1 + (n / 4 + n) % 4],
           100 * (1 + n * 7 % 50), (ARRAY['USD', 'EUR'])[1 + n % 2], 'key-' || n % 40,
           '{"request_id": "r", "user_id": null, "ip": "", "user_agent": ""}',
           s.verdict, 'user', 'v', t.at, s.status, s.reason, 0,
           s.one, s.one * 100 * (1 + n * 7 % 50), s.one * 0, s.one, s.one * 0, s.one * 100 * (1 + n * 7 % 50),
           t.at, t.at, t.at, n % 17 = 0, CASE WHEN n % 17 = 0 THEN t.at END
      FROM generate_series(1, $3::integer) AS n
     CROSS JOIN LATERAL (SELECT ($1::uuid[])[1 + n % 3] AS id) AS u
     -- Several share a time, so that pages begin and end inside one.
     CROSS JOIN LATERAL (SELECT $4::timestamptz + n / 3 * interval '1 minute' AS at) AS t
     CROSS JOIN LATERAL (
        SELECT CASE n % 10 WHEN 3 THEN 'blocked' ELSE 'approved' END AS verdict,
               CASE n % 10 WHEN 3 THEN 'blocked' WHEN 7 THEN 'failed' ELSE 'completed' END AS status,
               CASE n % 10 WHEN 7 THEN 'same_account' END AS reason,
               CASE WHEN n % 10 NOT IN (3, 7) THEN 1 END AS one) AS s
"""


@dataclass
class Waiting:
    """Redis: records that are pending, and of how many there are; or none, for it does not answer."""

    requests: list[TransferRequested] = field(default_factory=list)
    more: int = 0
    is_away: bool = False

    async def find(self, transfer_ids: Sequence[UUID]) -> list[list[TransferRequested]]:
        self._check()
        return [[one for one in self.requests if one.instruction.transfer_id == wanted] for wanted in transfer_ids]

    async def waiting(self, records_max: int, bytes_max: int) -> tuple[int, int, list[TransferRequested]]:
        self._check()
        return len(self.requests) + self.more, len(self.requests), list(self.requests)

    async def pending_of(self, user_id: UUID, records_max: int) -> list[TransferRequested]:
        return [one for one in self.requests if one.instruction.owner_id == user_id]

    def _check(self) -> None:
        if self.is_away:
            raise RedisUnavailable


@dataclass(frozen=True)
class Book:
    """Three hundred transfers of long ago, and whatever waits."""

    database: Inside
    waiting: Waiting

    @property
    def search(self) -> TransferSearch:
        records: Any = self.waiting
        return TransferSearch(self.database, TransferReads(self.database, self.database), records)

    async def all_pages(self, chosen: Search, limit: int) -> tuple[list[UUID], int]:
        """The ids of all pages in their order, and how many pages there were."""
        found: list[UUID] = []
        before: Place | None = None
        for pages in range(1, 2_000):
            page = await self.search.page(chosen, before, limit)
            assert len(page.items) <= limit
            found += [view.transfer_id for view in page.items]
            if page.next_place is None:
                return found, pages
            assert before is None or page.next_place < before
            before = page.next_place
        raise AssertionError("the list does not end")

    async def plainly(self, where: str, *values: Any) -> list[UUID]:
        rows = await self.database.fetch(
            f"SELECT id FROM transfer.transactions WHERE created_at < '2012-01-01' AND {where}"
            " ORDER BY created_at DESC, id DESC",
            *values,
        )
        return [row["id"] for row in rows]


async def _fill(database: Inside, count: int) -> None:
    await database.fetch(_FILL, USERS, ACCOUNTS, count, EPOCH)
    for n, account in enumerate(ACCOUNTS[:2]):
        await database.fetch(
            """
            INSERT INTO transfer.accounts (id, owner_id, name, currency, kind) VALUES ($1, $2, 'x', 'USD', 'customer')
            """,
            account,
            USERS[n],
        )


@pytest.fixture
async def book(owner: Database) -> AsyncIterator[Book]:
    async with undone(owner) as database:
        await _fill(database, 300)
        yield Book(database, Waiting())


LONG_AGO: dict[str, Any] = {"end": datetime(2012, 1, 1, tzinfo=UTC)}
SOON = EPOCH + timedelta(minutes=40)
CHOICES: list[tuple[dict[str, Any], str, list[Any]]] = [
    ({}, "true", []),
    ({"include_deleted": True}, "is_deleted IN (true, false)", []),
    ({"idempotency_key": "key-7"}, "idempotency_key = 'key-7'", []),
    ({"account_id": ACCOUNTS[0]}, "$1 IN (from_account_id, to_account_id)", [ACCOUNTS[0]]),
    ({"user_id": USERS[2]}, "owner_id = $1", [USERS[2]]),
    (
        {"user_id": USERS[0]},
        "(owner_id = $1 OR $2 IN (from_account_id, to_account_id))",
        [USERS[0], ACCOUNTS[0]],
    ),
    ({"status": "failed"}, "status = 'failed'", []),
    ({"status": "blocked", "start": SOON}, "status = 'blocked' AND created_at >= $1", [SOON]),
    ({"status": "completed", "end": SOON}, "status = 'completed' AND created_at < $1", [SOON]),
    (
        {"currency": "EUR", "min_minor": 700, "max_minor": 2_500},
        "currency = 'EUR' AND amount_minor BETWEEN 700 AND 2500",
        [],
    ),
    (
        {"account_id": ACCOUNTS[1], "user_id": USERS[2], "status": "blocked"},
        "$1 IN (from_account_id, to_account_id) AND owner_id = $2 AND status = 'blocked'",
        [ACCOUNTS[1], USERS[2]],
    ),
    ({"idempotency_key": "nobody's"}, "false", []),
]


@pytest.mark.parametrize("looked_max", [9, 2_000])
@pytest.mark.parametrize(("chosen", "where", "values"), CHOICES, ids=lambda value: str(value)[:50])
async def test_pages_hold_what_a_plain_query_finds_however_little_each_looks_at(
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
    chosen: dict[str, Any],
    where: str,
    values: list[Any],
    looked_max: int,
) -> None:
    monkeypatch.setattr(transfer_search, "ROWS_LOOKED_MAX", looked_max)
    if "include_deleted" not in chosen:
        where = f"{where} AND NOT is_deleted"
    expected = await book.plainly(where, *values)
    for limit in (1, 7, 200):
        found, _ = await book.all_pages(Search(**{**LONG_AGO, **chosen}), limit)
        assert found == expected


async def test_one_is_found_by_its_id_unless_something_else_is_asked_too(book: Book) -> None:
    [wanted, *_] = await book.plainly("status = 'failed' AND NOT is_deleted")
    assert await book.all_pages(Search(id=wanted), 50) == ([wanted], 1)
    assert await book.all_pages(Search(id=wanted, status="completed"), 50) == ([], 1)
    assert await book.all_pages(Search(id=wanted, start=SOON + timedelta(days=9)), 50) == ([], 1)
    [hidden, *_] = await book.plainly("is_deleted")
    assert await book.all_pages(Search(id=hidden), 50) == ([], 1)
    assert await book.all_pages(Search(id=hidden, include_deleted=True), 50) == ([hidden], 1)


async def test_a_page_that_looks_in_vain_says_where_the_next_one_goes_on(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_search, "ROWS_LOOKED_MAX", 50)
    chosen = Search(**LONG_AGO, currency="USD", min_minor=1_000_000)
    page = await book.search.page(chosen, None, 50)
    assert page.items == []
    assert page.next_place is not None
    assert await book.all_pages(chosen, 50) == ([], 7)


def _pending(minute: int, **changes: Any) -> TransferRequested:
    """Somebody's, asked for so many minutes after the first of the book."""
    asked = {"owner_id": USERS[2], "from_account_id": uuid4(), "to_account_id": ACCOUNTS[0]}
    return requested(requested_at=EPOCH + timedelta(minutes=minute), **{**asked, **changes})


async def test_what_waits_stands_among_the_rest_in_its_place_and_once(book: Book) -> None:
    book.waiting.requests = [_pending(minute) for minute in (0, 33, 34, 99, 200)]
    waiting = {one.instruction.requested_at: one.instruction.transfer_id for one in book.waiting.requests}
    rows = await book.plainly("NOT is_deleted")
    for limit in (1, 7, 200):
        found, _ = await book.all_pages(Search(**LONG_AGO), limit)
        assert sorted(found) == sorted([*rows, *waiting.values()])
        assert [one for one in found if one in rows] == rows
        assert [one for one in found if one not in rows] == [waiting[at] for at in sorted(waiting, reverse=True)]
        assert found[0] == waiting[max(waiting)]


async def test_what_waits_is_found_by_whatever_it_has_and_not_where_it_has_ended(book: Book) -> None:
    [ended, *_] = await book.plainly("NOT is_deleted")
    wanted = _pending(5, idempotency_key="mine", amount_minor=77, currency="JPY")
    book.waiting.requests = [wanted, _pending(6), _pending(7, transfer_id=ended)]
    asked = wanted.instruction
    for chosen in (
        {"id": asked.transfer_id},
        {"idempotency_key": "mine"},
        {"account_id": asked.from_account_id},
        {"currency": "JPY", "min_minor": 77, "max_minor": 77},
        {"status": "pending", "end": EPOCH + timedelta(minutes=6)},
    ):
        assert await book.all_pages(Search(**chosen), 50) == ([asked.transfer_id], 1), chosen
    by_account = Search(user_id=USERS[0], status="pending")
    assert len((await book.all_pages(by_account, 50))[0]) == 2
    assert await book.all_pages(Search(status="pending", user_id=USERS[1]), 50) == ([], 1)


async def test_what_could_not_be_looked_at_is_said(book: Book) -> None:
    book.waiting.more = 3
    assert (await book.search.page(Search(), None, 1)).unknown == {
        "pending": "3 calls wait for their end, of which 0 were looked at: name an id."
    }
    book.waiting.is_away = True
    for chosen in (Search(), Search(id=uuid4())):
        page = await book.search.page(chosen, None, 1)
        assert page.unknown.keys() == {"pending"}
    assert (await book.search.page(Search(status="failed"), None, 1)).unknown == {}


INDEXED = [
    ("places", (), "transactions_by_time"),
    ("places_of_status", ("blocked",), "transactions_refused"),
    ("places_of_key", ("key-7",), "transactions_by_key"),
    ("places_of_owner", (USERS[0],), "transactions_by_owner"),
]


@pytest.mark.parametrize("before", [(None, None), (SOON, UUID(int=0))])
@pytest.mark.parametrize(("name", "of", "index"), INDEXED)
async def test_where_to_look_is_told_by_an_index_in_the_order_of_the_list(
    owner: Database, name: str, of: tuple[Any, ...], index: str, before: tuple[Any, Any]
) -> None:
    async with undone(owner) as database:
        await _fill(database, 20_000)
        await database.fetch("ANALYZE transfer.transactions")
        for other in ("bitmapscan", "sort"):
            await database.fetch(f"SET LOCAL enable_{other} = off")
        plan = await _plan(database, getattr(SEARCH_SQL, name), None, None, *before, 50, *of)
    assert f"Scan Backward using {index} " in plan, plan
    for other in ("Sort", "Seq Scan", "Filter"):
        assert other not in plan, plan


async def test_accounts_are_looked_at_by_their_indexes_and_a_bounded_number_of_rows_each(owner: Database) -> None:
    async with undone(owner) as database:
        await _fill(database, 20_000)
        await database.fetch("ANALYZE transfer.transactions")
        plan = await _plan(database, SEARCH_SQL.places_of_accounts, None, None, None, None, 50, ACCOUNTS[:2])
        matching = await _plan(
            database, SEARCH_SQL.matching, [uuid4()] * 50, False, "failed", *[None] * 3, [], *[None] * 5, 50
        )
    for index in ("transactions_by_source", "transactions_by_destination", "transactions_refused_by_destination"):
        assert f"Scan Backward using {index} " in plan, plan
    assert "transactions_pkey" in matching, matching
    for one in (plan, matching):
        assert "Seq Scan" not in one, one


@pytest.mark.parametrize(
    ("owner_id", "currency", "index"),
    [
        (None, None, "accounts_by_time"),
        (None, "EUR", "accounts_by_currency"),
        (USERS[0], None, "accounts_by_owner"),
        (USERS[0], "USD", "accounts_by_owner"),
    ],
)
async def test_accounts_are_found_by_an_index_in_the_order_of_the_list(
    owner: Database, owner_id: UUID | None, currency: str | None, index: str
) -> None:
    async with undone(owner) as database:
        await database.fetch(
            """
            INSERT INTO transfer.accounts (id, owner_id, name, currency, kind)
            SELECT gen_random_uuid(), CASE n % 100 WHEN 0 THEN $1 ELSE gen_random_uuid() END, 'x',
                   CASE n % 70 WHEN 0 THEN 'EUR' ELSE 'USD' END, 'customer'
              FROM generate_series(1, 5000) AS n
            """,
            USERS[0],
        )
        await database.fetch("ANALYZE transfer.accounts")
        for other in ("bitmapscan", "sort"):
            await database.fetch(f"SET LOCAL enable_{other} = off")
        for before in ((None, None), (datetime.now(UTC), UUID(int=0))):
            plan = await _plan(database, TRANSFER_SQL.find_accounts, owner_id, currency, True, *before, 50)
            assert f"Index Scan Backward using {index} " in plan, plan
            for other in ("Sort", "Seq Scan"):
                assert other not in plan, plan


async def _plan(database: Inside, statement: str, *arguments: Any) -> str:
    """With the values, as the gateway's sessions plan."""
    await database.fetch("SET LOCAL plan_cache_mode = force_custom_plan")
    return "\n".join(row[0] for row in await database.fetch(f"EXPLAIN {statement}", *arguments))
