"""Exchange rates, decided without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from molam.kernel.currency import CURRENCIES, Currency
from molam.kernel.money import Money


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of the quoted currency for one unit of the base, since *as_of*."""

    value: Fraction
    as_of: date
    source: str
    indicative: bool


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates in force on one day, each pair readable in both directions."""

    pairs: Mapping[tuple[str, str], Rate]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, Rate]]) -> Rates:
        pairs: dict[tuple[str, str], Rate] = {}
        for base, quote, rate in rows:
            pairs[base, quote] = rate
            pairs.setdefault(
                (quote, base), Rate(1 / rate.value, rate.as_of, rate.source, rate.indicative)
            )
        return cls(MappingProxyType(pairs))

    def find(self, base: str, quote: str) -> Rate | None:
        """
        Find a rate, directly or through one other currency; None when there is none.

        A missing rate is never 1: an amount in an unknown rate has no equivalent.
        """
        if base == quote:
            return Rate(Fraction(1), date.min, "identity", indicative=False)
        if (base, quote) in self.pairs:
            return self.pairs[base, quote]
        for through in CURRENCIES:
            first = self.pairs.get((base, through))
            second = self.pairs.get((through, quote))
            if first is not None and second is not None:
                return Rate(
                    first.value * second.value,
                    min(first.as_of, second.as_of),
                    f"{first.source}, {second.source}",
                    indicative=first.indicative or second.indicative,
                )
        return None

    def per_minor(self, base: Currency, quote: Currency) -> Decimal | None:
        """Return minor units of *quote* for one of *base*, to 12 decimals; None when unknown."""
        rate = self.find(base.code, quote.code)
        if rate is None:
            return None
        exact = rate.value * Fraction(10) ** (quote.exponent - base.exponent)
        return Decimal(round(exact * 10**12)).scaleb(-12)

    def convert(self, amount: Money, to: Currency) -> Money | None:
        """Convert exactly, then round half to even; None when the rate is unknown."""
        rate = self.find(amount.currency.code, to.code)
        if rate is None:
            return None
        exact = Fraction(amount.minor) * rate.value
        exact *= Fraction(10) ** (to.exponent - amount.currency.exponent)
        return Money(round(exact), to)
