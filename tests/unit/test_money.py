"""Amounts are exact or refused."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import EXPONENTS, MAX_MINOR, AmountInvalid, UnknownCurrency, to_minor, to_text


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0.01", "USD", 1),
        ("12.34", "USD", 1234),
        ("12", "USD", 1200),
        ("12.3400", "USD", 1234),
        ("1E+3", "USD", 100_000),
        ("100", "JPY", 100),
        ("100.000", "JPY", 100),
        ("1.234", "BHD", 1234),
        ("92233720368547758.07", "USD", MAX_MINOR),
    ],
)
def test_an_amount_becomes_exact_minor_units(amount: str, currency: str, minor: int) -> None:
    assert to_minor(Decimal(amount), currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("0", "USD"),
        ("0.00", "USD"),
        ("-0.01", "USD"),
        ("0.001", "USD"),
        ("12.345", "USD"),
        ("12.3401", "USD"),
        ("12.3410", "USD"),
        ("0.1", "JPY"),
        ("1.2345", "BHD"),
        ("92233720368547758.08", "USD"),
        ("1e400", "USD"),
        ("1e999999", "USD"),
        ("1e-400", "USD"),
        ("9" * 40, "USD"),
        ("NaN", "USD"),
        ("sNaN", "USD"),
        ("Infinity", "USD"),
    ],
)
def test_an_amount_that_is_not_exact_and_positive_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(AmountInvalid):
        to_minor(Decimal(amount), currency)


@pytest.mark.parametrize("currency", ["XXX", "XAU", "usd", "", "US", "DEM"])
def test_only_active_currencies_are_known(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        to_minor(Decimal(1), currency)


@given(st.integers(min_value=1, max_value=MAX_MINOR), st.sampled_from(sorted(EXPONENTS)))
def test_text_and_minor_units_are_each_others_inverse(minor: int, currency: str) -> None:
    assert to_minor(Decimal(to_text(minor, currency)), currency) == minor


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(5, "USD", "0.05"), (-5, "USD", "-0.05"), (-100, "JPY", "-100"), (0, "BHD", "0.000"), (123_456, "EUR", "1234.56")],
)
def test_text_has_all_decimals_of_the_currency(minor: int, currency: str, text: str) -> None:
    assert to_text(minor, currency) == text


def test_the_currencies_and_their_decimals_are_those_of_the_standard() -> None:
    """ISO 4217, list one, without funds, metals, testing and "no currency"."""
    assert Counter(EXPONENTS.values()) == {0: 16, 2: 132, 3: 7}
    three = {code for code, decimals in EXPONENTS.items() if decimals == 3}
    assert three == {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in EXPONENTS)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "the amount must be above zero"),
        ("-1", "the amount must be above zero"),
        ("Infinity", "the amount must be above zero"),
        ("1e19", "the amount is too large"),
        ("1e18", "the amount is too large"),
        ("92233720368547758.08", "the amount is too large"),
        ("0.001", "USD has 2 decimals"),
        ("1e-400", "USD has 2 decimals"),
    ],
)
def test_a_refusal_says_what_is_wrong(amount: str, text: str) -> None:
    with pytest.raises(AmountInvalid, match=f"^{text}$"):
        to_minor(Decimal(amount), "USD")


def test_the_largest_amount_of_every_number_of_decimals_is_what_a_bigint_holds() -> None:
    for currency in ("JPY", "USD", "BHD"):
        largest = Decimal(MAX_MINOR).scaleb(-EXPONENTS[currency])
        assert to_minor(largest, currency) == MAX_MINOR
        with pytest.raises(AmountInvalid):
            to_minor(Decimal(MAX_MINOR + 1).scaleb(-EXPONENTS[currency]), currency)
    assert MAX_MINOR == 9_223_372_036_854_775_807
