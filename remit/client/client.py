"""The calls of the API that the program makes, typed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec

from remit.client.errors import NotEnded, TransferRefused, UnexpectedAnswer
from remit.client.http import Call, Credentials, Reply, Session
from remit.client.models import (
    Account,
    BatchAnswer,
    BatchItem,
    DeadLetter,
    NewAccount,
    NewTransfer,
    Order,
    Page,
    Problem,
    Stage,
    Timeline,
    Transfer,
    User,
    Verification,
)
from remit.client.retry import Patience, is_open

# The longest that the API lets a call wait for its end.
_WAIT_MAX_S = 30
# Above what the API itself may take, so that the server's own answer comes first.
_READ_TIMEOUT_S = _WAIT_MAX_S + 15.0
_CONNECT_TIMEOUT_S = 5.0
_PAGE_LIMIT = 200
_STATUS_OF = {"completed": 201, "blocked": 403, "failed": 422}

_ACCEPTED = 202

Body = TypeVar("Body", bound=Order)
Listed = TypeVar("Listed")


class RemitClient:
    """One user's view of the API. Amounts are decimal strings; every call that moves money takes its key."""

    def __init__(self, session: Session, patience: Patience) -> None:
        self._session = session
        self._patience = patience

    async def register(self, email: str, password: str, full_name: str) -> User:
        """A new user. It has no key, so an answer that is lost is not asked for again."""
        body = _json({"email": email, "password": password, "full_name": full_name})
        call = Call(method="POST", path="/api/v1/auth/register", body=body, repeatable=False, authenticated=False)
        return (await self._session.carry(call)).read(User)

    async def me(self) -> User:
        """Who this client is."""
        return (await self._get("/api/v1/auth/me")).read(User)

    async def open_account(self, name: str, currency: str, *, key: str) -> Account:
        """An account of one's own, at zero."""
        reply = await self._post("/api/v1/accounts", _json({"name": name, "currency": currency}), key=key)
        return reply.read(Account)

    async def account(self, account_id: str) -> Account:
        """One account."""
        return (await self._get(f"/api/v1/accounts/{account_id}")).read(Account)

    async def transfer(self, transfer: NewTransfer, *, key: str) -> Transfer:
        """Makes a transfer and waits for its end.

        Raises:
            TransferRefused: it failed or was blocked.
            NotEnded: it is accepted, and not ended in the time given.
        """
        reply = await self._post("/api/v1/transfers", msgspec.json.encode(transfer), key=key, wait_s=_WAIT_MAX_S)
        return await self._followed(reply)

    async def deposit(self, account_id: str, amount: str, currency: str, *, key: str) -> Transfer:
        """Puts money into an account, as an operator, and waits for the end; raises as `transfer` does."""
        body = _json({"account_id": account_id, "amount": amount, "currency": currency})
        reply = await self._post("/api/v1/admin/deposits", body, key=key, wait_s=_WAIT_MAX_S)
        return await self._followed(reply)

    async def transfer_by_id(self, transfer_id: str) -> Transfer:
        """One transfer, as it stands."""
        return (await self._get(f"/api/v1/transfers/{transfer_id}")).read(Transfer)

    async def timeline(self, transfer_id: str) -> Sequence[Stage]:
        """The steps that a transfer has taken so far."""
        return (await self._get(f"/api/v1/transfers/{transfer_id}/timeline")).read(Timeline).items

    async def verify_account(self, account_id: str) -> Verification:
        """An account against its ledger, as an operator."""
        return (await self._get(f"/api/v1/admin/ledger/verify/{account_id}")).read(Verification)

    async def open_accounts(self, accounts: Sequence[NewAccount]) -> Sequence[BatchItem]:
        """Opens up to 1,000 accounts on their owners' behalf; returns when every item has ended, in their order."""
        return await self._batch("/api/v1/admin/accounts/batch", "accounts", accounts)

    async def make_transfers(self, transfers: Sequence[NewTransfer]) -> Sequence[BatchItem]:
        """Makes up to 1,000 transfers, in order, on their owners' behalf; returns when every item has ended."""
        return await self._batch("/api/v1/admin/transfers/batch", "transfers", transfers)

    async def all_accounts(self) -> AsyncIterator[Account]:
        """Every account that is not closed, page by page, as an operator."""
        async for account in self._pages("/api/v1/admin/accounts", {}, Page[Account]):
            yield account

    async def dead_letters(self, service: str | None, *, closed_too: bool) -> AsyncIterator[DeadLetter]:
        """What waits for an operator, newest first, page by page; of one service or of all."""
        chosen = {"include_resolved": "true" if closed_too else "false", **({"service": service} if service else {})}
        async for letter in self._pages("/api/v1/admin/dead-letters", chosen, Page[DeadLetter]):
            yield letter

    async def dead_letter(self, letter_id: str) -> DeadLetter:
        """One letter, whole."""
        return (await self._get(_letter_path(letter_id))).read(DeadLetter)

    async def replay_dead_letter(self, letter_id: str) -> tuple[DeadLetter, bool]:
        """Has its service try again; the letter as it then is, and whether the service has answered."""
        headers = {"Prefer": f"wait={_WAIT_MAX_S}"}
        call = Call(method="POST", path=f"{_letter_path(letter_id)}/replay", headers=headers)
        reply = await self._session.carry(call)
        return reply.read(DeadLetter), reply.status != _ACCEPTED

    async def discard_dead_letter(self, letter_id: str) -> bool:
        """Gives it up; whether its service has answered."""
        call = Call(method="DELETE", path=_letter_path(letter_id), headers={"Prefer": f"wait={_WAIT_MAX_S}"})
        return (await self._session.carry(call)).status != _ACCEPTED

    async def _pages(self, path: str, chosen: Mapping[str, str], kind: type[Page[Listed]]) -> AsyncIterator[Listed]:
        cursor: str | None = None
        while True:
            parameters = {**chosen, "limit": str(_PAGE_LIMIT), **({"cursor": cursor} if cursor else {})}
            page = (await self._get(path, parameters)).read(kind)
            for item in page.items:
                yield item
            if not (cursor := page.next_cursor):
                return

    async def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> Reply:
        return await self._session.carry(Call(method="GET", path=path, parameters=parameters or {}))

    async def _post(self, path: str, body: bytes, *, key: str | None = None, wait_s: int | None = None) -> Reply:
        headers: dict[str, str] = {}
        if key is not None:
            headers["Idempotency-Key"] = key
        if wait_s is not None:
            headers["Prefer"] = f"wait={wait_s}"
        return await self._session.carry(Call(method="POST", path=path, body=body, headers=headers))

    async def _followed(self, reply: Reply) -> Transfer:
        """The end of an accepted transfer; a 202 is followed to its `Location`, which costs no request of the limit."""
        deadline_s = time.monotonic() + self._patience.pending_max_s
        attempt, location, transfer = 0, reply.location, reply.read(Transfer)
        while transfer.status == "pending":
            attempt += 1
            pause_s = self._patience.pause_s(attempt, None)
            if time.monotonic() + pause_s > deadline_s:
                raise NotEnded(f"transfer {transfer.id} is still pending")
            await asyncio.sleep(pause_s)
            transfer = (await self._get(location or f"/api/v1/transfers/{transfer.id}")).read(Transfer)
        if transfer.status != "completed":
            raise TransferRefused(_refusal(transfer))
        return transfer

    async def _batch(self, path: str, field: str, items: Sequence[Body]) -> Sequence[BatchItem]:
        """Asks until no item is open. Each item carries its own key, so only the open ones are asked again."""
        ended: dict[int, BatchItem] = {}
        still_open = list(range(len(items)))
        deadline_s, attempt = time.monotonic() + self._patience.pending_max_s, 0
        while still_open:
            body = _json({field: [items[place] for place in still_open]})
            answer = (await self._post(path, body, wait_s=_WAIT_MAX_S)).read(BatchAnswer)
            if [item.index for item in answer.items] != list(range(len(still_open))):
                raise UnexpectedAnswer(f"{path} answered {len(answer.items)} items out of order or number")
            for place, item in zip(still_open, answer.items, strict=True):
                if not is_open(item.status_code, item.code):
                    ended[place] = msgspec.structs.replace(item, index=place)
            still_open = [place for place in still_open if place not in ended]
            if still_open:
                attempt += 1
                pause_s = self._patience.pause_s(attempt, None)
                if time.monotonic() + pause_s > deadline_s:
                    raise NotEnded(f"{len(still_open)} of {len(items)} items have not ended")
                await asyncio.sleep(pause_s)
        return [ended[place] for place in range(len(items))]


@asynccontextmanager
async def open_client(
    api_url: str,
    credentials: Credentials | None = None,
    *,
    patience: Patience | None = None,
    local_address: str | None = None,
) -> AsyncIterator[RemitClient]:
    """A client of the API at `api_url`; it logs in when first needed. `local_address`: where its calls come from."""
    chosen = patience or Patience()
    transport = httpx.AsyncHTTPTransport(local_address=local_address)
    timeout = httpx.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    async with httpx.AsyncClient(base_url=api_url, transport=transport, timeout=timeout) as http:
        yield RemitClient(Session(http, credentials, chosen), chosen)


def _letter_path(letter_id: str) -> str:
    return f"/api/v1/admin/dead-letters/{quote(letter_id, safe='')}"


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _refusal(transfer: Transfer) -> Problem:
    code = transfer.failure_reason or "transfer_blocked"
    return Problem(
        status=_STATUS_OF.get(transfer.status, 422),
        code=code,
        detail=f"transfer {transfer.id} {transfer.status}",
        transfer_id=transfer.id,
        failure_reason=transfer.failure_reason,
        reasons=transfer.reasons or [],
    )
