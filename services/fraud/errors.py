"""What can be wrong with a limit, or with what is to be screened."""

from shared.errors import BusinessError, PoisonError


class LimitInvalid(BusinessError, ValueError):
    """A limit is a number above zero in major units, such numbers by currency, or `off`."""


class AmountImpossible(PoisonError):
    """An amount that no gateway lets through: it is not above zero."""
