"""Lists are read page by page, from where one likes, and nothing is listed twice; a broken download is an error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from remit.client import (
    AsyncClient,
    AuditFilter,
    Client,
    Forbidden,
    Interrupted,
    ListTooLong,
    NotFound,
    UnexpectedAnswer,
)
from tests.support.scripted import ADA, PENDING, TRANSFER, Api, Kind, listed, problem

ACCOUNT = {
    "id": "a",
    "owner_id": "o",
    "name": "n",
    "currency": "USD",
    "balance": "1.05",
    "account_seq": 1,
    "created_at": "2026-01-01T00:00:00Z",
}


def page(*items: dict[str, Any], cursor: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"items": list(items), "next_cursor": cursor})


def query(request: httpx.Request) -> dict[str, str]:
    return dict(request.url.params)


async def test_a_list_is_read_page_by_page(kind: Kind) -> None:
    api = Api(page(ACCOUNT, cursor="c"), page(ACCOUNT))
    accounts = await listed(api.client(kind).all_accounts())
    assert [account.balance_minor for account in accounts] == [105, 105]
    assert [request.url.params.get("cursor") for request in api.asked] == [None, "c"]
    assert {request.url.params["limit"] for request in api.asked} == {"200"}


async def test_a_list_asks_for_no_page_that_nobody_wants(kind: Kind) -> None:
    api = Api(page(ACCOUNT, cursor="c"))
    accounts = api.client(kind).accounts()
    assert not api.asked
    async for _ in _awaited(accounts):
        break
    assert len(api.asked) == 1


async def test_a_list_goes_on_from_a_cursor(kind: Kind) -> None:
    api = Api(page(TRANSFER, cursor="c-1"), page(PENDING))
    client = api.client(kind)
    async for one in _awaited(client.transfers(limit=1).pages()):
        cursor = one.next_cursor
        break
    rest = await listed(client.transfers(limit=1, cursor=cursor))
    assert [transfer.status for transfer in rest] == ["pending"]
    assert [query(request) for request in api.asked] == [{"limit": "1"}, {"limit": "1", "cursor": "c-1"}]


async def test_a_list_may_be_iterated_twice(kind: Kind) -> None:
    api = Api(page(ACCOUNT))
    accounts = api.client(kind).accounts()
    assert len(await listed(accounts)) == len(await listed(accounts)) == 1


async def test_filters_are_told_as_the_api_reads_them(kind: Kind) -> None:
    """A moment with its offset; a bare date as it is."""
    api = Api(page())
    start, end = datetime(2026, 11, 1, 12, tzinfo=UTC), date(2026, 11, 2)
    chosen = {"account_id": "a", "status": "failed", "start_date": start, "end_date": end, "key": "k 1"}
    await listed(api.client(kind).transfers(**chosen))
    assert query(api.asked[0]) == {
        "account_id": "a",
        "status": "failed",
        "start_date": "2026-11-01T12:00:00+00:00",
        "end_date": "2026-11-02",
        "idempotency_key": "k 1",
        "limit": "200",
    }


async def test_a_page_that_fails_for_a_while_is_asked_for_again(kind: Kind) -> None:
    api = Api(page(ACCOUNT, cursor="c"), problem(503, "unavailable"), page(ACCOUNT))
    assert len(await listed(api.client(kind).accounts())) == 2


async def test_an_error_in_a_list_is_raised_where_it_is_met(kind: Kind) -> None:
    with pytest.raises(NotFound):
        await listed(Api(problem(404, "account_not_found")).client(kind).entries("a"))


def row(seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "recorded_at": "2026-01-01T00:00:00Z",
        "occurred_at": "2026-01-01T00:00:00Z",
        "event_id": "e",
        "user_id": None,
        "action": "LOGIN",
        "resource_type": "user",
        "resource_id": None,
        "status": "success",
        "ip_address": None,
        "user_agent": None,
        "request_id": "r",
        "error_message": None,
        "details": {},
        "hash": "00",
    }


def numbered(*seqs: int, number: int, pages: int, capped: bool = False) -> httpx.Response:
    items = [row(seq) for seq in seqs]
    told = {"items": items, "page": number, "page_size": 2, "total": 9, "pages": pages, "total_capped": capped}
    return httpx.Response(200, json=told)


async def test_an_audit_row_that_moves_on_to_the_next_page_is_listed_once(kind: Kind) -> None:
    """Reading a page is itself recorded: every row slides down by one, and the list grows."""
    api = Api(numbered(9, 8, number=1, pages=2), numbered(8, 7, number=2, pages=3), numbered(6, number=3, pages=3))
    rows = await listed(api.client(kind).audit_logs(AuditFilter(action="LOGIN"), limit=2))
    assert [one.seq for one in rows] == [9, 8, 7, 6]
    assert [query(request) for request in api.asked] == [
        {"action": "LOGIN", "page_size": "2", "page": number} for number in ("1", "2", "3")
    ]


async def test_an_audit_list_that_the_api_cuts_off_does_not_end_quietly(kind: Kind) -> None:
    api = Api(numbered(9, 8, number=1, pages=1, capped=True))
    with pytest.raises(ListTooLong, match="export"):
        await listed(api.client(kind).audit_logs())


class Stream(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A body that comes in pieces, and may break off."""

    def __init__(self, pieces: list[bytes], error: Exception | None) -> None:
        self.pieces = pieces
        self.error = error
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def exporting(kind: Kind, stream: Stream) -> Any:
    transport: Any = httpx.MockTransport(lambda _: httpx.Response(200, stream=stream))
    return kind("http://remit.test", token="t", transport=transport)


