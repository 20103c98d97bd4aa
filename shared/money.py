"""Money: integer minor units with an ISO 4217 currency. Decimal strings exist only at the edge; floats nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from shared.errors import BusinessError

# What a bigint holds. Balances beyond it are refused in the domain (`balance_limit`) before PostgreSQL has to.
MAX_MINOR = 2**63 - 1

# ISO 4217 active codes by their number of decimals (the "minor unit" column of list one).
# Funds, precious metals, testing and "no currency" codes move no customer's money and are left out.
_BY_EXPONENT: Mapping[int, str] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC "
        "CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR "
        "IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR "
        "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS "
        "SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
    ),
}

EXPONENTS: Mapping[str, int] = MappingProxyType(
    {code: exponent for exponent, codes in _BY_EXPONENT.items() for code in codes.split()}
)


class UnknownCurrency(BusinessError):
    """The currency is not an active ISO 4217 code."""


class AmountInvalid(BusinessError):
    """The amount is not a positive decimal number that this currency can express."""


def exponent_of(currency: str) -> int:
    """How many decimals `currency` has.

    Raises:
        UnknownCurrency: not an active ISO 4217 code.
    """
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency from None


def to_minor(amount: Decimal, currency: str) -> int:
    """`amount` in minor units of `currency`, exactly.

    Raises:
        UnknownCurrency: not an active ISO 4217 code.
        AmountInvalid: not finite, not above zero, more decimals than the currency has, or beyond a bigint.
    """
    exponent = exponent_of(currency)
    if not amount.is_finite() or amount <= 0:
        raise AmountInvalid("the amount must be above zero")
    # The bound comes before the scaling: 1e999999 must not become a number of a million digits.
    if amount.adjusted() > 18:
        raise AmountInvalid("the amount is too large")
    sign, digits, power = amount.as_tuple()
    if not isinstance(power, int):  # pragma: no cover - infinities and NaN were refused above
        raise AmountInvalid
    surplus = -(power + exponent)
    if surplus > 0:
        if any(digits[-surplus:]) or surplus >= len(digits):
            raise AmountInvalid(f"{currency} has {exponent} decimals")
        digits = digits[:-surplus]
    minor = int("".join(map(str, digits)) + "0" * max(-surplus, 0))
    if minor > MAX_MINOR:
        raise AmountInvalid("the amount is too large")
    return -minor if sign else minor


def to_text(amount_minor: int, currency: str) -> str:
    """`amount_minor` as the decimal string that clients see, with all decimals of the currency."""
    exponent = exponent_of(currency)
    sign = "-" if amount_minor < 0 else ""
    if exponent == 0:
        return f"{sign}{abs(amount_minor)}"
    whole, part = divmod(abs(amount_minor), 10**exponent)
    return f"{sign}{whole}.{part:0{exponent}d}"
