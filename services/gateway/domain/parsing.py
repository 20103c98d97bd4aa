"""Bodies made exact: amounts in minor units, text that can be stored, metadata in one canonical spelling."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.domain import requests
from services.gateway.errors import FieldError, ValidationFailed
from shared.contracts.gateway import Kind
from shared.ids import settlement_account_id
from shared.money import AmountInvalid, UnknownCurrency, exponent_of, to_minor

METADATA_BYTES_MAX = 4_096
METADATA_DEPTH_MAX = 5

# What PostgreSQL's text cannot hold. Half a surrogate pair cannot be written as UTF-8 either.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_AMOUNT_STRING = re.compile(rb'"(\d{1,40}(?:\.\d{1,40})?)"')
_AMOUNT_NUMBER = re.compile(rb"\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?")
# What mail servers carry: a local part of visible characters, and a domain of labels or an address in brackets.
_EMAIL = re.compile(r"[^@\s]{1,64}@(?:[\w-]{1,63}(?:\.[\w-]{1,63})*|\[[0-9A-Fa-f:.]+\])")

# Numbers keep the digits they came with: a float would change them.
_exact = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted")


class Invalid(Exception):
    """A field does not validate; `field` is its name as the client wrote it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.error = FieldError(field=field, message=message)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, parsed: the part of a transfer that a repetition must repeat."""

    kind: Kind
    from_account_id: UUID
    to_account_id: UUID
    amount_minor: int
    currency: str
    description: str | None = None
    metadata: bytes | None = None


def text(value: str, field: str) -> str:
    """`value` if it can be stored.

    Raises:
        Invalid: it holds U+0000 or half a surrogate pair.
    """
    if _UNSTORABLE.search(value):
        raise Invalid(field, "holds a character that cannot be stored (U+0000, or half a surrogate pair)")
    return value


def visible(value: str, field: str) -> str:
    """`value` without white space around it, if anything is left."""
    stripped = text(value, field).strip()
    if not stripped:
        raise Invalid(field, "must not be blank")
    return stripped


def email(value: str) -> str:
    """An e-mail address that has the form of one; who reads it proves it."""
    stripped = unicodedata.normalize("NFC", text(value, "email").strip())
    if not _EMAIL.fullmatch(stripped) or not stripped.isprintable():
        raise Invalid("email", "is not an e-mail address")
    return stripped


def currency(value: str) -> str:
    """`value` if it is an active currency."""
    try:
        exponent_of(value)
    except UnknownCurrency:
        raise Invalid("currency", "is not an active ISO 4217 code") from None
    return value


def amount(raw: msgspec.Raw, code: str, field: str = "amount") -> int:
    """An amount above zero in minor units of `code`, exactly.

    Raises:
        Invalid: not a plain decimal number, not above zero, too large, or finer than the currency.
    """
    try:
        return to_minor(_decimal(bytes(raw), code, field), code)
    except UnknownCurrency:
        raise Invalid("currency", "is not an active ISO 4217 code") from None
    except AmountInvalid as error:
        raise Invalid(field, str(error)) from None


def opening_balance(raw: msgspec.Raw, code: str) -> int:
    """Like `amount`, but nothing and zero are zero."""
    written = bytes(raw)
    try:
        if written in {b"", b"null"} or not _decimal(written, code, "opening_balance"):
            return 0
    except UnknownCurrency:
        raise Invalid("currency", "is not an active ISO 4217 code") from None
    return amount(raw, code, "opening_balance")


def _decimal(written: bytes, code: str, field: str) -> Decimal:
    """The number that is written so.

    A string is judged by its digits: decimals that the currency does not have are refused, zeros among them. A JSON
    number is judged by its value, for whoever passes it on may have written it anew: 12.340 is 12.34.
    """
    quoted = _AMOUNT_STRING.fullmatch(written)
    digits = quoted[1] if quoted else written
    if not quoted and not _AMOUNT_NUMBER.fullmatch(written):
        raise Invalid(field, 'must be a decimal string above zero, such as "12.34"')
    if quoted and len(digits.partition(b".")[2]) > exponent_of(code):
        raise Invalid(field, f"{code} has {exponent_of(code)} decimals")
    try:
        return Decimal(digits.decode("ascii"))
    except InvalidOperation:  # pragma: no cover - the patterns admit nothing that Decimal refuses
        raise Invalid(field, "is not a number") from None


def metadata(raw: msgspec.Raw) -> bytes | None:
    """The object in its one spelling: keys sorted, no white space, numbers as they were written.

    Raises:
        Invalid: not an object, too large, too deep, or it holds what cannot be stored.
    """
    written = bytes(raw)
    if written in {b"", b"null"}:
        return None
    if len(written) > METADATA_BYTES_MAX:
        raise Invalid("metadata", f"is larger than {METADATA_BYTES_MAX} bytes")
    try:
        value = _exact.decode(written)
    except (msgspec.DecodeError, RecursionError):
        raise Invalid("metadata", "must be a JSON object") from None
    _check_value(value, METADATA_DEPTH_MAX)
    canonical = _canonical.encode(value)
    if len(canonical) > METADATA_BYTES_MAX:
        raise Invalid("metadata", f"is larger than {METADATA_BYTES_MAX} bytes")
    return canonical


def _check_value(value: Any, levels_left: int) -> None:
    if isinstance(value, str):
        text(value, "metadata")
    elif isinstance(value, Decimal) and not math.isfinite(float(value)):
        raise Invalid("metadata", "holds a number that is not finite")
    elif isinstance(value, dict | list):
        if levels_left == 0:
            raise Invalid("metadata", f"is deeper than {METADATA_DEPTH_MAX} levels")
        for key in value if isinstance(value, dict) else ():
            text(key, "metadata")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_value(inner, levels_left - 1)


def description(value: str | None) -> str | None:
    """A description that can be stored."""
    return None if value is None else text(value, "description")


def transfer_order(body: requests.Transfer) -> Order:
    """A client's transfer, exact."""
    return Order(
        kind=Kind.TRANSFER,
        from_account_id=body.from_account_id,
        to_account_id=body.to_account_id,
        amount_minor=amount(body.amount, body.currency),
        currency=body.currency,
        description=description(body.description),
        metadata=metadata(body.metadata),
    )


