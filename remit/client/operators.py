"""The calls of the API as flows: what an operator does beside what every customer may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import msgspec

from remit.client.api import PAGE_LIMIT, CustomerCalls, Moment, given
from remit.client.errors import ListTooLong
from remit.client.http import Call, Flow, Found, Listing, Reply, part
from remit.client.models import Account, BatchItem, NewAccount, NewMovement, NewTransfer, Page, Transfer, User
from remit.client.paying import WAIT_MAX_S
from remit.client.payments import Payment, PaymentBatch
from remit.client.reports import (
    AuditPage,
    AuditRow,
    AuditVerification,
    BookVerification,
    DeadLetter,
    FraudStats,
    Verification,
)
from remit.client.sights import (
    FoundAccount,
    FoundPage,
    FoundTransfer,
    Pipeline,
    TrialBalance,
    Usage,
    WholeTimeline,
)

ExportFormat = Literal["csv", "ndjson"]

_AUDIT = "/api/v1/admin/audit-logs"
_TRANSFERS = "/api/v1/admin/transfers"
_ACCEPTED = 202
# A walk over the whole book, or the whole log, takes its time.
_WALK_MAX_S = 600.0


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which rows of the audit log; what is not given is not asked for. A bare date is a whole day in UTC."""

    user_id: str | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    status: str | None = None
    start_date: Moment | None = None
    end_date: Moment | None = None


@dataclass(frozen=True, kw_only=True)
class TransferFilter:
    """Which transfers; what is not given is not asked for. Amounts in major units of `currency`, which they need."""

    id: str | None = None
    idempotency_key: str | None = None
    account_id: str | None = None
    user_id: str | None = None
    status: str | None = None
    start_date: Moment | None = None
    end_date: Moment | None = None
    currency: str | None = None
    min_amount: str | None = None
    max_amount: str | None = None
    include_deleted: bool = False


