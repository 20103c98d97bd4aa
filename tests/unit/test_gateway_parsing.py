"""How the gateway reads what clients send, as tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain import parsing, requests
from services.gateway.domain.parsing import Invalid
from services.gateway.errors import FieldError, ValidationFailed
from shared.contracts.gateway import Kind
from shared.ids import settlement_account_id

ANY_ID = UUID(int=7)


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


@pytest.mark.parametrize(
    ("written", "currency", "minor"),
    [
        ('"12.34"', "USD", 1234),
        ("12.34", "USD", 1234),
        ("12.340", "USD", 1234),
        ("100.000", "JPY", 100),
        ('"12.3"', "USD", 1230),
        ('"12"', "USD", 1200),
        ("1e2", "USD", 10000),
        ("0.1", "USD", 10),
        ('"100"', "JPY", 100),
        ('"0.001"', "BHD", 1),
        ('"92233720368547758.07"', "USD", 2**63 - 1),
    ],
)
def test_an_amount_is_read_exactly(written: str, currency: str, minor: int) -> None:
    assert parsing.amount(raw(written), currency) == minor


@pytest.mark.parametrize(
    "written",
    [
        '"0"', '"0.00"', '"-1"', "-1", "0", '"1.001"', "1.001", '"1_000"', '" 1"', '"NaN"', '"Infinity"', '"1e2"', '""',
        "null", "true", "[]", "{}", '"٣"', '"92233720368547758.08"', "1e999", '"+1"', '".5"', '"5."',
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused(written: str) -> None:
    with pytest.raises(Invalid) as caught:
        parsing.amount(raw(written), "USD")
    assert caught.value.error.field == "amount"


@pytest.mark.parametrize(
    ("written", "currency", "decimals"),
    [
        ('"12.340"', "USD", 2),
        ('"100.0"', "JPY", 0),
        ('"100.000"', "JPY", 0),
        ('"1.0000"', "BHD", 3),
        ('"0.000"', "USD", 2),
    ],
)
def test_a_string_has_no_more_decimals_than_its_currency(written: str, currency: str, decimals: int) -> None:
    for field, parse in (("amount", parsing.amount), ("opening_balance", parsing.opening_balance)):
        with pytest.raises(Invalid, match=f"^{currency} has {decimals} decimals$") as caught:
            parse(raw(written), currency)
        assert caught.value.error.field == field


def test_an_unknown_currency_is_named_as_the_field_that_is_wrong() -> None:
    with pytest.raises(Invalid) as caught:
        parsing.amount(raw('"1"'), "XXX")
    assert caught.value.error.field == "currency"
    with pytest.raises(Invalid) as caught:
        parsing.opening_balance(raw('"0"'), "XXX")
    assert caught.value.error.field == "currency"


@pytest.mark.parametrize(("written", "minor"), [("", 0), ("null", 0), ('"0"', 0), ("0.000", 0), ('"1.50"', 150)])
def test_an_opening_balance_may_be_nothing(written: str, minor: int) -> None:
    assert parsing.opening_balance(raw(written), "USD") == minor


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("", None),
        ("null", None),
        ("{}", b"{}"),
        ('{ "b" : 1.10 , "a" : [ 1 , "x" ] }', b'{"a":[1,"x"],"b":1.10}'),
        ('{"n": 123456789012345678901234567890}', b'{"n":123456789012345678901234567890}'),
        ('{"a":{"b":{"c":{"d":{}}}}}', b'{"a":{"b":{"c":{"d":{}}}}}'),
    ],
)
def test_metadata_has_one_spelling_and_keeps_its_numbers(written: str, canonical: bytes | None) -> None:
    assert parsing.metadata(raw(written)) == canonical


@pytest.mark.parametrize(
    "written",
    [
        "[]", "1", '"x"', '{"a":1e999}', '{"a":"\\u0000"}', '{"\\u0000":1}', '{"a":{"b":{"c":{"d":{"e":{}}}}}}',
        '{"a":"' + "x" * 4_096 + '"}',
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_kept_is_refused(written: str) -> None:
    with pytest.raises(Invalid):
        parsing.metadata(raw(written))


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text("abc", max_size=3), _json, max_size=4))
def test_the_canonical_spelling_of_metadata_is_its_own(value: dict[str, Any]) -> None:
    try:
        canonical = parsing.metadata(msgspec.Raw(msgspec.json.encode(value)))
    except Invalid:
        return
    assert canonical is not None
    assert msgspec.json.decode(canonical) == value
    assert parsing.metadata(msgspec.Raw(canonical)) == canonical


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x\udfff"])
def test_text_that_postgresql_cannot_store_is_refused(value: str) -> None:
    with pytest.raises(Invalid):
        parsing.text(value, "name")


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
def test_a_blank_name_is_refused(value: str) -> None:
    with pytest.raises(Invalid):
        parsing.visible(value, "name")


@pytest.mark.parametrize("value", ["a", "a@", "@b", "a b@c", "a@b c", "a@b@c"])
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(Invalid):
        parsing.email(value)


def test_all_wrong_fields_are_named_not_only_the_first() -> None:
    with pytest.raises(ValidationFailed) as caught:
        parsing.checked(lambda: parsing.currency("XXX"), lambda: "fine", lambda: parsing.visible("", "name"))
    assert [error.field for error in caught.value.errors] == ["currency", "name"]


def test_all_wrong_items_of_a_batch_are_named_by_their_index() -> None:
    bodies = [
        requests.Transfer(from_account_id=ANY_ID, to_account_id=ANY_ID, amount=raw(amount), currency="USD")
        for amount in ('"1"', '"0"', '"2"', '"x"')
    ]
    with pytest.raises(ValidationFailed) as caught:
        parsing.each("transfers", bodies, parsing.transfer_order)
    assert [(error.field, error.index) for error in caught.value.errors] == [
        ("transfers[1].amount", 1),
        ("transfers[3].amount", 3),
    ]
    assert all(isinstance(error, FieldError) for error in caught.value.errors)


def test_what_is_read_is_given_back_without_white_space_around_it() -> None:
    assert parsing.visible("  Main \t", "name") == "Main"
    assert parsing.email(" a.b+c@example.org ") == "a.b+c@example.org"
    assert parsing.email("e\u0301@example.org") == "\u00e9@example.org", "one spelling of one address"
    assert parsing.email("a@[192.0.2.1]") == "a@[192.0.2.1]"
    assert parsing.currency("EUR") == "EUR"
    assert parsing.checked(lambda: 1, lambda: "two") == (1, "two")
    assert parsing.each("numbers", [1, 2], lambda number: number + 1) == [2, 3]


@pytest.mark.parametrize(
    ("parse", "field"),
    [
        (lambda: parsing.email("nobody"), "email"),
        (lambda: parsing.email("a@b\0"), "email"),
        (lambda: parsing.email("a\u200b@b"), "email"),
        (lambda: parsing.visible(" ", "name"), "name"),
        (lambda: parsing.description("\0"), "description"),
        (lambda: parsing.opening_balance(raw('"x"'), "USD"), "opening_balance"),
        (lambda: parsing.opening_balance(raw('"0.001"'), "USD"), "opening_balance"),
        (lambda: parsing.metadata(raw('{"a":"\\u0000"}')), "metadata"),
        (lambda: parsing.metadata(raw('{"\\u0000":1}')), "metadata"),
        (lambda: parsing.metadata(raw('{"a":1e999}')), "metadata"),
        (lambda: parsing.metadata(raw("[]")), "metadata"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_that_the_client_wrote(parse: Callable[[], object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse()
    assert caught.value.error.field == field
    assert str(caught.value) == caught.value.error.message


def test_metadata_has_four_kibibytes_as_it_comes_and_as_it_is_kept() -> None:
    fits = '{"a":"' + "x" * (4_096 - 8) + '"}'
    assert len(fits) == parsing.METADATA_BYTES_MAX == 4_096
    assert parsing.metadata(raw(fits)) == fits.encode()
    for written in (fits.replace("x", "xx", 1), f"{fits} "):
        with pytest.raises(Invalid, match="larger than 4096 bytes"):
            parsing.metadata(raw(written))
    # As it is kept, a number may be longer than it came; and an escape is shorter.
    with pytest.raises(Invalid, match="larger than 4096 bytes"):
        parsing.metadata(raw('{"a":[' + ",".join(["1e5"] * 1_000) + "]}"))
    kept = '{"a":"' + "\\u007f" * 680 + '"}'
    assert len(parsing.metadata(raw(kept)) or b"") < len(kept) <= 4_096


def test_a_description_is_optional_and_kept() -> None:
    assert (parsing.description(None), parsing.description(""), parsing.description("rent")) == (None, "", "rent")


@pytest.mark.parametrize("kind", [Kind.DEPOSIT, Kind.WITHDRAWAL])
def test_a_deposit_comes_from_the_settlement_account_and_a_withdrawal_goes_there(kind: Kind) -> None:
    body = requests.OperatorTransfer(account_id=ANY_ID, amount=raw('"1.50"'), currency="EUR", description="cash")
    outside = settlement_account_id("EUR")
    between = (outside, ANY_ID) if kind is Kind.DEPOSIT else (ANY_ID, outside)
    assert parsing.operator_order(kind, body) == parsing.Order(
        kind=kind,
        from_account_id=between[0],
        to_account_id=between[1],
        amount_minor=150,
        currency="EUR",
        description="cash",
        metadata=None,
    )