def operator_order(kind: Kind, body: requests.OperatorTransfer) -> Order:
    """A deposit or a withdrawal, between the account and the currency's settlement account."""
    amount_minor = amount(body.amount, body.currency)
    outside = settlement_account_id(body.currency)
    into = kind is Kind.DEPOSIT
    return Order(
        kind=kind,
        from_account_id=outside if into else body.account_id,
        to_account_id=body.account_id if into else outside,
        amount_minor=amount_minor,
        currency=body.currency,
        description=description(body.description),
    )


def checked(*fields: Callable[[], Any]) -> tuple[Any, ...]:
    """All fields parsed.

    Raises:
        ValidationFailed: names every one that does not validate, not only the first.
    """
    values, errors = [], []
    for parse in fields:
        try:
            values.append(parse())
        except Invalid as invalid:
            errors.append(invalid.error)
    if errors:
        raise ValidationFailed(errors)
    return tuple(values)


def each(name: str, bodies: list[Any], parse: Callable[[Any], Any]) -> list[Any]:
    """All items of a batch parsed.

    Raises:
        ValidationFailed: names every item that does not validate, by its index.
    """
    values, errors = [], []
    for index, body in enumerate(bodies):
        try:
            values.append(parse(body))
        except Invalid as invalid:
            found = invalid.error
            errors.append(FieldError(field=f"{name}[{index}].{found.field}", message=found.message, index=index))
    if errors:
        raise ValidationFailed(errors)
    return values
