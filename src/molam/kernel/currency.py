"""ISO 4217 currencies that money may be kept in."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from molam.kernel.refusals import Kind, Refusal


@dataclass(frozen=True, slots=True)
class Currency:
    """One ISO 4217 currency and the number of decimals its minor unit has."""

    code: str
    exponent: int


class UnknownCurrency(Refusal):
    code = "unknown-currency"
    kind = Kind.MALFORMED
    title = "This currency is not supported"


# Exponents are ISO 4217's: the CFA and Guinean francs have no minor unit. The
# same pairs are rows of tenancy.currencies, which every money column references;
# a house test compares the two.
CURRENCIES = MappingProxyType(
    {
        code: Currency(code, exponent)
        for code, exponent in (
            ("XOF", 0),
            ("XAF", 0),
            ("GNF", 0),
            ("GHS", 2),
            ("NGN", 2),
            ("KES", 2),
            ("EUR", 2),
            ("USD", 2),
            ("GBP", 2),
        )
    }
)


def currency(code: str) -> Currency:
    """
    Look up a currency by its ISO 4217 code.

    Raises:
        UnknownCurrency: the product keeps no money in it.
    """
    try:
        return CURRENCIES[code]
    except KeyError:
        known = ", ".join(CURRENCIES)
        raise UnknownCurrency(f"Use one of {known}.", currency=code[:12]) from None
