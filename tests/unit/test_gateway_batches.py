"""Batch calls of operators: whose key makes which id, what is left unpublished, which keys are refused."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec
import pytest

from services.gateway.domain import ids
from services.gateway.domain.parsing import Order
from services.gateway.errors import KeyMissing, ValidationFailed
from services.gateway.http.tokens import Claims
from services.gateway.identity.callers import Caller
from services.gateway.routes.operators import check_keys, keyed_batch
from services.gateway.routes.transfers import own_batch
from shared.contracts.gateway import Kind
from tests.support.builders import ALICE, CONTEXT

OPERATOR = Caller(
    user_id=UUID(int=0xAD), is_admin=True, context=CONTEXT, claims=Claims(sub=ALICE, jti=ALICE, ver=1, exp=1)
)
KNOWN = uuid4()
ORDER = Order(kind=Kind.TRANSFER, from_account_id=KNOWN, to_account_id=uuid4(), amount_minor=5, currency="USD")
OWNERS: dict[UUID, UUID | None] = {KNOWN: ALICE}


def test_an_items_own_key_makes_its_id_whatever_the_batch() -> None:
    first = keyed_batch(OPERATOR, None, ["a", "b"], [ORDER, ORDER], OWNERS)
    second = keyed_batch(OPERATOR, "call", ["x", "b"], [ORDER, ORDER], OWNERS)
    assert first.instructions[1].transfer_id == second.instructions[1].transfer_id
    assert first.instructions[1].fingerprint == second.instructions[1].fingerprint
    assert first.batch_id != second.batch_id
    assert second.keyed == {0, 1}


def test_an_item_without_a_key_takes_its_place_in_the_call() -> None:
    call = keyed_batch(OPERATOR, "call", [None, "own"], [ORDER, ORDER], OWNERS)
    expected = ids.transfer_id(OPERATOR.user_id, ids.ADMIN_TRANSFERS_BATCH, "call", 0)
    assert call.instructions[0].transfer_id == expected
    assert [item.idempotency_key for item in call.instructions] == ["call", "own"]


def test_each_item_counts_against_its_source_accounts_owner_and_an_unknown_source_is_not_published() -> None:
    stranger = msgspec.structs.replace(ORDER, from_account_id=uuid4())
    call = keyed_batch(OPERATOR, "call", [None, None], [ORDER, stranger], OWNERS)
    assert call.unpublished == {1}
    assert [item.owner_id for item in call.published] == [ALICE]
    assert {item.caller_id for item in call.instructions} == {OPERATOR.user_id}


def test_the_same_call_has_the_same_ids_and_fingerprint_and_another_payload_has_not() -> None:
    one, same = own_batch(OPERATOR, "k", [ORDER, ORDER]), own_batch(OPERATOR, "k", [ORDER, ORDER])
    other = own_batch(OPERATOR, "k", [ORDER, msgspec.structs.replace(ORDER, amount_minor=6)])
    assert (one.batch_id, one.fingerprint) == (same.batch_id, same.fingerprint)
    assert [i.transfer_id for i in one.instructions] == [i.transfer_id for i in same.instructions]
    assert other.batch_id == one.batch_id
    assert other.fingerprint != one.fingerprint
    places = [(item.batch.index, item.batch.count) for item in one.instructions if item.batch]
    assert places == [(0, 2), (1, 2)]


def test_an_item_without_any_key_is_refused_and_so_are_two_with_one() -> None:
    check_keys("transfers", "call", [None, None])
    check_keys("transfers", None, ["a", "b"])
    with pytest.raises(KeyMissing):
        check_keys("transfers", None, ["a", None])
    with pytest.raises(ValidationFailed) as caught:
        check_keys("transfers", "call", ["a", "b", "a"])
    assert [error.index for error in caught.value.errors] == [0, 2]
