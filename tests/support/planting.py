"""Bugs, planted into a service from inside; tests start a whole Remit so, to see whether the checker finds them.

Each is one that somebody could write: a line left out, two lines in the wrong order. Where two nets hold the same money
by design, a bug tears one and the test's `damage` the other.
"""

# ruff: noqa: PLC0415 - a service imports what it runs; what another one runs stays out of it
from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

SETTING = "REMIT_TEST_PLANT"

# How long a commit takes in a bug that is about what happens before it.
_SLOW_COMMIT_S = 0.03


def plant(bug: str, service: str) -> None:
    """Puts the bug into this process, if the service is one that has it."""
    services, put = BUGS[bug]
    if service in services:
        put()


def _ack_before_commit() -> None:
    from aio_pika.message import IncomingMessage

    from shared.messaging.consumer import Consumer

    finish, ack = Consumer._finish, IncomingMessage.ack

    async def finish_acked(self: Any, channel: Any, batch: Any, last_tag: int) -> int:
        await ack(batch[-1].message, multiple=True)
        return await finish(self, channel, batch, last_tag)

    async def ack_once(self: Any, multiple: bool = False) -> None:
        if not self.processed:
            await ack(self, multiple=multiple)

    Consumer._finish = finish_acked  # type: ignore[method-assign]
    IncomingMessage.ack = ack_once  # type: ignore[method-assign]


def _publish_before_commit() -> None:
    from services.transfer.store import Store
    from shared.messaging.publisher import Emission, Publisher

    publishers: list[Publisher] = []
    init, write = Publisher.__init__, Store._write

    def remembered(self: Publisher, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        publishers.append(self)

    async def write_told(self: Store, connection: Any, settled: Sequence[Any], changed: Any, now: Any) -> None:
        await write(self, connection, settled, changed, now)
        await publishers[0].emit(Emission(events=settled))
        await asyncio.sleep(_SLOW_COMMIT_S)

    Publisher.__init__ = remembered  # type: ignore[method-assign]
    Store._write = write_told  # type: ignore[method-assign]


def _existence_read_before_the_locks() -> None:
    from contextvars import ContextVar

    from services.transfer.store import SQL, Store

    seen: ContextVar[dict[Any, Any]] = ContextVar("seen", default={})  # noqa: B039 - only ever copied
    settle, ended = Store.settle, Store._ended

    async def settle_looked(self: Store, screened: Sequence[Any], *, retries: int) -> Any:
        ids = [item.instruction.transfer_id for item in screened]
        async with self._database.transaction() as connection:
            seen.set((await ended(self, connection, ids))[1])
        return await settle(self, screened, retries=retries)

    async def remembered(self: Store, connection: Any, ids: Any) -> Any:
        return await connection.fetchval(SQL.now), dict(seen.get())

    Store.settle = settle_looked  # type: ignore[method-assign]
    Store._ended = remembered  # type: ignore[method-assign]


def _conflicts_pass() -> None:
    """Instead of looking: ON CONFLICT DO NOTHING, after the balances have moved."""
    from services.transfer.store import SQL, Store

    async def nothing(self: Store, connection: Any, ids: Any) -> Any:
        return await connection.fetchval(SQL.now), {}

    Store._ended = nothing  # type: ignore[method-assign]
    _change(SQL, "write_settled", lambda text: f"{text} ON CONFLICT DO NOTHING")


def _no_row_lock() -> None:
    from services.transfer.store import SQL

    _change(SQL, "lock_accounts", lambda text: text.replace("FOR NO KEY UPDATE", ""))


def _unsorted_locks() -> None:
    """Each transfer's accounts as it comes to them, source first."""
    from services.transfer.store import SQL, Store

    settle = Store.settle

    async def settle_unsorted(self: Store, screened: Sequence[Any], *, retries: int) -> Any:
        async with self._database.transaction() as connection:
            for item in screened:
                for account_id in (item.instruction.from_account_id, item.instruction.to_account_id):
                    await connection.fetch(SQL.lock_accounts, [account_id])
            return await settle(self, screened, retries=retries)

    Store.settle = settle_unsorted  # type: ignore[method-assign]


def _verdict_recomputed() -> None:
    from services.fraud import store

    store._standing = lambda found: {}
    columns = ("verdict", "reasons", "counted", "decided_at", "payload")
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns)
    _change(store.SQL, "insert_decisions", lambda text: f"{text} ON CONFLICT (transfer_id) DO UPDATE SET {changes}")


def _no_fingerprint() -> None:
    from services.gateway.domain import ids

    ids.fingerprint = lambda payload: "v1:none"


