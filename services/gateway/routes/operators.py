"""An operator's money: deposits, withdrawals, and batches on behalf of owners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls.batches import BatchCall, Batches
from services.gateway.calls.openings import OpeningItem, Openings
from services.gateway.calls.transfers import Transfers, instruction_of
from services.gateway.domain import ids, parsing, requests
from services.gateway.domain.bodies import AccountItems, TransferBody, TransferItems
from services.gateway.domain.parsing import Order
from services.gateway.errors import FieldError, KeyMissing, ValidationFailed
from services.gateway.http.openapi import Call
from services.gateway.http.reading import BATCH_BYTES_MAX, Reader, command_wait_s, idempotency_key, required_key, wait_s
from services.gateway.http.responses import answer
from services.gateway.idempotency.metrics import as_answered, count_reused, counted, replay_or_claim
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.accounts import AccountReads
from services.gateway.routes.transfers import batch_answer, transfer_answer
from shared.contracts.gateway import BatchPlace, Kind
from shared.ids import random_id


class OperatorRoutes:
    """The calls under `/admin` that move money or open accounts. No address limit counts them."""

    def __init__(
        self,
        reader: Reader,
        callers: Callers,
        transfers: Transfers,
        batches: Batches,
        openings: Openings,
        accounts: AccountReads,
    ) -> None:
        self._reader = reader
        self._callers = callers
        self._transfers = transfers
        self._batches = batches
        self._openings = openings
        self._accounts = accounts

    def calls(self) -> list[Call]:
        """The table."""
        at, tag = "/api/v1/admin", "operators"
        return [
            Call(method="POST", path=f"{at}/deposits", endpoint=self.deposit, summary="Money into an account", tag=tag,
                 key="required", waits=True, body=requests.OperatorTransfer, answers=TransferBody, status=201,
                 also=(202, 403, 404, 409)),
            Call(method="POST", path=f"{at}/withdrawals", endpoint=self.withdraw, summary="Money out of an account",
                 tag=tag, key="required", waits=True, body=requests.OperatorTransfer, answers=TransferBody, status=201,
                 also=(202, 403, 404, 409)),
            Call(method="POST", path=f"{at}/transfers/batch", endpoint=self.transfer_batch, tag=tag, key="optional",
                 summary="Transfers on behalf of the source accounts' owners", waits=True, also=(403, 409),
                 body=requests.KeyedTransferBatch, answers=TransferItems),
            Call(method="POST", path=f"{at}/accounts/batch", endpoint=self.account_batch, tag=tag, key="optional",
                 summary="Open accounts, with opening balances, for owners known by a reference", waits=True,
                 also=(403, 409), body=requests.KeyedAccountBatch, answers=AccountItems),
        ]  # fmt: skip

    async def deposit(self, request: Request) -> Response:
        """From the currency's settlement account."""
        return await self._move(request, Kind.DEPOSIT, ids.DEPOSITS)

    async def withdraw(self, request: Request) -> Response:
        """To the currency's settlement account."""
        return await self._move(request, Kind.WITHDRAWAL, ids.WITHDRAWALS)

    async def _move(self, request: Request, kind: Kind, operation: str) -> Response:
        caller = await self._callers.admin(request)
        key = required_key(request)
        body = await self._reader.body(request, requests.OperatorTransfer)
        (order,) = parsing.checked(lambda: parsing.operator_order(kind, body))
        instruction = instruction_of(order, caller, ids.transfer_id(caller.user_id, operation, key), key=key)
        carrying = self._transfers.carry(instruction, wait_s=wait_s(request), address="")
        return transfer_answer(await counted(operation, carrying, as_answered))

    async def transfer_batch(self, request: Request) -> Response:
        """Transfers in order; each counts against the limits of its source account's owner."""
        caller = await self._callers.admin(request)
        key = idempotency_key(request)
        body = await self._reader.body(request, requests.KeyedTransferBatch, bytes_max=BATCH_BYTES_MAX)
        check_keys("transfers", key, [item.idempotency_key for item in body.transfers])
        orders = parsing.each("transfers", body.transfers, parsing.transfer_order)
        accounts = await self._accounts.accounts(list({order.from_account_id for order in orders}))
        owners = {account_id: account.owner_id for account_id, account in accounts.items()}
        call = keyed_batch(caller, key, [item.idempotency_key for item in body.transfers], orders, owners)
        carrying = self._batches.carry(call, caller, wait_s=wait_s(request))
        return batch_answer(await counted(ids.ADMIN_TRANSFERS_BATCH, carrying, as_answered))

    async def account_batch(self, request: Request) -> Response:
        """Owners, their accounts, and what those hold from the start."""
        caller = await self._callers.admin(request)
        key = idempotency_key(request)
        body = await self._reader.body(request, requests.KeyedAccountBatch, bytes_max=BATCH_BYTES_MAX)
        check_keys("accounts", key, [item.idempotency_key for item in body.accounts])
        items = parsing.each("accounts", body.accounts, _opening)
        carrying = self._openings.carry(items, caller, key=key, wait_s=command_wait_s(request))
        found = await counted(ids.ADMIN_ACCOUNTS_BATCH, carrying, lambda found: replay_or_claim(found.is_replay))
        count_reused(found.items)
        headers = {"Idempotent-Replayed": "true"} if found.is_replay else None
        return answer(AccountItems(items=found.items), 200, headers)


