"""The client for callers that block: it runs the same flows as the asynchronous one, and may be shared by threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import httpx

from remit.client.carrying import Carrier
from remit.client.errors import ClientError
from remit.client.exports import Export
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


class Items(Generic[Item]):
    """A list of the API: iterate over it for its items, over `pages()` for its pages with their cursors."""

    def __init__(self, client: Client, begin: Callable[[], Listing[Page[Item]]]) -> None:
        self._client = client
        self._begin = begin

    def __iter__(self) -> Iterator[Item]:
        for page in self.pages():
            yield from page.items

    def pages(self) -> Iterator[Page[Item]]:
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
                    said = self._client.do(step)


def _done(
    flow: Callable[Concatenate[AllCalls, P], Flow[Result]],
) -> Callable[Concatenate[Client, P], Result]:
    @wraps(flow)
    def call(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return client.run(flow(client.calls, *args, **kwargs))

    return call


def _listed(
    flow: Callable[Concatenate[AllCalls, P], Listing[Page[Item]]],
) -> Callable[Concatenate[Client, P], Items[Item]]:
    @wraps(flow)
    def call(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Items[Item]:
        return Items(client, lambda: flow(client.calls, *args, **kwargs))

    return call


class Client:
    """One user's view of the API. With credentials it logs in when first needed, and again when its token runs out."""

    def __init__(
        self,
        api_url: str,
        credentials: Credentials | None = None,
        *,
        token: str | None = None,
        patience: Patience | None = None,
        user_agent: str | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
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
        self._http = httpx.Client(base_url=api_url, transport=transport)
        self._sleep = sleep
        self._alone = threading.Lock()

    register = _done(AllCalls.register)
    login = _done(AllCalls.login)
    logout = _done(AllCalls.logout)
    me = _done(AllCalls.me)

    open_account = _done(AllCalls.open_account)
    account = _done(AllCalls.account)
    accounts = _listed(AllCalls.accounts)
    rename_account = _done(AllCalls.rename_account)
    close_account = _done(AllCalls.close_account)
    entries = _listed(AllCalls.entries)

    transfer = _done(AllCalls.transfer)
    transfer_batch = _done(AllCalls.transfer_batch)
    submit = _done(AllCalls.submit)
    resume = _done(AllCalls.resume)
    resume_batch = _done(AllCalls.resume_batch)
    wait_for = _done(AllCalls.wait_for)
    transfer_by_id = _done(AllCalls.transfer_by_id)
    transfers = _listed(AllCalls.transfers)
    timeline = _done(AllCalls.timeline)

    deposit = _done(AllCalls.deposit)
    withdraw = _done(AllCalls.withdraw)
    open_accounts = _done(AllCalls.open_accounts)
    make_transfers = _done(AllCalls.make_transfers)
    all_accounts = _listed(AllCalls.all_accounts)
    close_any_account = _done(AllCalls.close_any_account)
    restore_account = _done(AllCalls.restore_account)
    delete_transfer = _done(AllCalls.delete_transfer)
    restore_transfer = _done(AllCalls.restore_transfer)
    change_user = _done(AllCalls.change_user)
    pipeline = _done(AllCalls.pipeline)
    find_transfers = _listed(AllCalls.find_transfers)
    whole_timeline = _done(AllCalls.whole_timeline)
    user_usage = _done(AllCalls.user_usage)
    trial_balance = _done(AllCalls.trial_balance)
    verify_account = _done(AllCalls.verify_account)
    verify_book = _done(AllCalls.verify_book)
    fraud_stats = _done(AllCalls.fraud_stats)
    audit_logs = _listed(AllCalls.audit_logs)
    verify_audit_log = _done(AllCalls.verify_audit_log)
    dead_letters = _listed(AllCalls.dead_letters)
    dead_letter = _done(AllCalls.dead_letter)
    replay_dead_letter = _done(AllCalls.replay_dead_letter)
    discard_dead_letter = _done(AllCalls.discard_dead_letter)

    @contextmanager
    def export_audit_logs(self, form: ExportFormat, chosen: AuditFilter | None = None) -> Iterator[Export]:
        """All rows of the audit log that a filter takes, as a file that comes while it is read."""
        response: httpx.Response = (self.run(self.calls.export_audit_logs(form, chosen))).stream
        try:
            yield Export(response)
        finally:
            response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the connections; the token lives on."""
        self._http.close()

    def run(self, flow: Flow[Result]) -> Result:
        """Runs a flow to its result."""
        said: Any = None
        with closing(flow):
            while True:
                try:
                    step = flow.send(said)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                said = self.do(step)

    def do(self, step: Step) -> Heard | Lost | ClientError | None:
        """Does what a flow wants; what came of it."""
        if isinstance(step, Send):
            return self._send(step)
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        with self._alone:
            try:
                self.run(step.flow)
            except ClientError as error:
                return error
        return None

    def _send(self, step: Send) -> Heard | Lost:
        request = self._http.build_request(
            step.method, step.target, content=step.body, headers=step.headers, timeout=timeouts_of(step)
        )
        try:
            response = self._http.send(request, stream=step.streamed)
            is_open = step.streamed and response.status_code < 300
            if step.streamed and not is_open:
                response.read()
                response.close()
        except LOSSES as error:
            return lost(error)
        return heard(response, is_open=is_open)
