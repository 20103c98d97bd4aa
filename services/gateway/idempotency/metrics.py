"""How calls with an idempotency key are met: each counted once, as it is answered, whoever decided (Redis or a row)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

from prometheus_client import Counter

from services.gateway.domain import ids
from services.gateway.domain.bodies import AccountItemBody, TransferItemBody
from services.gateway.errors import KeyReused, OutcomeUnknown, RequestInProgress


class How(StrEnum):
    """What a key meant to its call. Calls refused before their key was looked at, or with nothing begun, have none."""

    CLAIM = "claim"
    # It went on with what an earlier call had begun, and nobody had seen end.
    RESUME = "resume"
    REPLAY = "replay"
    # 409 `request_in_progress`
    CONFLICT = "conflict"
    # 422 `idempotency_key_reused`
    REUSE = "reuse"
    # 503 `outcome_unknown`, or nobody waited for the answer.
    UNKNOWN = "unknown"


CALLS = Counter(
    "remit_idempotency_calls_total", "Calls with an idempotency key, once each, as answered.", ["operation", "how"]
)
TAKEOVERS = Counter(
    "remit_idempotency_takeovers_total", "Keys taken over from a call whose gateway died or whose lease ran out."
)
REUSED_ITEMS = Counter(
    "remit_idempotency_reused_items_total", "Items answered `idempotency_key_reused` in batches that went on."
)

_OPERATIONS = (
    ids.TRANSFERS,
    ids.TRANSFERS_BATCH,
    ids.DEPOSITS,
    ids.WITHDRAWALS,
    ids.ACCOUNTS,
    ids.ADMIN_TRANSFERS_BATCH,
    ids.ADMIN_ACCOUNTS_BATCH,
)
for _operation in _OPERATIONS:
    for _how in How:
        CALLS.labels(_operation, _how)


class Resumable(Protocol):
    """An answer that knows what it rests on."""

    @property
    def is_replay(self) -> bool: ...
    @property
    def is_resumed(self) -> bool: ...


Found = TypeVar("Found")


def as_answered(found: Resumable) -> How:
    """How the call of this answer was met."""
    if found.is_replay:
        return How.REPLAY
    return How.RESUME if found.is_resumed else How.CLAIM


def replay_or_claim(is_replay: bool) -> How:
    """How a call was met that cannot go on with another's."""
    return How.REPLAY if is_replay else How.CLAIM


async def counted(operation: str, carrying: Awaitable[Found], how: Callable[[Found], How]) -> Found:
    """What `carrying` finds; `how` tells from that how the key was met, where no error tells it."""
    try:
        found = await carrying
    except KeyReused:
        CALLS.labels(operation, How.REUSE).inc()
        raise
    except RequestInProgress:
        CALLS.labels(operation, How.CONFLICT).inc()
        raise
    except (OutcomeUnknown, asyncio.CancelledError):
        CALLS.labels(operation, How.UNKNOWN).inc()
        raise
    CALLS.labels(operation, how(found)).inc()
    return found


def count_reused(items: Sequence[TransferItemBody] | Sequence[AccountItemBody]) -> None:
    """Counts the items of a batch whose own keys, or places under its key, were used for something else."""
    for item in items:
        if getattr(item.problem, "code", None) == KeyReused.code:
            REUSED_ITEMS.inc()