def _flag_without_owner() -> None:
    """A record that is being worked on says so, and neither by whom nor until when."""
    from services.gateway.idempotency import redis

    load = redis.load_scripts
    owned = "if left > 0 and redis.call('EXISTS', 'remit:alive:' .. (holder or '')) == 1 then\n    return left"

    def loaded() -> Mapping[str, bytes]:
        return {name: text.replace(owned.encode(), b"if holder then\n    return 5000") for name, text in load().items()}

    redis.load_scripts = loaded


def _released_twice() -> None:
    """What a failed transfer held is taken off although it was not counted any more."""
    from services.fraud.store import SQL

    counted = "sum(amount_minor) FILTER (WHERE released_at IS NULL)"
    wrong = "sum(CASE WHEN released_at IS NULL THEN amount_minor ELSE -amount_minor END)"
    _change(SQL, "window_usage", lambda text: text.replace(counted, wrong))


def _completed_released() -> None:
    from services.fraud.handlers import Settled
    from shared.contracts.transfer import Status
    from shared.messaging.publisher import Emission

    async def release(self: Settled, items: Sequence[Any], _: Any) -> Emission:
        await self._store.release([item for item in items if item.status is not Status.BLOCKED])
        return Emission()

    Settled.release = release  # type: ignore[method-assign]


def _stale_multiple_ack() -> None:
    """Acknowledges up to the newest message that was delivered, not up to the newest that was carried out."""
    from aio_pika.message import IncomingMessage

    init = IncomingMessage.__init__
    newest: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
    acked: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def remembered(self: Any, message: Any, no_ack: bool = False) -> None:
        init(self, message, no_ack)
        newest[self.channel] = self.delivery_tag or 0

    async def ack(self: Any, multiple: bool = False) -> None:
        channel = self.channel
        tag = newest[channel]
        if tag > acked.get(channel, 0):
            await self.channel.basic_ack(delivery_tag=tag, multiple=True)
            acked[channel] = tag

    IncomingMessage.__init__ = remembered  # type: ignore[method-assign]
    IncomingMessage.ack = ack  # type: ignore[method-assign]


def _reconciler_off() -> None:
    from shared.messaging.reconciler import Reconciler

    async def once(self: Reconciler) -> int:
        return 0

    Reconciler.once = once  # type: ignore[method-assign]


def _sweeper_off() -> None:
    from services.gateway.sweeper import Sweeper

    async def sweep(self: Sweeper) -> None:
        return None

    Sweeper._sweep = sweep  # type: ignore[method-assign]


def _answer_made_anew() -> None:
    """Something in the answer is not of the row: a serial number, a time."""
    from services.gateway.domain import bodies

    outcome = bodies.outcome

    def made(view: Any) -> bytes:
        return outcome(view) + b"\n" * (1 + secrets.randbelow(50))

    bodies.outcome = made


def _nothing() -> None:
    """For bugs that are all damage, and for none."""


def _change(queries: Any, name: str, change: Callable[[str], str]) -> None:
    before = queries._statements[name]
    after = change(before)
    if after == before:
        raise AssertionError(f"the bug does not fit {name} any more")
    queries._statements[name] = after


_WORKERS = frozenset({"fraud", "transfer", "ledger", "audit"})
_TRANSFER, _FRAUD, _GATEWAY = frozenset({"transfer"}), frozenset({"fraud"}), frozenset({"gateway"})

# Which services have it, and how it is put there.
BUGS: Mapping[str, tuple[frozenset[str], Callable[[], None]]] = {
    "ack before commit": (_WORKERS, _ack_before_commit),
    "publish before commit": (_TRANSFER, _publish_before_commit),
    "existence read before the locks": (_TRANSFER, _existence_read_before_the_locks),
    "conflicts pass": (_TRANSFER, _conflicts_pass),
    "unique constraint dropped": (frozenset(), _nothing),
    "nothing": (frozenset(), _nothing),
    "no row lock": (_TRANSFER, _no_row_lock),
    "unsorted locks": (_TRANSFER, _unsorted_locks),
    "verdict recomputed": (_FRAUD, _verdict_recomputed),
    "no fingerprint": (_GATEWAY, _no_fingerprint),
    "flag without owner": (_GATEWAY, _flag_without_owner),
    "released twice": (_FRAUD, _released_twice),
    "completed released": (_FRAUD, _completed_released),
    "stale multiple ack": (_WORKERS, _stale_multiple_ack),
    "reconciler off": (_WORKERS, _reconciler_off),
    "sweeper off": (_GATEWAY, _sweeper_off),
    "answer made anew": (_GATEWAY, _answer_made_anew),
}
