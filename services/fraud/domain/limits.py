"""The limits: how they are written, what they are in each currency, and the version that names their content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property

from services.fraud.errors import LimitInvalid
from shared.ids import digest
from shared.money import EXPONENTS, UnknownCurrency

HOUR_H = 1
DAY_H = 24
OFF = "off"

# No sign, no exponent, no separators; so many digits that every sum stays a number one can read.
_MAJOR = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?")
_COUNT = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class AmountLimit:
    """A limit on amounts: `text` is its canonical form, `minor` what it is in each currency's minor units."""

    text: str
    minor: Mapping[str, int]

    def __str__(self) -> str:
        return self.text

    def of(self, currency: str) -> int:
        """The limit in minor units of `currency`.

        Raises:
            UnknownCurrency: not an active ISO 4217 code.
        """
        try:
            return self.minor[currency]
        except KeyError:
            raise UnknownCurrency from None


def parse_amount_limit(text: str, *, default: str, is_minimum: bool = False) -> AmountLimit | None:
    """The limit that `text` states: `1000000`, `USD=1000000,JPY=100000000`, or `off` (None).

    A currency that a list leaves out has the list's number without a currency, or else `default`: to forget one must
    not lift its limit. Where a currency has too few decimals for the number, the limit becomes the stricter neighbour
    for a maximum; for a minimum the smallest amount that reaches it.

    Raises:
        LimitInvalid: not a limit; the message says why.
    """
    if text.strip().lower() == OFF:
        return None
    general, named = _read_list(text)
    everywhere = _major(default) if general is None else general
    rounding = ROUND_CEILING if is_minimum else ROUND_FLOOR
    minor = {
        currency: int(named.get(currency, everywhere).scaleb(exponent).to_integral_value(rounding))
        for currency, exponent in EXPONENTS.items()
    }
    canonical = [_plain(everywhere), *(f"{currency}={_plain(named[currency])}" for currency in sorted(named))]
    return AmountLimit(",".join(canonical), minor)


def _read_list(text: str) -> tuple[Decimal | None, dict[str, Decimal]]:
    """The number without a currency, if there is one, and those by currency."""
    general, named = None, dict[str, Decimal]()
    for entry in text.split(","):
        currency, equals, number = (part.strip() for part in entry.rpartition("="))
        if equals and currency not in EXPONENTS:
            raise LimitInvalid(f"{currency!r} is not a currency")
        if currency in named or (not equals and general is not None):
            # 1,500 is not fifteen hundred here; it must not silently become 500.
            raise LimitInvalid(f"{currency or 'the number without a currency'} stands twice")
        if equals:
            named[currency] = _major(number)
        else:
            general = _major(number)
    return general, named


def parse_count_limit(text: str) -> int | None:
    """The number of transfers that `text` states, or None for `off`.

    Raises:
        LimitInvalid: neither.
    """
    text = text.strip()
    if text.lower() == OFF:
        return None
    if not _COUNT.fullmatch(text) or int(text) == 0:
        raise LimitInvalid("needs a whole number above zero, or off")
    return int(text)


def _major(text: str) -> Decimal:
    if not _MAJOR.fullmatch(text) or not (amount := Decimal(text)):
        raise LimitInvalid(
            "needs a number above zero in major units, such numbers by currency (USD=100,JPY=9000), or off"
        )
    return amount


def _plain(amount: Decimal) -> str:
    """1000000 for 1000000.00 too, so that the same limits have the same version."""
    return format(amount.normalize(), "f")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one user may do; None is off. Equal to a limit passes."""

    min_amount: AmountLimit | None
    max_amount: AmountLimit | None
    max_daily_amount: AmountLimit | None
    max_hourly_count: int | None
    max_daily_count: int | None

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """Each limit by name, in its canonical form."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: OFF if limit is None else str(limit) for name, limit in named.items()}

    @cached_property
    def version(self) -> str:
        """Stored with each verdict: the same content, the same version, in whatever process."""
        return digest(f"{name}={text}".encode() for name, text in self.texts.items())[:16]

    @cached_property
    def window_h(self) -> int:
        """How far back (hours) usage matters to these limits; 0 if it does not."""
        if self.max_daily_amount is not None or self.max_daily_count is not None:
            return DAY_H
        return 0 if self.max_hourly_count is None else HOUR_H