async def exported(client: Any, what: str = "rows", form: str = "ndjson") -> list[Any]:
    opened = client.export_audit_logs(form)
    if isinstance(client, AsyncClient):
        async with opened as export:
            return [one async for one in getattr(export, what)()]
    with opened as export:
        return list(getattr(export, what)())


def ndjson(*seqs: int) -> bytes:
    return b"".join(httpx.Response(200, json=row(seq)).content + b"\n" for seq in seqs)


async def test_an_export_gives_its_rows_wherever_the_pieces_break(kind: Kind) -> None:
    text = ndjson(1, 2, 3)
    stream = Stream([text[:7], text[7:200], text[200:]], None)
    assert [one.seq for one in await exported(exporting(kind, stream))] == [1, 2, 3]
    assert stream.closed


@pytest.mark.parametrize("what", ["rows", "chunks"])
async def test_an_export_that_breaks_off_is_an_error(kind: Kind, what: str) -> None:
    """HTTP tells it (RFC 9112, 8): what came is not all."""
    stream = Stream([ndjson(1, 2)], httpx.RemoteProtocolError("incomplete chunked read"))
    with pytest.raises(Interrupted):
        await exported(exporting(kind, stream), what)
    assert stream.closed


async def test_an_export_that_ends_within_a_row_is_an_error(kind: Kind) -> None:
    with pytest.raises(Interrupted, match="within a row"):
        await exported(exporting(kind, Stream([ndjson(1, 2)[:-5]], None)))


async def test_rows_of_something_else_are_an_error(kind: Kind) -> None:
    with pytest.raises(UnexpectedAnswer):
        await exported(exporting(kind, Stream([b"seq,recorded_at\r\n"], None)))


async def test_an_export_that_is_refused_is_an_error_like_any_other(kind: Kind) -> None:
    api = Api(problem(503, "overloaded"), problem(403, "forbidden"))
    with pytest.raises(Forbidden):
        await exported(api.client(kind))
    assert len(api.asked) == 2


async def test_many_calls_at_once_log_in_once() -> None:
    """Those who waited for the token that another one got take it."""
    api = Api(httpx.Response(200, json={"id": "u", "email": None, "role": "admin"}))

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return api(request)

    async with AsyncClient("http://remit.test", ADA, transport=httpx.MockTransport(slow)) as client:
        await asyncio.gather(*(client.me() for _ in range(20)))
    assert api.logins == 1


def test_many_threads_at_once_log_in_once() -> None:
    api = Api(httpx.Response(200, json={"id": "u", "email": None, "role": "admin"}))
    with Client("http://remit.test", ADA, transport=httpx.MockTransport(api)) as client:
        threads = [threading.Thread(target=client.me) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (api.logins, len(api.asked)) == (1, 20)


async def test_a_login_that_is_refused_is_told_to_everybody_who_waited_for_it() -> None:
    """And nobody hangs on the lock."""
    refused = httpx.MockTransport(lambda _: problem(401, "unauthenticated"))
    async with AsyncClient("http://remit.test", ADA, transport=refused) as client:
        told = await asyncio.gather(*(client.me() for _ in range(5)), return_exceptions=True)
    assert {type(one).__name__ for one in told} == {"Unauthenticated"}


async def _awaited(items: Any) -> AsyncIterator[Any]:
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
        return
    for item in items:
        yield item


async def test_who_leaves_a_client_leaves_its_connections(kind: Kind) -> None:
    client = Api(page()).client(kind)
    if isinstance(client, AsyncClient):
        async with client:
            await listed(client.accounts())
    else:
        with client:
            list(client.accounts())
    with pytest.raises(RuntimeError, match="closed"):
        await listed(client.accounts())