def check_keys(name: str, key: str | None, own: Sequence[str | None]) -> None:
    """Every item needs a key: its own, or the call's; and no two the same.

    Raises:
        KeyMissing: an item has neither.
        ValidationFailed: two items have the same.
    """
    if key is None and any(item is None for item in own):
        raise KeyMissing("Give the call an Idempotency-Key, or every item an idempotency_key of its own.")
    counted = Counter(item for item in own if item is not None)
    twice = [index for index, item in enumerate(own) if item is not None and counted[item] > 1]
    if twice:
        message = "stands twice in this call"
        raise ValidationFailed(
            [FieldError(field=f"{name}[{i}].idempotency_key", message=message, index=i) for i in twice]
        )


def keyed_batch(
    caller: Caller,
    key: str | None,
    own_keys: Sequence[str | None],
    orders: Sequence[Order],
    owners: dict[UUID, UUID | None],
) -> BatchCall:
    """A batch call of an operator. Ids derive from an item's own key whatever the batch, else from its place."""
    operation, caller_id, count = ids.ADMIN_TRANSFERS_BATCH, caller.user_id, len(orders)
    prints = [f"{own or ''}/{ids.fingerprint(order)}" for own, order in zip(own_keys, orders, strict=True)]
    fingerprint = ids.fingerprint_of("batch", prints)
    batch_id = random_id() if key is None else ids.batch_id(caller_id, operation, key)
    instructions, unpublished = [], set()
    for index, (own, order) in enumerate(zip(own_keys, orders, strict=True)):
        owner_id = owners.get(order.from_account_id)
        if owner_id is None:
            unpublished.add(index)
        transfer_id = (
            ids.transfer_id(caller_id, operation, own)
            if own is not None
            else ids.transfer_id(caller_id, operation, key or "", index)
        )
        place = BatchPlace(batch_id=batch_id, fingerprint=fingerprint, index=index, count=count)
        instructions.append(instruction_of(order, caller, transfer_id, key=own or key, owner_id=owner_id, batch=place))
    return BatchCall(
        batch_id=batch_id,
        fingerprint=fingerprint,
        instructions=instructions,
        unpublished=frozenset(unpublished),
        keyed=frozenset(index for index, own in enumerate(own_keys) if own is not None),
    )


def _opening(body: requests.KeyedAccount) -> OpeningItem:
    return OpeningItem(
        reference=parsing.visible(body.owner_reference, "owner_reference"),
        name=parsing.visible(body.name, "name"),
        currency=parsing.currency(body.currency),
        opening_minor=parsing.opening_balance(body.opening_balance, body.currency),
        key=body.idempotency_key,
    )
