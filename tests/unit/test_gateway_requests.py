"""The bounds of what clients send, at each edge and one beyond."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.domain import requests

ID = str(UUID(int=7))
TRANSFER: dict[str, Any] = {"from_account_id": ID, "to_account_id": ID, "amount": "1", "currency": "USD"}
OPERATOR: dict[str, Any] = {"account_id": ID, "amount": "1", "currency": "USD"}
ACCOUNT: dict[str, Any] = {"owner_reference": "r", "name": "Main", "currency": "USD"}
REGISTER = {"email": "a@b", "password": "12345678", "full_name": "A"}


def takes(kind: type[requests.Body], body: dict[str, Any]) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(body), type=kind)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "body", "field", "least", "most"),
    [
        (requests.Register, REGISTER, "email", 3, 254),
        (requests.Register, REGISTER, "password", 8, 128),
        (requests.Register, REGISTER, "full_name", 1, 200),
        (requests.Login, {"email": "a", "password": "b"}, "email", 0, 254),
        (requests.Login, {"email": "a", "password": "b"}, "password", 0, 128),
        (requests.OpenAccount, {"name": "Main", "currency": "USD"}, "name", 1, 100),
        (requests.RenameAccount, {"name": "Main"}, "name", 1, 100),
        (requests.Transfer, TRANSFER, "description", 0, 500),
        (requests.OperatorTransfer, OPERATOR, "description", 0, 500),
        (requests.KeyedTransfer, TRANSFER, "idempotency_key", 1, 255),
        (requests.KeyedAccount, ACCOUNT, "owner_reference", 1, 255),
        (requests.KeyedAccount, ACCOUNT, "name", 1, 100),
        (requests.KeyedAccount, ACCOUNT, "idempotency_key", 1, 255),
    ],
)
def test_a_text_is_as_long_as_it_may_be_and_no_longer(
    kind: type[requests.Body], body: dict[str, Any], field: str, least: int, most: int
) -> None:
    for length in (least, most):
        assert takes(kind, {**body, field: "x" * length}), length
    for length in (least - 1, most + 1):
        if length >= 0:
            assert not takes(kind, {**body, field: "x" * length}), length


@pytest.mark.parametrize(
    ("kind", "name", "item"),
    [
        (requests.TransferBatch, "transfers", TRANSFER),
        (requests.KeyedTransferBatch, "transfers", TRANSFER),
        (requests.KeyedAccountBatch, "accounts", ACCOUNT),
    ],
)
def test_a_batch_holds_one_to_a_thousand_items(kind: type[requests.Body], name: str, item: dict[str, Any]) -> None:
    for count, fits in ((0, False), (1, True), (1_000, True), (1_001, False)):
        assert takes(kind, {name: [item] * count}) is fits, count


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (requests.Register, REGISTER),
        (requests.Login, {"email": "a", "password": "b"}),
        (requests.ChangeUser, {}),
        (requests.OpenAccount, {"name": "Main", "currency": "USD"}),
        (requests.RenameAccount, {"name": "Main"}),
        (requests.Transfer, TRANSFER),
        (requests.TransferBatch, {"transfers": [TRANSFER]}),
        (requests.OperatorTransfer, OPERATOR),
        (requests.KeyedTransfer, TRANSFER),
        (requests.KeyedTransferBatch, {"transfers": [TRANSFER]}),
        (requests.KeyedAccount, ACCOUNT),
        (requests.KeyedAccountBatch, {"accounts": [ACCOUNT]}),
    ],
)
def test_every_field_is_needed_and_none_is_unknown(kind: type[requests.Body], body: dict[str, Any]) -> None:
    assert takes(kind, body)
    assert not takes(kind, {**body, "more": 1})
    for field in body:
        assert not takes(kind, {name: value for name, value in body.items() if name != field}), field


def test_what_is_left_out_is_nothing() -> None:
    transfer = msgspec.json.decode(msgspec.json.encode(TRANSFER), type=requests.KeyedTransfer)
    assert (transfer.description, bytes(transfer.metadata), transfer.idempotency_key) == (None, b"", None)
    account = msgspec.json.decode(msgspec.json.encode(ACCOUNT), type=requests.KeyedAccount)
    assert (bytes(account.opening_balance), account.idempotency_key) == (b"", None)
    change = msgspec.json.decode(b"{}", type=requests.ChangeUser)
    assert (change.role, change.is_active) == (msgspec.UNSET, msgspec.UNSET)


@pytest.mark.parametrize(
    ("currency", "fits"), [("USD", True), ("usd", False), ("US", False), ("USDX", False), ("U1D", False), ("", False)]
)
def test_a_currency_is_three_capital_letters(currency: str, fits: bool) -> None:
    assert takes(requests.Transfer, {**TRANSFER, "currency": currency}) is fits


@pytest.mark.parametrize(("key", "fits"), [(" ~", True), ("\x1f", False), ("\x7f", False), ("é", False)])
def test_a_key_is_printable_ascii(key: str, fits: bool) -> None:
    assert takes(requests.KeyedTransfer, {**TRANSFER, "idempotency_key": key}) is fits


@pytest.mark.parametrize(("role", "fits"), [("customer", True), ("admin", True), ("owner", False), (None, False)])
def test_a_role_is_one_of_two(role: str | None, fits: bool) -> None:
    assert takes(requests.ChangeUser, {"role": role}) is fits


def test_the_document_says_of_amounts_what_the_parser_takes() -> None:
    """A decimal string, or a number that is exact; an opening balance may be zero, or nothing."""
    written = {"type": "string", "pattern": r"^[0-9]{1,40}(\.[0-9]{1,40})?$"}
    above_zero = {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000_000_000_000}
    from_zero = {"type": "number", "minimum": 0, "maximum": 1_000_000_000_000_000_000}
    amount = _described(requests.Transfer, "amount")
    assert (amount["oneOf"], amount["examples"]) == ([written, above_zero], ["12.34"])
    opening = _described(requests.KeyedAccount, "opening_balance")
    assert (opening["oneOf"], opening["examples"]) == ([written, from_zero, {"type": "null"}], ["12.34"])


def _described(kind: type[requests.Body], field: str) -> dict[str, Any]:
    schema = msgspec.json.schema(kind)
    found: dict[str, Any] = schema["$defs"][kind.__name__]["properties"][field]
    return found
