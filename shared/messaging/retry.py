"""How a batch is carried to its end: retried while the trouble is transient, bisected when it is not.

Transient is the default reading of trouble: one attempt and three retries, after 1, 2 and 3 s, with the whole batch.
If the database then does not answer or refuses writes, nothing is decided: `ServerDown` tells the consumer to give
its messages back and wait. If it answers, the fault is in the batch: it is bisected, each part tried once, until the
items that fail stand alone, and those are given up one by one. A batch of one is tried once more then, too: its
troubles may have ended between its last try and the answer.

A lock that another session holds is no item's fault, however long it is held: items that meet it are found as others
are, and then go back, not given up (decision 0031).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    wait_chain,
    wait_fixed,
)

from shared.contracts.base import Message
from shared.contracts.naming import named
from shared.database import is_lock_held
from shared.errors import TransientError, Unavailable
from shared.messaging.publisher import Emission
from shared.observability.metrics import GIVEN_UP, RETRIES

log = structlog.get_logger(__name__)

RETRY_WAITS_S = (1.0, 2.0, 3.0)
# Each part that meets a held lock waits for it for the whole `lock_timeout` (2 s). One such item among two thousand is
# found after eleven; where many need what is locked, looking for the others is given up.
LOCKS_MET_MAX = 16

Item = TypeVar("Item", bound=Message)


class ServerDown(TransientError):
    """The database does not answer, refuses writes or has another schema; the messages go back and wait for it."""


class LockHeld(ServerDown):
    """Another session holds what these items need; they go back. All others have reached their end.

    `emission` tells of those others, whose ends are committed.
    """

    def __init__(self, items: Sequence[Message], emission: Emission) -> None:
        super().__init__()
        self.items = items
        self.emission = emission


class NotGivenUp(TransientError):
    """An item failed alone, and its failure could not be written down either; it goes back, and the try counts."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Which try this is: `retries` so far by this worker."""

    retries: int = 0


Work = Callable[[Sequence[Item], Attempt], Awaitable[Emission]]
GiveUp = Callable[[Item, Exception, Attempt], Awaitable[Emission]]


@dataclass(frozen=True, kw_only=True)
class Handler(Generic[Item]):
    """What a service does with one type of message.

    `work` carries a batch to its committed end. `give_up` ends one item that cannot be carried: it commits an outcome
    or parks the item. `is_transient` classes an error; `is_writable` asks the database whether it takes writes. Traces
    call it by its `name`.
    """

    name: str
    work: Work[Item]
    give_up: GiveUp[Item]
    is_transient: Callable[[BaseException], bool]
    is_writable: Callable[[], Awaitable[bool]]
    waits_s: Sequence[float] = field(default_factory=lambda: RETRY_WAITS_S)


async def carry(handler: Handler[Item], items: Sequence[Item]) -> Emission:
    """The emission of `items`, every one of them carried or given up.

    Raises:
        LockHeld: some need what another session holds; the others are carried or given up.
        ServerDown: the database is away; nothing that was not committed is decided.
        NotGivenUp: one item can neither be carried nor given up.
    """
    retries = 0
    try:
        retrying = AsyncRetrying(
            retry=retry_if_exception(handler.is_transient),
            stop=stop_after_attempt(1 + len(handler.waits_s)),
            wait=wait_chain(*(wait_fixed(wait_s) for wait_s in handler.waits_s)),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                retries = attempt.retry_state.attempt_number - 1
                if retries:
                    RETRIES.inc()
                    log.warning("batch_retried", items=len(items), retry=retries)
                return await handler.work(items, Attempt(retries=retries))
    except Exception as error:  # noqa: BLE001 - the class of the error decides there
        return await _Sorting(handler, Attempt(retries=retries)).sort(items, error)
    raise AssertionError("unreachable: tenacity returns or raises")


def locked_out_at_once(handler: Handler[Item]) -> Handler[Item]:
    """`handler`, which tries nothing again because of a lock that another session holds."""
    return replace(handler, is_transient=lambda error: handler.is_transient(error) and not _is_locked_out(error))


class _Sorting(Generic[Item]):
    """What is done with a batch that failed: its items are told apart, and each comes to its own end."""

    def __init__(self, handler: Handler[Item], attempt: Attempt) -> None:
        self._handler = handler
        self._attempt = attempt
        self._locked_out: list[Item] = []
        self._locks_met = 0

    async def sort(self, items: Sequence[Item], error: Exception) -> Emission:
        """As `carry`, of a batch that failed with `error`."""
        emission = await self._after_failure(items, error)
        if self._locked_out:
            raise LockHeld(self._locked_out, emission) from error
        return emission

    async def _after_failure(self, items: Sequence[Item], error: Exception, *, is_part: bool = False) -> Emission:
        if isinstance(error, NotGivenUp):
            raise error
        if isinstance(error, Unavailable) or not await self._handler.is_writable():
            raise ServerDown from error
        if _is_locked_out(error):
            self._locks_met += 1
            if len(items) == 1:
                return self._lock_out(items)
        if len(items) > 1:
            log.warning("batch_bisected", items=len(items), error=type(error).__name__)
            middle = len(items) // 2
            # In order, so that what one caller asked first still happens first.
            parts = [await self._try_part(part) for part in (items[:middle], items[middle:])]
            return Emission.joined(parts)
        if not is_part and self._handler.is_transient(error):
            return await self._try_part(items)
        return await self._give_up(items[0], error)

    async def _try_part(self, items: Sequence[Item]) -> Emission:
        """The database has just taken a write: what fails now, fails by itself."""
        if self._locks_met > LOCKS_MET_MAX:
            return self._lock_out(items)
        try:
            return await self._handler.work(items, self._attempt)
        except Exception as error:  # noqa: BLE001 - as in `carry`
            return await self._after_failure(items, error, is_part=True)

    def _lock_out(self, items: Sequence[Item]) -> Emission:
        self._locked_out += items
        return Emission()

    async def _give_up(self, item: Item, error: Exception) -> Emission:
        GIVEN_UP.labels(item.TYPE).inc()
        log.error(
            "item_given_up",
            type=item.TYPE,
            event_id=str(item.event_id),
            **named(item),
            error=type(error).__name__,
            exc_info=error,
        )
        try:
            return await self._handler.give_up(item, error, self._attempt)
        except Exception as failure:
            if _is_locked_out(failure):
                return self._lock_out([item])
            raise NotGivenUp from failure


def _is_locked_out(error: BaseException) -> bool:
    # A replay carries an item inside its own handler.
    return isinstance(error, LockHeld) or is_lock_held(error)
