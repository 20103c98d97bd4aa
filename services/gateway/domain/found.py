"""Transfers and accounts as an operator finds them: with whose they are, and whether they are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from services.gateway.domain import bodies
from services.gateway.domain.bodies import AccountBody, Moment, TransferBody
from services.gateway.domain.views import AccountView, TransferView


class FoundTransfer(TransferBody, frozen=True, kw_only=True):
    """A transfer as an operator finds it. `owner_id` is whose limits it counts against, `caller_id` whose key it is."""

    owner_id: UUID
    caller_id: UUID
    idempotency_key: str | None
    is_deleted: bool


class TransferSearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page, newest first. Short of `limit`, or empty, it is the last one only where `next_cursor` is null."""

    items: Sequence[FoundTransfer]
    next_cursor: str | None
    searched_to: Annotated[
        Moment | None, Meta(description="How far back this page has looked; null where it has come to the end.")
    ]
    unknown: Annotated[dict[str, str], Meta(description="What may be missing from this page, and why.")]


def found_transfer(view: TransferView) -> FoundTransfer:
    """The body of a transfer as an operator finds it."""
    return FoundTransfer(
        **msgspec.structs.asdict(bodies.transfer(view)),
        owner_id=view.owner_id,
        caller_id=view.caller_id,
        idempotency_key=view.idempotency_key,
        is_deleted=view.is_deleted,
    )


class FoundAccount(AccountBody, frozen=True, kw_only=True):
    """An account as an operator finds it, and how its owner is called: by address, or by a reference."""

    owner_email: str | None
    owner_reference: str | None


def found_account(view: AccountView, email: str | None, reference: str | None) -> FoundAccount:
    """The body of an account as an operator finds it."""
    body = bodies.account(view, tell_deletion=True)
    return FoundAccount(**msgspec.structs.asdict(body), owner_email=email, owner_reference=reference)
