"""The calls of the API as flows: what a customer does. Amounts are decimal strings in major units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

import msgspec

from remit.client.carrying import Carrier
from remit.client.errors import ClientError, NotEnded, OutcomeUnknown
from remit.client.http import Call, Credentials, Flow, Found, Listing, Reply, part
from remit.client.models import (
    Account,
    BatchItem,
    Entry,
    NewTransfer,
    Page,
    Stage,
    Timeline,
    Token,
    Transfer,
    User,
)
from remit.client.paying import Payments
from remit.client.payments import Payment, PaymentBatch, checked

# The most that the API gives out at once.
PAGE_LIMIT = 200

Listed = TypeVar("Listed")
# A bare date is a whole day in UTC.
Moment = datetime | date | str


@dataclass(frozen=True, kw_only=True)
class CustomerCalls:
    """What somebody with a login may ask. Each method is a flow; the clients run them."""

    carrier: Carrier

    @property
    def payments(self) -> Payments:
        """Those calls that move money."""
        return Payments(carrier=self.carrier)

    def register(self, email: str, password: str, full_name: str) -> Flow[User]:
        """A new user. It has no key, so an answer that is lost is not asked for again."""
        body = _json({"email": email, "password": password, "full_name": full_name})
        call = Call(method="POST", path="/api/v1/auth/register", body=body, repeatable=False, authenticated=False)
        return (yield from self.carrier.carry(call)).read(User)

    def login(self, email: str, password: str) -> Flow[Token]:
        """Logs in as this user from now on, whoever it was before. The password is not kept, nor the token renewed."""
        token = yield from self.carrier.log_in(Credentials(email=email, password=password))
        self.carrier.identity.credentials = None
        return token

    def logout(self) -> Flow[None]:
        """Ends the token everywhere, at once. A client with credentials logs in again when it is next asked."""
        if self.carrier.identity.fresh(self.carrier.clock()) is not None:
            yield from self.carrier.carry(Call(method="POST", path="/api/v1/auth/logout", changes=False))
        self.carrier.identity.leave()

    def me(self) -> Flow[User]:
        """Who this client is."""
        return (yield from self._get("/api/v1/auth/me")).read(User)

    def open_account(self, name: str, currency: str, *, key: str | None = None) -> Flow[Account]:
        """An account of one's own, at zero. The same key opens it once; without one, one is made for this call."""
        key = checked(key)
        call = Call(method="POST", path="/api/v1/accounts", body=_json({"name": name, "currency": currency}), key=key)
        try:
            return (yield from self.carrier.carry(call)).read(Account)
        except ClientError as error:
            error.idempotency_key = key
            raise

    def account(self, account_id: str) -> Flow[Account]:
        """One account."""
        return (yield from self._get(_account(account_id))).read(Account)

    def accounts(self, *, cursor: str | None = None, limit: int = PAGE_LIMIT) -> Listing[Page[Account]]:
        """One's own accounts, newest first."""
        return self._list("/api/v1/accounts", {}, Page[Account], cursor, limit)

    def rename_account(self, account_id: str, name: str) -> Flow[Account]:
        """The account under another name."""
        call = Call(method="PATCH", path=_account(account_id), body=_json({"name": name}))
        return (yield from self.carrier.carry(call)).read(Account)

    def close_account(self, account_id: str) -> Flow[None]:
        """The account is gone from every list; only an empty one can be."""
        yield from self.carrier.carry(Call(method="DELETE", path=_account(account_id)))

    def entries(
        self,
        account_id: str,
        *,
        start_date: Moment | None = None,
        end_date: Moment | None = None,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
    ) -> Listing[Page[Entry]]:
        """The statement, newest first, up to the ledger's first gap: all of it, or what was settled in a time."""
        chosen = given(start_date=start_date, end_date=end_date)
        return self._list(f"{_account(account_id)}/entries", chosen, Page[Entry], cursor, limit)

    def transfer(self, order: NewTransfer, *, key: str | None = None) -> Flow[Transfer]:
        """Makes a transfer and waits for its end; short for `resume(Payment.transfer(order, key=key))`.

        Raises:
            TransferRefused: it is blocked, or has failed.
            OutcomeUnknown: it may or may not have been made.
            NotEnded: it is accepted, and not ended in the time given.
        """
        return self.payments.pay(Payment.transfer(order, key=key))

    def transfer_batch(self, orders: Sequence[NewTransfer], *, key: str | None = None) -> Flow[list[BatchItem]]:
        """Makes up to 1,000 transfers, in order and each on its own, and waits for their ends; raises as `transfer`.

        A refused one is an item with its problem, and no error.
        """
        return self.payments.pay_batch(PaymentBatch.transfers(orders, key=key))

    def submit(self, payment: Payment) -> Flow[Transfer]:
        """Has a payment accepted and does not wait: the transfer as it stands, most often pending."""
        return self.payments.submit(payment)

    def resume(self, payment: Payment | OutcomeUnknown | NotEnded) -> Flow[Transfer]:
        """Asks for a payment, for the first time or again, and waits for its end. It is made once, however often asked.

        Raises:
            TypeError: the error is none of a single payment.
        """
        if isinstance(payment, NotEnded) and payment.payment is None and payment.transfer is not None:
            return self.payments.follow(payment.transfer.id)
        wanted = payment if isinstance(payment, Payment) else payment.payment
        if not isinstance(wanted, Payment):
            raise TypeError("that is no single payment: `resume_batch` asks for a batch, the call itself for the rest")
        return self.payments.pay(wanted)

    def resume_batch(self, batch: PaymentBatch | OutcomeUnknown | NotEnded) -> Flow[list[BatchItem]]:
        """The same for a batch.

        Raises:
            TypeError: the error is none of a batch.
        """
        wanted = batch if isinstance(batch, PaymentBatch) else batch.payment
        if not isinstance(wanted, PaymentBatch):
            raise TypeError("that is no batch: `resume` asks for a single payment, the call itself for the rest")
        return self.payments.pay_batch(wanted)

    def wait_for(self, transfer_id: str) -> Flow[Transfer]:
        """The transfer once it has completed; raises as `transfer` does."""
        return self.payments.follow(transfer_id)

    def transfer_by_id(self, transfer_id: str) -> Flow[Transfer]:
        """One transfer, as it stands; a refused one, too, is no error here."""
        return (yield from self._get(_transfer(transfer_id))).read(Transfer)

    def transfers(
        self,
        *,
        account_id: str | None = None,
        status: str | None = None,
        start_date: Moment | None = None,
        end_date: Moment | None = None,
        key: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
    ) -> Listing[Page[Transfer]]:
        """One's own transfers, newest first: of an account, in a state, in a time, or all that `key` stands for."""
        chosen = given(
            account_id=account_id, status=status, start_date=start_date, end_date=end_date, idempotency_key=key
        )
        return self._list("/api/v1/transfers", chosen, Page[Transfer], cursor, limit)

    def timeline(self, transfer_id: str) -> Flow[Sequence[Stage]]:
        """The steps that a transfer has taken so far."""
        return (yield from self._get(f"{_transfer(transfer_id)}/timeline")).read(Timeline).items

    def _list(
        self, path: str, chosen: Mapping[str, str], kind: type[Page[Listed]], cursor: str | None, limit: int
    ) -> Listing[Page[Listed]]:
        while True:
            page = (yield from self._get(path, {**chosen, **given(limit=limit, cursor=cursor)})).read(kind)
            yield Found(page)
            cursor = page.next_cursor
            if cursor is None:
                return

    def _get(self, path: str, parameters: Mapping[str, str] | None = None, *, slow_s: float = 0.0) -> Flow[Reply]:
        call = Call(method="GET", path=path, parameters=parameters or {}, changes=False, slow_s=slow_s)
        return self.carrier.carry(call)


def given(**parameters: Moment | int | bool | None) -> dict[str, str]:
    """What is given, as a query says it."""
    return {name: _text(value) for name, value in parameters.items() if value is not None}


def _text(value: Moment | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def _account(account_id: str) -> str:
    return f"/api/v1/accounts/{part(account_id)}"


def _transfer(transfer_id: str) -> str:
    return f"/api/v1/transfers/{part(transfer_id)}"


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
