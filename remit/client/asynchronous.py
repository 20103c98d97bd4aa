"""The client for callers that await: it runs the flows, and adds nothing to what they decide."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import httpx

from remit.client.carrying import Carrier
from remit.client.errors import ClientError
from remit.client.exports import AsyncExport
from remit.client.http import (
    LOSSES,
    Credentials,
    Flow,
    Found,
    Heard,
    Listing,
    Lost,
    Pause,
    Send,
    Step,
    heard,
    lost,
    timeouts_of,
)
from remit.client.identity import Identity
from remit.client.models import Page
from remit.client.operators import AllCalls, AuditFilter, ExportFormat
from remit.client.retry import Patience
from remit.client.version import user_agent_of

P = ParamSpec("P")
Result = TypeVar("Result")
Item = TypeVar("Item")


class AsyncItems(Generic[Item]):
    """A list of the API: iterate over it for its items, over `pages()` for its pages with their cursors."""

    def __init__(self, client: AsyncClient, begin: Callable[[], Listing[Page[Item]]]) -> None:
        self._client = client
        self._begin = begin

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def pages(self) -> AsyncIterator[Page[Item]]:
        """Page by page; the `next_cursor` of one begins a later list where this one was left."""
        said: Any = None
        with closing(self._begin()) as listing:
            while True:
                try:
                    step = listing.send(said)
                except StopIteration:
                    return
                if isinstance(step, Found):
                    yield step.item
                    said = None
                else:
                    said = await self._client.do(step)


def _awaited(
    flow: Callable[Concatenate[AllCalls, P], Flow[Result]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Result]]:
    @wraps(flow)
    async def call(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return await client.run(flow(client.calls, *args, **kwargs))

    return call


def _listed(
    flow: Callable[Concatenate[AllCalls, P], Listing[Page[Item]]],
) -> Callable[Concatenate[AsyncClient, P], AsyncItems[Item]]:
    @wraps(flow)
    def call(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncItems[Item]:
        return AsyncItems(client, lambda: flow(client.calls, *args, **kwargs))

    return call


class AsyncClient:
    """One user's view of the API. With credentials it logs in when first needed, and again when its token runs out."""

    def __init__(
        self,
        api_url: str,
        credentials: Credentials | None = None,
        *,
        token: str | None = None,
        patience: Patience | None = None,
        user_agent: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        carrier = Carrier(
            identity=Identity(credentials, token),
            patience=patience or Patience(),
            clock=clock,
            draw=draw,
            user_agent=user_agent_of(user_agent),
        )
        self.calls = AllCalls(carrier=carrier)
        self._http = httpx.AsyncClient(base_url=api_url, transport=transport)
        self._sleep = sleep
        self._alone = asyncio.Lock()

    register = _awaited(AllCalls.register)
    login = _awaited(AllCalls.login)
    logout = _awaited(AllCalls.logout)
    me = _awaited(AllCalls.me)

    open_account = _awaited(AllCalls.open_account)
    account = _awaited(AllCalls.account)
    accounts = _listed(AllCalls.accounts)
    rename_account = _awaited(AllCalls.rename_account)
    close_account = _awaited(AllCalls.close_account)
    entries = _listed(AllCalls.entries)

    transfer = _awaited(AllCalls.transfer)
    transfer_batch = _awaited(AllCalls.transfer_batch)
    submit = _awaited(AllCalls.submit)
    resume = _awaited(AllCalls.resume)
    resume_batch = _awaited(AllCalls.resume_batch)
    wait_for = _awaited(AllCalls.wait_for)
    transfer_by_id = _awaited(AllCalls.transfer_by_id)
    transfers = _listed(AllCalls.transfers)
    timeline = _awaited(AllCalls.timeline)

    deposit = _awaited(AllCalls.deposit)
    withdraw = _awaited(AllCalls.withdraw)
    open_accounts = _awaited(AllCalls.open_accounts)
    make_transfers = _awaited(AllCalls.make_transfers)
    all_accounts = _listed(AllCalls.all_accounts)
    close_any_account = _awaited(AllCalls.close_any_account)
    restore_account = _awaited(AllCalls.restore_account)
    delete_transfer = _awaited(AllCalls.delete_transfer)
    restore_transfer = _awaited(AllCalls.restore_transfer)
    change_user = _awaited(AllCalls.change_user)
    pipeline = _awaited(AllCalls.pipeline)
    find_transfers = _listed(AllCalls.find_transfers)
    whole_timeline = _awaited(AllCalls.whole_timeline)
    user_usage = _awaited(AllCalls.user_usage)
    trial_balance = _awaited(AllCalls.trial_balance)
    verify_account = _awaited(AllCalls.verify_account)
    verify_book = _awaited(AllCalls.verify_book)
    fraud_stats = _awaited(AllCalls.fraud_stats)
    audit_logs = _listed(AllCalls.audit_logs)
    verify_audit_log = _awaited(AllCalls.verify_audit_log)
    dead_letters = _listed(AllCalls.dead_letters)
    dead_letter = _awaited(AllCalls.dead_letter)
    replay_dead_letter = _awaited(AllCalls.replay_dead_letter)
    discard_dead_letter = _awaited(AllCalls.discard_dead_letter)

    @asynccontextmanager
    async def export_audit_logs(
        self, form: ExportFormat, chosen: AuditFilter | None = None
    ) -> AsyncIterator[AsyncExport]:
        """All rows of the audit log that a filter takes, as a file that comes while it is read."""
        response: httpx.Response = (await self.run(self.calls.export_audit_logs(form, chosen))).stream
        try:
            yield AsyncExport(response)
        finally:
            await response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Lets go of the connections; the token lives on."""
        await self._http.aclose()

    async def run(self, flow: Flow[Result]) -> Result:
        """Runs a flow to its result."""
        said: Any = None
        with closing(flow):
            while True:
                try:
                    step = flow.send(said)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                said = await self.do(step)

    async def do(self, step: Step) -> Heard | Lost | ClientError | None:
        """Does what a flow wants; what came of it."""
        if isinstance(step, Send):
            return await self._send(step)
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        async with self._alone:
            try:
                await self.run(step.flow)
            except ClientError as error:
                return error
        return None

    async def _send(self, step: Send) -> Heard | Lost:
        request = self._http.build_request(
            step.method, step.target, content=step.body, headers=step.headers, timeout=timeouts_of(step)
        )
        try:
            response = await self._http.send(request, stream=step.streamed)
            is_open = step.streamed and response.status_code < 300
            if step.streamed and not is_open:
                await response.aread()
                await response.aclose()
        except LOSSES as error:
            return lost(error)
        return heard(response, is_open=is_open)
