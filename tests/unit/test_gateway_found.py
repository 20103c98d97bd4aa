"""What operators find: transfers and accounts with whose they are, and a trial balance that adds up by currency."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec

from services.gateway.domain import bodies, found, views
from services.gateway.domain.trial_balance import CurrencyBalance, Sums, trial_balance
from services.gateway.domain.views import AccountView
from tests.support.builders import NOON, instruction

_OWNER, _ACCOUNT = UUID(int=7), UUID(int=8)


def sums(currency: str, debits_minor: int, credits_minor: int, *, minutes: int = 0) -> Sums:
    return Sums(
        currency=currency,
        debits_minor=debits_minor,
        credits_minor=credits_minor,
        accounts=2,
        entries=4,
        newest_at=NOON + timedelta(minutes=minutes),
    )


def test_a_transfer_is_found_as_its_owner_sees_it_and_with_whose_it_is() -> None:
    view = views.pending(instruction())
    body = msgspec.structs.asdict(found.found_transfer(view))
    own = {name: body.pop(name) for name in ("owner_id", "caller_id", "idempotency_key", "is_deleted")}
    assert body == msgspec.structs.asdict(bodies.transfer(view))
    assert own == {
        "owner_id": view.owner_id,
        "caller_id": view.caller_id,
        "idempotency_key": view.idempotency_key,
        "is_deleted": view.is_deleted,
    }


def test_an_account_is_found_with_how_its_owner_is_called_and_whether_it_is_closed() -> None:
    view = AccountView(
        account_id=_ACCOUNT,
        owner_id=_OWNER,
        name="Main",
        currency="USD",
        balance_minor=1_050,
        account_seq=3,
        version=2,
        created_at=NOON,
        updated_at=NOON,
        is_deleted=True,
    )
    body = msgspec.structs.asdict(found.found_account(view, "ada@example.com", None))
    assert (body.pop("owner_email"), body.pop("owner_reference")) == ("ada@example.com", None)
    assert body == msgspec.structs.asdict(bodies.account(view, tell_deletion=True))
    assert found.found_account(view, None, "acme-1").owner_reference == "acme-1"


def test_a_trial_balance_tells_each_currency_apart() -> None:
    answer = trial_balance([sums("USD", 1_050, 1_050), sums("JPY", 7, 7, minutes=5)], as_of=NOON, took_s=0.12345)
    assert (answer.status, answer.as_of, answer.took_s) == ("balanced", NOON, 0.123)
    assert answer.newest_entry_at == NOON + timedelta(minutes=5)
    assert answer.currencies == {
        "USD": CurrencyBalance(debits="10.50", credits="10.50", difference="0.00", accounts=2, entries=4),
        "JPY": CurrencyBalance(debits="7", credits="7", difference="0", accounts=2, entries=4),
    }


def test_one_currency_that_does_not_balance_is_enough() -> None:
    """However well another makes up for it."""
    answer = trial_balance([sums("USD", 1_050, 1_000), sums("EUR", 1_000, 1_050)], as_of=NOON, took_s=0)
    assert answer.status == "unbalanced"
    assert [line.difference for line in answer.currencies.values()] == ["0.50", "-0.50"]


def test_an_empty_ledger_balances() -> None:
    answer = trial_balance([], as_of=NOON, took_s=0)
    assert (answer.status, answer.newest_entry_at, answer.currencies) == ("balanced", None, {})
