"""What a payout is worth through each bank, exactly: whole numbers and fractions, never floats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm
from types import MappingProxyType

_PER_BP = 10_000
_HOUR_S = 3600
_PROBABILITY_DIGITS = 6

VALUE_BP = 60
"""What paying on time is worth, of the amount."""
VALUE_FIXED_XOF = 100
DELAY_BP_PER_HOUR = 2
RISK_BP = 10
"""What a risk score of 1 costs, of the amount."""
INDIFFERENCE_BP = 1
"""Banks closer than this are equally good; the preferred one then carries."""

ROLE_ORDER = MappingProxyType({"primary": 0, "secondary": 1, "tertiary": 2, "member": 3})


def probability(value: float) -> Fraction:
    """Take a probability to six decimals, so that what follows from it can be repeated."""
    scale = 10**_PROBABILITY_DIGITS
    return Fraction(min(max(round(value * scale), 0), scale), scale)


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a bank charges: a flat fee and a share, together within bounds. Minor units."""

    flat: int = 0
    percent: Fraction = Fraction(0)
    least: int = 0
    most: int | None = None

    def exact(self, amount: int) -> Fraction:
        """Return the fee before it is rounded."""
        fee = max(self.flat + self.percent * amount / 100, Fraction(self.least))
        return fee if self.most is None else min(fee, Fraction(self.most))

    def charged(self, amount: int) -> int:
        """Return the fee as it is charged: whole units, a half rounded up."""
        fee = self.exact(amount)
        return (2 * fee.numerator + fee.denominator) // (2 * fee.denominator)

    def kinks(self) -> list[Fraction]:
        """List the amounts at which the fee goes on differently."""
        if self.percent == 0:
            return []
        bounds = [self.least] if self.most is None else [self.least, self.most]
        return [(bound - self.flat) * 100 / self.percent for bound in bounds]

    def line(self, amount: int) -> tuple[Fraction, Fraction]:
        """Return (a, b) such that a + b·x is the fee from *amount* to the next kink."""
        raw = self.flat + self.percent * amount / 100
        # The cap is the last word, as in `exact`, also where it lies below the floor.
        if self.most is not None and max(raw, Fraction(self.least)) >= self.most:
            return Fraction(self.most), Fraction(0)
        if raw < self.least:
            return Fraction(self.least), Fraction(0)
        return Fraction(self.flat), self.percent / 100


