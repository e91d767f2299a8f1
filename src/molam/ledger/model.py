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

FIXED = "fixed parity"
"""The source of a rate that was laid down once and for ever."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of the quoted currency for one unit of the base, since *as_of*."""

    value: Fraction
    as_of: date
    source: str
    indicative: bool

    @property
    def is_fixed(self) -> bool:
        return self.source == FIXED

    @property
    def trust(self) -> tuple[bool, bool, date]:
        """Order rates of one pair: what was quoted over what was guessed, then the newest."""
        return (not self.indicative, self.is_fixed, self.as_of)

    def inverse(self) -> Rate:
        return Rate(1 / self.value, self.as_of, self.source, self.indicative)

    def times(self, other: Rate) -> Rate:
        """Go on by *other*: as old and as rough as the worse half; a fixed parity never ages."""
        ageing = [each.as_of for each in (self, other) if not each.is_fixed]
        return Rate(
            self.value * other.value,
            min(ageing or [self.as_of, other.as_of]),
            ", ".join(dict.fromkeys((self.source, other.source))),
            indicative=self.indicative or other.indicative,
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates in force on one day, each pair readable in both directions."""

    pairs: Mapping[tuple[str, str], Rate]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, Rate]]) -> Rates:
        given = {(base, quote): rate for base, quote, rate in rows}
        pairs = dict(given)
        for (base, quote), rate in given.items():
            known = given.get((quote, base))
            # On equal terms the direction that was quoted wins.
            if known is None or rate.trust > known.trust:
                pairs[quote, base] = rate.inverse()
        return cls(MappingProxyType(pairs))

    def find(self, base: str, quote: str) -> Rate | None:
        """
        Find the best rate, directly or through one other currency; None when there is none.

        A missing rate is never 1: an amount in an unknown rate has no equivalent.
        """
        if base == quote:
            return Rate(Fraction(1), date.min, "identity", indicative=False)
        best = self.pairs.get((base, quote))
        for through in CURRENCIES:
            first = self.pairs.get((base, through))
            second = self.pairs.get((through, quote))
            if first is None or second is None:
                continue
            crossed = first.times(second)
            if best is None or crossed.trust > best.trust:
                best = crossed
        return best

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
