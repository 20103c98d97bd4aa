"""Decimal strings of the API and of files, as integer minor units and back."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from shared.money import AmountInvalid, exponent_of, to_minor, to_text


def minor_of(text: str, currency: str) -> int:
    """An amount or a balance in minor units: unlike `to_minor` it takes zero and, for balances, less.

    Raises:
        UnknownCurrency: not an active ISO 4217 code.
        AmountInvalid: not a number, or one that the currency cannot express.
    """
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        raise AmountInvalid(f"{text!r} is not a decimal number") from None
    if not amount.is_finite():
        raise AmountInvalid(f"{text!r} is not a finite number")
    if amount == 0:
        exponent_of(currency)
        return 0
    return to_minor(amount, currency) if amount > 0 else -to_minor(-amount, currency)


def text_of(amount: str | Decimal, currency: str) -> str:
    """An amount as the API is told it. A string goes as it stands: the API judges it.

    Raises:
        UnknownCurrency: not an active ISO 4217 code.
        AmountInvalid: a decimal that the currency cannot express, or anything else: a float is never exact.
    """
    if isinstance(amount, str):
        return amount
    if not isinstance(amount, Decimal):
        raise AmountInvalid(f"{amount!r} is neither a string nor a Decimal")
    return to_text(minor_of(str(amount), currency), currency)