@dataclass(frozen=True, slots=True)
class Terms:
    """What a payout that is on time is worth in one currency, and what waiting costs."""

    value_bp: Fraction = Fraction(VALUE_BP)
    value_fixed: Fraction = Fraction(VALUE_FIXED_XOF)
    """In minor units of the currency."""
    delay_bp_per_hour: Fraction = Fraction(DELAY_BP_PER_HOUR)
    risk_bp: Fraction = Fraction(RISK_BP)
    indifference_bp: Fraction = Fraction(INDIFFERENCE_BP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A bank that may carry, and what is expected of it."""

    bank_profile_id: str
    bank_name: str
    role: str = "member"
    prefer_order: int = 100
    failure: Fraction
    """Share of payouts expected to miss their promise in the next hour."""
    confidence: Decimal = Decimal("0.5")
    tariff: Tariff = Tariff()
    fx_bp: Fraction = Fraction(0)
    delay_s: int = 0
    shadow_price: Fraction = Fraction(0)
    """What a minor unit of its liquidity is worth elsewhere."""
    risk: Fraction = Fraction(0)
    amount_max: int | None = None
    """The largest payout that its limits and its money allow."""
    domains: frozenset[str] = frozenset()
    shut: tuple[tuple[int, int | None], ...] = ()
    """For which amounts nothing may be handed to it: from, up to and including."""

    def takes(self, amount: int) -> bool:
        """Tell whether its limits and its gate allow *amount*."""
        if self.amount_max is not None and amount > self.amount_max:
            return False
        return not any(
            low <= amount and (high is None or amount <= high) for low, high in self.shut
        )

    @property
    def preference(self) -> tuple[int, int]:
        return (self.prefer_order, ROLE_ORDER.get(self.role, len(ROLE_ORDER)))


def value_of(candidate: Candidate, terms: Terms, amount: int) -> Fraction:
    """
    Return the expected value of paying *amount* through *candidate*, in minor units.

    (1 - f)·v(x) - fee(x) - fx(x) - delay - liquidity - risk.
    """
    a, b = value_line(candidate, terms, amount)
    return a + b * amount


def value_line(candidate: Candidate, terms: Terms, amount: int) -> tuple[Fraction, Fraction]:
    """Return (a, b) such that a + b·x is the expected value from *amount* to the next kink."""
    fee_a, fee_b = candidate.tariff.line(amount)
    completes = 1 - candidate.failure
    per_unit_bp = (
        completes * terms.value_bp
        - candidate.fx_bp
        - terms.delay_bp_per_hour * candidate.delay_s / _HOUR_S
        - terms.risk_bp * candidate.risk
    )
    slope = per_unit_bp / _PER_BP - fee_b - candidate.shadow_price
    return completes * terms.value_fixed - fee_a, slope


def advantages(
    candidate: Candidate, other: Candidate, terms: Terms, amount: int
) -> dict[str, Fraction]:
    """
    Say how much each term speaks for *candidate*; together, what it is worth more than *other*.

    The terms are those of `value_of`; fees count as they are charged.
    """
    hours = Fraction(other.delay_s - candidate.delay_s, _HOUR_S)
    worth = terms.value_fixed + terms.value_bp * amount / _PER_BP
    return {
        "fee": Fraction(other.tariff.charged(amount) - candidate.tariff.charged(amount)),
        "fx": (other.fx_bp - candidate.fx_bp) * amount / _PER_BP,
        "delay": terms.delay_bp_per_hour * hours * amount / _PER_BP,
        "liquidity": (other.shadow_price - candidate.shadow_price) * amount,
        "risk": terms.risk_bp * (other.risk - candidate.risk) * amount / _PER_BP,
        "punctuality": (other.failure - candidate.failure) * worth,
    }


def cost_of(candidate: Candidate, terms: Terms, amount: int) -> Fraction:
    """Return what paying *amount* through *candidate* costs: fees, and what failing loses."""
    a, b = cost_line(candidate, terms, amount)
    return a + b * amount


def cost_line(candidate: Candidate, terms: Terms, amount: int) -> tuple[Fraction, Fraction]:
    """Return (a, b) such that a + b·x is the expected cost from *amount* to the next kink."""
    fee_a, fee_b = candidate.tariff.line(amount)
    lost_bp = candidate.failure * terms.value_bp
    return (
        fee_a + candidate.failure * terms.value_fixed,
        fee_b + (lost_bp + candidate.fx_bp) / _PER_BP,
    )


@dataclass(frozen=True, slots=True)
class Line:
    """a + b·x in whole numbers, all lines of a comparison being scaled alike."""

    a: int
    b: int

    def at(self, amount: int) -> int:
        return self.a + self.b * amount


def scaled(lines: Iterable[tuple[Fraction, Fraction]], *, also: Fraction) -> tuple[list[Line], int]:
    """Bring lines and the slope *also* to whole numbers; return them, and *also* so scaled."""
    pairs = list(lines)
    scale = lcm(also.denominator, *(each.denominator for pair in pairs for each in pair))
    return [Line(int(a * scale), int(b * scale)) for a, b in pairs], int(also * scale)


def crossings(one: Line, other: Line, *, first: int, last: int | None) -> list[int]:
    """
    List the whole amounts above *first*, up to *last*, at which another line may be higher.

    Where lines cross on a whole amount they are equal there, which is a case of its own.
    """
    da, db = one.a - other.a, one.b - other.b
    if db == 0:
        return []
    below = -da // db
    found = [below + 1] if da % db else [below, below + 1]
    return [each for each in found if each > first and (last is None or each <= last)]
