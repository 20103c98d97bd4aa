"""How a batch is carried to its end: retried while the trouble is transient, bisected when it is not.

Transient is the default reading of trouble: one attempt and three retries, after 1, 2 and 3 s, with the whole batch.
If the database then does not answer or refuses writes, nothing is decided: `ServerDown` tells the consumer to give
its messages back and wait. If it answers, the fault is in the batch: it is bisected, each part tried once, until the
items that fail stand alone, and those are given up one by one. A batch of one is tried once more then, too: its
troubles may have ended between its last try and the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
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
from shared.errors import TransientError, Unavailable
from shared.messaging.publisher import Emission
from shared.observability.metrics import GIVEN_UP, RETRIES

log = structlog.get_logger(__name__)

RETRY_WAITS_S = (1.0, 2.0, 3.0)

Item = TypeVar("Item", bound=Message)


class ServerDown(TransientError):
    """The database does not answer, refuses writes or has another schema; the messages go back and wait for it."""


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
    except Exception as error:  # noqa: BLE001 - the class of the error decides below
        return await _after_failure(handler, items, error, Attempt(retries=retries))
    raise AssertionError("unreachable: tenacity returns or raises")


async def _after_failure(
    handler: Handler[Item], items: Sequence[Item], error: Exception, attempt: Attempt, *, is_part: bool = False
) -> Emission:
    if isinstance(error, NotGivenUp):
        raise error
    if isinstance(error, Unavailable) or not await handler.is_writable():
        raise ServerDown from error
    if len(items) > 1:
        log.warning("batch_bisected", items=len(items), error=type(error).__name__)
        middle = len(items) // 2
        # In order, so that what one caller asked first still happens first.
        parts = [await _try_part(handler, part, attempt) for part in (items[:middle], items[middle:])]
        return Emission.joined(parts)
    if not is_part and handler.is_transient(error):
        return await _try_part(handler, items, attempt)
    return await _give_up(handler, items[0], error, attempt)


async def _try_part(handler: Handler[Item], items: Sequence[Item], attempt: Attempt) -> Emission:
    """The database has just taken a write: what fails now, fails by itself."""
    try:
        return await handler.work(items, attempt)
    except Exception as error:  # noqa: BLE001 - as in `carry`
        return await _after_failure(handler, items, error, attempt, is_part=True)


async def _give_up(handler: Handler[Item], item: Item, error: Exception, attempt: Attempt) -> Emission:
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
        return await handler.give_up(item, error, attempt)
    except Exception as failure:
        raise NotGivenUp from failure
