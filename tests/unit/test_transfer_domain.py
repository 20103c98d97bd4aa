"""How transfers settle, as tables."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.transfer import domain
from services.transfer.domain import Account, Book, CommandResult
from shared.contracts.fraud import Verdict
from shared.contracts.gateway import Kind
from shared.contracts.transfer import AccountKind, AccountState, CommandOutcome, FailureReason, Status
from shared.money import MAX_MINOR
from tests.support.builders import ALICE, BOB, NOON, instruction, screened

A, B, CLOSED, EURO, FULL = (UUID(int=number) for number in range(1, 6))
SETTLEMENT = UUID(int=99)


def account(account_id: UUID, owner: UUID | None = ALICE, balance_minor: int = 5_000, **changes: object) -> Account:
    fields: dict[str, object] = {
        "account_id": account_id,
        "owner_id": owner,
        "kind": AccountKind.CUSTOMER,
        "currency": "USD",
        "balance_minor": balance_minor,
        "account_seq": 7,
        "is_deleted": False,
    }
    return Account(**{**fields, **changes})  # type: ignore[arg-type]


def book() -> Book:
    return Book(
        [
            account(A),
            account(B, BOB, 0),
            account(CLOSED, BOB, 0, is_deleted=True),
            account(EURO, BOB, 0, currency="EUR"),
            account(FULL, BOB, MAX_MINOR - 10),
            account(SETTLEMENT, None, -100, kind=AccountKind.SETTLEMENT),
        ]
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"amount_minor": 5_000}, None),
        ({"from_account_id": A, "to_account_id": A}, FailureReason.SAME_ACCOUNT),
        ({"to_account_id": A, "amount_minor": 9_999}, FailureReason.SAME_ACCOUNT),
        ({"from_account_id": uuid4()}, FailureReason.ACCOUNT_NOT_FOUND),
        ({"owner_id": BOB}, FailureReason.ACCOUNT_NOT_FOUND),
        ({"from_account_id": SETTLEMENT}, FailureReason.ACCOUNT_NOT_FOUND),
        ({"from_account_id": uuid4(), "to_account_id": uuid4()}, FailureReason.ACCOUNT_NOT_FOUND),
        ({"to_account_id": uuid4()}, FailureReason.DESTINATION_NOT_FOUND),
        ({"to_account_id": SETTLEMENT}, FailureReason.DESTINATION_NOT_FOUND),
        ({"to_account_id": CLOSED}, FailureReason.ACCOUNT_CLOSED),
        ({"from_account_id": CLOSED, "owner_id": BOB}, FailureReason.ACCOUNT_CLOSED),
        ({"to_account_id": EURO}, FailureReason.CURRENCY_MISMATCH),
        ({"currency": "EUR"}, FailureReason.CURRENCY_MISMATCH),
        ({"amount_minor": 5_001}, FailureReason.INSUFFICIENT_FUNDS),
        ({"to_account_id": FULL, "amount_minor": 11}, FailureReason.BALANCE_LIMIT),
        ({"kind": Kind.DEPOSIT, "from_account_id": SETTLEMENT}, None),
        ({"kind": Kind.DEPOSIT, "from_account_id": SETTLEMENT, "to_account_id": uuid4()}, "destination_not_found"),
        ({"kind": Kind.DEPOSIT}, FailureReason.ACCOUNT_NOT_FOUND),
        ({"kind": Kind.WITHDRAWAL, "to_account_id": SETTLEMENT, "owner_id": BOB}, None),
        ({"kind": Kind.WITHDRAWAL, "to_account_id": SETTLEMENT, "amount_minor": 5_001}, "insufficient_funds"),
        ({"kind": Kind.WITHDRAWAL}, FailureReason.DESTINATION_NOT_FOUND),
    ],
)
def test_the_first_check_that_fails_is_the_reason(changes: dict[str, Any], reason: str | None) -> None:
    item = screened(Verdict.APPROVED, **{"from_account_id": A, "to_account_id": B, **changes})
    [ended] = domain.settle(book(), [item], now=NOON, retries=0)
    assert ended.failure_reason == reason
    assert ended.status == (Status.FAILED if reason else Status.COMPLETED)


def test_a_completed_transfer_states_both_postings() -> None:
    held = book()
    [ended] = domain.settle(held, [screened(from_account_id=A, to_account_id=B)], now=NOON, retries=2)
    assert ended.debit is not None
    assert ended.credit is not None
    assert (ended.debit.balance_before_minor, ended.debit.balance_after_minor) == (5_000, 4_000)
    assert (ended.credit.balance_before_minor, ended.credit.balance_after_minor) == (0, 1_000)
    assert (ended.debit.account_seq, ended.credit.account_seq) == (8, 8)
    assert ended.retry_count == 2
    assert [changed.account_id for changed in held.changed] == [A, B]


def test_a_refusal_changes_nothing_and_says_what_it_saw() -> None:
    held = book()
    [ended] = domain.settle(
        held, [screened(from_account_id=A, to_account_id=B, amount_minor=5_001)], now=NOON, retries=0
    )
    assert held.changed == []
    assert ended.seen is not None
    assert (ended.seen.balance_minor, ended.seen.account_seq) == (5_000, 7)


def test_a_blocked_transfer_is_never_checked_against_accounts() -> None:
    [ended] = domain.settle(book(), [screened(Verdict.BLOCKED, from_account_id=uuid4())], now=NOON, retries=0)
    assert (ended.status, ended.failure_reason) == (Status.BLOCKED, None)


def test_a_batch_is_applied_in_order() -> None:
    """Money that arrives earlier in the batch can be spent later in it, and not the other way round."""
    forth = screened(from_account_id=A, to_account_id=B, amount_minor=5_000)
    back = screened(from_account_id=B, to_account_id=A, amount_minor=4_000, owner_id=BOB)
    ended = domain.settle(book(), [forth, back], now=NOON, retries=0)
    assert [item.status for item in ended] == [Status.COMPLETED, Status.COMPLETED]
    ended = domain.settle(book(), [back, forth], now=NOON, retries=0)
    assert [item.failure_reason for item in ended] == [FailureReason.INSUFFICIENT_FUNDS, None]


@given(
    st.lists(
        st.tuples(st.sampled_from([A, B]), st.sampled_from([A, B]), st.integers(min_value=1, max_value=6_000)),
        max_size=30,
    )
)
def test_money_is_conserved_and_positions_are_contiguous(moves: list[tuple[UUID, UUID, int]]) -> None:
    held = book()
    items = [
        screened(from_account_id=source, to_account_id=to, amount_minor=amount, owner_id=ALICE if source == A else BOB)
        for source, to, amount in moves
    ]
    ended = domain.settle(held, items, now=NOON, retries=0)
    balances = [held.find(account_id) for account_id in (A, B)]
    assert sum(found.balance_minor for found in balances if found) == 5_000
    assert all(found.balance_minor >= 0 for found in balances if found)
    for account_id in (A, B):
        postings = [p for item in ended for p in (item.debit, item.credit) if p and p.account_id == account_id]
        assert [p.account_seq for p in postings] == list(range(8, 8 + len(postings)))


def state(**changes: object) -> AccountState:
    fields: dict[str, object] = {
        "account_id": A,
        "owner_id": ALICE,
        "name": "Main",
        "currency": "USD",
        "balance_minor": 0,
        "account_seq": 3,
        "version": 4,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return AccountState(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("existing", "owner", "outcome"),
    [
        (state(), ALICE, CommandOutcome.APPLIED),
        (state(), None, CommandOutcome.APPLIED),
        (state(), BOB, CommandOutcome.ACCOUNT_NOT_FOUND),
        (None, ALICE, CommandOutcome.ACCOUNT_NOT_FOUND),
        (state(is_deleted=True), ALICE, CommandOutcome.ACCOUNT_NOT_FOUND),
        (state(balance_minor=1), ALICE, CommandOutcome.ACCOUNT_NOT_EMPTY),
        (state(owner_id=None), None, CommandOutcome.ACCOUNT_NOT_FOUND),
    ],
)
def test_closing_needs_the_owner_and_an_empty_account(
    existing: AccountState | None, owner: UUID | None, outcome: CommandOutcome
) -> None:
    result = domain.closed(existing, owner_id=owner, now=NOON)
    assert result.outcome == outcome
    assert result.writes == (outcome is CommandOutcome.APPLIED)


def test_a_rename_raises_the_version_and_leaves_the_position() -> None:
    result = domain.renamed(state(), owner_id=ALICE, name="Savings", now=NOON)
    assert result.account is not None
    assert (result.account.name, result.account.version, result.account.account_seq) == ("Savings", 5, 3)


@pytest.mark.parametrize("existing", [None, state(is_deleted=True), state(owner_id=BOB), state(owner_id=None)])
def test_renaming_needs_an_open_account_of_the_owner(existing: AccountState | None) -> None:
    result = domain.renamed(existing, owner_id=ALICE, name="Savings", now=NOON)
    assert result == CommandResult(CommandOutcome.ACCOUNT_NOT_FOUND)


def test_a_closed_account_is_hidden_and_an_account_that_is_restored_is_open_again() -> None:
    closed = domain.closed(state(), owner_id=ALICE, now=NOON)
    assert closed.account == state(is_deleted=True, version=5)
    restored = domain.restored(closed.account, owner_id=ALICE, now=NOON)
    assert restored == CommandResult(CommandOutcome.APPLIED, state(version=6), writes=True)


def test_restoring_an_open_account_changes_nothing() -> None:
    result = domain.restored(state(), owner_id=None, now=NOON)
    assert result == CommandResult(CommandOutcome.APPLIED, state())


@pytest.mark.parametrize(
    "existing", [None, state(is_deleted=True, owner_id=BOB), state(is_deleted=True, owner_id=None)]
)
def test_restoring_needs_an_account_of_the_owner(existing: AccountState | None) -> None:
    result = domain.restored(existing, owner_id=ALICE, now=NOON)
    assert result == CommandResult(CommandOutcome.ACCOUNT_NOT_FOUND)


def opened(existing: AccountState | None) -> CommandResult:
    return domain.opened(account_id=A, owner_id=ALICE, name="Main", currency="USD", existing=existing, now=NOON)


def test_a_new_account_begins_at_zero_and_a_key_used_before_opens_none() -> None:
    account = state(balance_minor=0, account_seq=0, version=1)
    assert opened(None) == CommandResult(CommandOutcome.APPLIED, account, writes=True)
    assert opened(state()) == CommandResult(CommandOutcome.IDEMPOTENCY_KEY_REUSED)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, ()),
        ({"from_account_id": EURO}, ("from_account_id",)),
        ({"to_account_id": EURO}, ("to_account_id",)),
        ({"amount_minor": 1_001}, ("amount",)),
        ({"currency": "EUR"}, ("currency",)),
        ({"description": "rent"}, ("description",)),
        ({"metadata": msgspec.Raw(b'{"a":1}')}, ("metadata",)),
        ({"metadata": msgspec.Raw(b""), "amount_minor": 1, "currency": "JPY"}, ("amount", "currency")),
        # Who asked, when and under which id is no field of the request.
        ({"transfer_id": uuid4(), "caller_id": BOB, "owner_id": BOB}, ()),
    ],
)
def test_fields_that_differ_have_the_names_that_clients_know(changes: dict[str, Any], fields: tuple[str, ...]) -> None:
    first = instruction(from_account_id=A, to_account_id=B)
    other = instruction(**{"from_account_id": A, "to_account_id": B, **changes})
    assert domain.differing_fields(first, other) == domain.differing_fields(other, first) == fields


def test_what_is_a_bug_is_never_a_posting() -> None:
    """A customer's balance below zero, and an account that was not locked: the decision stops the whole batch."""
    held = book()
    with pytest.raises(AssertionError, match=f"account {A} would be overdrawn"):
        held.post(account(A), -5_001)
    assert held.changed == []
    with pytest.raises(AssertionError, match="was not locked"):
        domain._known(held, uuid4())