@dataclass(frozen=True, kw_only=True)
class AllCalls(CustomerCalls):
    """Everything that may be asked. For a customer those of operators raise `Forbidden`."""

    def deposit(
        self,
        account_id: str,
        amount: str | Decimal,
        currency: str,
        *,
        description: str | None = None,
        key: str | None = None,
    ) -> Flow[Transfer]:
        """Puts money into an account and waits for the end; raises as `transfer` does."""
        order = NewMovement(account_id=account_id, amount=amount, currency=currency, description=description)
        return self.payments.pay(Payment.deposit(order, key=key))

    def withdraw(
        self,
        account_id: str,
        amount: str | Decimal,
        currency: str,
        *,
        description: str | None = None,
        key: str | None = None,
    ) -> Flow[Transfer]:
        """Takes money out of an account and waits for the end; raises as `transfer` does."""
        order = NewMovement(account_id=account_id, amount=amount, currency=currency, description=description)
        return self.payments.pay(Payment.withdrawal(order, key=key))

    def open_accounts(self, accounts: Sequence[NewAccount]) -> Flow[list[BatchItem]]:
        """Opens up to 1,000 accounts on their owners' behalf; returns when every item has ended, in their order."""
        return self.payments.pay_batch(PaymentBatch.openings(accounts))

    def make_transfers(self, transfers: Sequence[NewTransfer]) -> Flow[list[BatchItem]]:
        """Makes up to 1,000 transfers, in order, on their owners' behalf; returns when every item has ended."""
        return self.payments.pay_batch(PaymentBatch.for_owners(transfers))

    def all_accounts(
        self,
        *,
        account_id: str | None = None,
        owner_id: str | None = None,
        owner_email: str | None = None,
        owner_reference: str | None = None,
        currency: str | None = None,
        include_deleted: bool = False,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
    ) -> Listing[Page[FoundAccount]]:
        """Every account, or those of an owner or a currency, newest first."""
        chosen = given(
            id=account_id,
            owner_id=owner_id,
            owner_email=owner_email,
            owner_reference=owner_reference,
            currency=currency,
            include_deleted=include_deleted,
        )
        return self._list("/api/v1/admin/accounts", chosen, Page[FoundAccount], cursor, limit)

    def close_any_account(self, account_id: str) -> Flow[None]:
        """The account of whomever is gone from every list; only an empty one can be."""
        yield from self.carrier.carry(Call(method="DELETE", path=f"/api/v1/admin/accounts/{part(account_id)}"))

    def restore_account(self, account_id: str) -> Flow[Account]:
        """A closed account, back; its history never went."""
        call = Call(method="POST", path=f"/api/v1/admin/accounts/{part(account_id)}/restore")
        return (yield from self.carrier.carry(call)).read(Account)

    def delete_transfer(self, transfer_id: str) -> Flow[None]:
        """Hides a transfer that has ended from every list; money, limits, ledger and audit do not move."""
        yield from self.carrier.carry(Call(method="DELETE", path=f"{_TRANSFERS}/{part(transfer_id)}"))

    def restore_transfer(self, transfer_id: str) -> Flow[Transfer]:
        """A hidden transfer, back as it was."""
        call = Call(method="POST", path=f"{_TRANSFERS}/{part(transfer_id)}/restore")
        return (yield from self.carrier.carry(call)).read(Transfer)

    def change_user(self, user_id: str, *, role: str | None = None, is_active: bool | None = None) -> Flow[User]:
        """A user's role or access; whatever is changed, his tokens end."""
        wanted: Mapping[str, object] = {"role": role, "is_active": is_active}
        body = msgspec.json.encode({name: value for name, value in wanted.items() if value is not None})
        call = Call(method="PATCH", path=f"/api/v1/admin/users/{part(user_id)}", body=body)
        return (yield from self.carrier.carry(call)).read(User)

    def pipeline(self) -> Flow[Pipeline]:
        """Where transfers are: the five stages at one look, and in sentences what is wrong."""
        return (yield from self._get("/api/v1/admin/pipeline")).read(Pipeline)

    def find_transfers(
        self, chosen: TransferFilter | None = None, *, cursor: str | None = None, limit: int = PAGE_LIMIT
    ) -> Listing[Page[FoundTransfer]]:
        """Transfers of whomever, in whatever state, newest first. Each page, which may be empty, is a `FoundPage`."""
        asked = {} if chosen is None else given(**vars(chosen))
        return self._list(_TRANSFERS, asked, FoundPage, cursor, limit)

    def whole_timeline(self, transfer_id: str) -> Flow[WholeTimeline]:
        """All that is known of a transfer, hidden or not, and why it is stuck."""
        return (yield from self._get(f"{_TRANSFERS}/{part(transfer_id)}/timeline")).read(WholeTimeline)

    def user_usage(self, user_id: str) -> Flow[Usage]:
        """What a user has used of fraud's limits, at this moment."""
        return (yield from self._get(f"/api/v1/admin/users/{part(user_id)}/usage")).read(Usage)

    def trial_balance(self) -> Flow[TrialBalance]:
        """What all entries come to, by currency; takes its time on a large book."""
        return (yield from self._get("/api/v1/admin/ledger/trial-balance", slow_s=_WALK_MAX_S)).read(TrialBalance)

    def verify_account(self, account_id: str) -> Flow[Verification]:
        """An account against its ledger."""
        return (yield from self._get(f"/api/v1/admin/ledger/verify/{part(account_id)}")).read(Verification)

    def verify_book(self) -> Flow[BookVerification]:
        """Every account against its ledger; takes its time on a large book."""
        return (yield from self._get("/api/v1/admin/ledger/verify", slow_s=_WALK_MAX_S)).read(BookVerification)

    def fraud_stats(self, *, start_date: Moment | None = None, end_date: Moment | None = None) -> Flow[FraudStats]:
        """What fraud's checks came to."""
        chosen = given(start_date=start_date, end_date=end_date)
        return (yield from self._get("/api/v1/admin/fraud-stats", chosen)).read(FraudStats)

    def audit_logs(self, chosen: AuditFilter | None = None, *, limit: int = PAGE_LIMIT) -> Listing[Page[AuditRow]]:
        """Rows of the audit log, newest first. Each page read adds a row of its own; none is listed twice for that.

        Raises:
            ListTooLong: there are more than the API gives out in pages; narrow the filter, or use the export.
        """
        return self._audit_pages({**_filters(chosen), "page_size": str(limit)})

    def export_audit_logs(self, form: ExportFormat, chosen: AuditFilter | None = None) -> Flow[Reply]:
        """All rows that a filter takes, as a file that comes while it is read."""
        parameters = {**_filters(chosen), "format": form}
        call = Call(method="GET", path=f"{_AUDIT}/export", parameters=parameters, changes=False, streamed=True)
        return self.carrier.carry(call)

    def verify_audit_log(self) -> Flow[AuditVerification]:
        """Whether the audit log is what was recorded; takes its time on a long one."""
        return (yield from self._get(f"{_AUDIT}/verify", slow_s=_WALK_MAX_S)).read(AuditVerification)

    def dead_letters(
        self,
        service: str | None = None,
        *,
        closed_too: bool = False,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
    ) -> Listing[Page[DeadLetter]]:
        """What waits for an operator, newest first; of one service or of all."""
        chosen = given(service=service, include_resolved=closed_too)
        return self._list("/api/v1/admin/dead-letters", chosen, Page[DeadLetter], cursor, limit)

    def dead_letter(self, letter_id: str) -> Flow[DeadLetter]:
        """One letter, whole."""
        return (yield from self._get(_letter(letter_id))).read(DeadLetter)

    def replay_dead_letter(self, letter_id: str) -> Flow[tuple[DeadLetter, bool]]:
        """Has its service try again; the letter as it then is, and whether the service has answered."""
        call = Call(method="POST", path=f"{_letter(letter_id)}/replay", wait_s=WAIT_MAX_S)
        reply = yield from self.carrier.carry(call)
        return reply.read(DeadLetter), reply.status != _ACCEPTED

    def discard_dead_letter(self, letter_id: str) -> Flow[bool]:
        """Gives it up; whether its service has answered."""
        call = Call(method="DELETE", path=_letter(letter_id), wait_s=WAIT_MAX_S)
        return (yield from self.carrier.carry(call)).status != _ACCEPTED

    def _audit_pages(self, chosen: Mapping[str, str]) -> Listing[Page[AuditRow]]:
        # Pages are numbered from the newest row: what is recorded meanwhile moves the rest on, onto the next page.
        seen: set[int] = set()
        number = 1
        while True:
            page = (yield from self._get(_AUDIT, {**chosen, "page": str(number)})).read(AuditPage)
            fresh = [row for row in page.items if row.seq not in seen]
            seen.update(row.seq for row in fresh)
            number += 1
            is_last = number > page.pages
            yield Found(Page(items=fresh, next_cursor=None if is_last else str(number)))
            if is_last and page.total_capped:
                raise ListTooLong(f"there are more than {page.total} such rows; narrow the filter, or use the export")
            if is_last:
                return


def _letter(letter_id: str) -> str:
    return f"/api/v1/admin/dead-letters/{part(letter_id)}"


def _filters(chosen: AuditFilter | None) -> dict[str, str]:
    return {} if chosen is None else given(**vars(chosen))
