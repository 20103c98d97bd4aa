"""The ids and fingerprints that make a key pay once, pinned: a change would let every old key pay again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.domain import ids
from services.gateway.domain.parsing import Order
from shared.contracts.gateway import Kind

CALLER = UUID("11111111-1111-4111-8111-111111111111")
ORDER = Order(
    kind=Kind.TRANSFER,
    from_account_id=UUID("22222222-2222-4222-8222-222222222222"),
    to_account_id=UUID("33333333-3333-4333-8333-333333333333"),
    amount_minor=1234,
    currency="USD",
    description="lunch",
    metadata=b'{"a":1}',
)


def test_the_ids_of_a_key_never_change() -> None:
    assert str(ids.transfer_id(CALLER, ids.TRANSFERS, "k")) == "5cff49e8-a41a-52ab-a367-bffaea68c97e"
    assert str(ids.transfer_id(CALLER, ids.TRANSFERS_BATCH, "k", 3)) == "f7d5a03f-cad6-531f-9e94-ed4f496e0507"
    assert str(ids.batch_id(CALLER, ids.TRANSFERS_BATCH, "k")) == "55ff03de-42b1-554b-88cd-ada222df3481"
    assert str(ids.account_id(CALLER, ids.ACCOUNTS, "k")) == "61d318c8-0d93-5b4e-870d-b0b7af145ca3"
    assert str(ids.owner_id("customer 7")) == "5f3b298c-70db-5cf6-9042-d09fbb6206f1"


def test_the_fingerprint_of_a_payload_never_changes() -> None:
    assert ids.fingerprint(ORDER) == ("v1:6d92d9612430807361658a71061cbd04436a83dcdaeb09b8335469d46d53efbf")


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("kind", Kind.DEPOSIT, "kind"),
        ("from_account_id", CALLER, "from_account_id"),
        ("to_account_id", CALLER, "to_account_id"),
        ("amount_minor", 1235, "amount"),
        ("currency", "EUR", "currency"),
        ("description", "", "description"),
        ("description", None, "description"),
        ("metadata", b"{}", "metadata"),
        ("metadata", None, "metadata"),
    ],
)
def test_every_field_of_a_payload_tells_in_its_fingerprint_and_by_its_name(field: str, value: Any, name: str) -> None:
    other = msgspec.structs.replace(ORDER, **{field: value})
    assert ids.fingerprint(other) != ids.fingerprint(ORDER)
    assert ids.differing_fields(ORDER, other) == (name,)


def test_an_empty_description_is_not_an_absent_one() -> None:
    empty = msgspec.structs.replace(ORDER, description="")
    absent = msgspec.structs.replace(ORDER, description=None)
    assert ids.fingerprint(empty) != ids.fingerprint(absent)


def test_a_key_means_something_else_for_every_caller_operation_and_place() -> None:
    other = UUID(int=CALLER.int + 1)
    made = [
        ids.transfer_id(CALLER, ids.TRANSFERS, "k"),
        ids.transfer_id(other, ids.TRANSFERS, "k"),
        ids.transfer_id(CALLER, ids.DEPOSITS, "k"),
        ids.transfer_id(CALLER, ids.TRANSFERS, "k", 0),
        ids.transfer_id(CALLER, ids.TRANSFERS, "k", 1),
        ids.transfer_id(CALLER, ids.TRANSFERS, "k1"),
        ids.account_id(CALLER, ids.TRANSFERS, "k"),
        ids.batch_id(CALLER, ids.TRANSFERS, "k"),
    ]
    assert len(set(made)) == len(made)


def test_the_operations_never_change_their_names() -> None:
    """Each is part of every id that was made under it."""
    made = (
        ids.TRANSFERS,
        ids.TRANSFERS_BATCH,
        ids.DEPOSITS,
        ids.WITHDRAWALS,
        ids.ADMIN_TRANSFERS_BATCH,
        ids.ADMIN_ACCOUNTS_BATCH,
        ids.ACCOUNTS,
    )
    assert made == (
        "transfers",
        "transfers.batch",
        "deposits",
        "withdrawals",
        "admin.transfers.batch",
        "admin.accounts.batch",
        "accounts",
    )


def test_the_items_of_a_batch_open_accounts_of_their_own() -> None:
    opened = {ids.account_id(CALLER, ids.ADMIN_ACCOUNTS_BATCH, "k", index) for index in (None, 0, 1)}
    assert len(opened) == 3
    assert str(ids.account_id(CALLER, ids.ADMIN_ACCOUNTS_BATCH, "k", 1)) == "b977b6ea-d880-5ec7-acd1-2130520b2b1a"


def test_the_fingerprint_of_a_command_never_changes_and_tells_where_its_parts_end() -> None:
    assert (
        ids.fingerprint_of("open", ["a", "b"]) == "v1:1af84d28243ec59648f24dbfa85b2df5e4bba89d619ebf222e166bd25e8e43c3"
    )
    made = [
        ids.fingerprint_of(*parts)
        for parts in (("ab", "c"), ("a", "bc"), ("abc",), (["ab", "c"],), (["a", "bc"],), (["abc"],))
    ]
    assert len(set(made)) == len(made)


def test_fingerprints_of_what_is_absent_and_what_is_empty_never_change() -> None:
    absent = msgspec.structs.replace(ORDER, description=None, metadata=None)
    empty = msgspec.structs.replace(ORDER, description="", metadata=b"")
    assert (ids.fingerprint(absent), ids.fingerprint(empty)) == (
        "v1:aa79f88093f82546a3886453ac47270d093530f3e34c107a724b4947aaebb235",
        "v1:580013bcad5485a3bed60963e815ad12a4fe458e1d1f2ca4db3ae6af4da3d8df",
    )