def test_accounts_that_moved_are_written_in_id_order() -> None:
    """The order of the locks, in whatever order the transfers came."""
    held = book()
    back = screened(from_account_id=A, to_account_id=B)
    for item in (screened(from_account_id=FULL, to_account_id=B, owner_id=BOB), back):
        domain.settle(held, [item], now=NOON, retries=0)
    assert [changed.account_id for changed in held.changed] == [A, B, FULL]


@pytest.mark.parametrize(
    ("balance_minor", "kind", "reason"),
    [
        (10 - MAX_MINOR, Kind.DEPOSIT, None),
        (9 - MAX_MINOR, Kind.DEPOSIT, FailureReason.BALANCE_LIMIT),
        (MAX_MINOR - 10, Kind.WITHDRAWAL, None),
        (MAX_MINOR - 9, Kind.WITHDRAWAL, FailureReason.BALANCE_LIMIT),
    ],
)
def test_no_balance_leaves_what_a_bigint_holds_on_either_side(
    balance_minor: int, kind: Kind, reason: FailureReason | None
) -> None:
    world = account(SETTLEMENT, None, balance_minor, kind=AccountKind.SETTLEMENT)
    between = (SETTLEMENT, A) if kind is Kind.DEPOSIT else (A, SETTLEMENT)
    item = screened(kind=kind, from_account_id=between[0], to_account_id=between[1], amount_minor=10)
    [ended] = domain.settle(Book([account(A), world]), [item], now=NOON, retries=0)
    assert ended.failure_reason == reason


@pytest.mark.parametrize(
    ("is_deleted", "hides", "shows"),
    [
        (None, (CommandOutcome.TRANSFER_NOT_FOUND, False), (CommandOutcome.TRANSFER_NOT_FOUND, False)),
        (False, (CommandOutcome.APPLIED, True), (CommandOutcome.APPLIED, False)),
        (True, (CommandOutcome.TRANSFER_NOT_FOUND, False), (CommandOutcome.APPLIED, True)),
    ],
)
def test_a_transfer_is_hidden_once_and_shown_as_often_as_one_likes(
    is_deleted: bool | None, hides: tuple[CommandOutcome, bool], shows: tuple[CommandOutcome, bool]
) -> None:
    for result, expected in ((domain.hidden(is_deleted), hides), (domain.shown(is_deleted), shows)):
        assert (result.outcome, result.writes) == expected
