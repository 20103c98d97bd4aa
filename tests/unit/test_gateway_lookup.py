"""Reading a transfer while it goes from its record to a decision to its row: it is never between the places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from services.gateway.domain import views
from services.gateway.domain.views import TransferView
from services.gateway.identity.callers import Caller
from services.gateway.reads.lookup import TransferLookup
from services.gateway.reads.transfers import FullView
from tests.support.builders import settled

_EVENT = settled()
_VIEW = views.settled(_EVENT)


class _Ends:
    """All tables, and Redis: the transfer ends right after the first look at its row."""

    def __init__(self) -> None:
        self.looks = 0

    async def full(self, transfer_id: UUID) -> FullView | None:
        self.looks += 1
        return FullView(view=_VIEW, payee_id=None) if self.looks > 1 else None

    async def rows(self, transfer_ids: Sequence[UUID]) -> dict[UUID, TransferView]:
        return {_VIEW.transfer_id: _VIEW}

    async def decisions(self, transfer_ids: Sequence[UUID]) -> dict[UUID, Any]:
        return {}

    async def find(self, transfer_ids: Sequence[UUID]) -> list[list[Any]]:
        return [[]]


def _lookup() -> TransferLookup:
    ends: Any = _Ends()
    return TransferLookup(ends, ends, ends)


def _caller(user_id: UUID) -> Caller:
    claims: Any = None
    return Caller(user_id=user_id, is_admin=False, claims=claims, context=_EVENT.instruction.context)


async def test_a_transfer_that_ends_between_two_looks_is_found() -> None:
    """Its record is gone from Redis once it has ended, and the look at its row came before: so look again."""
    assert await _lookup().one(_caller(_VIEW.owner_id), _VIEW.transfer_id) == _VIEW


async def test_one_that_ends_between_two_looks_is_still_not_shown_to_others() -> None:
    assert await _lookup().one(_caller(uuid4()), _VIEW.transfer_id) is None
