"""Money is a whole number of minor units in one currency. Nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from molam.kernel.currency import Currency
from molam.kernel.refusals import Kind, Refusal

# Amounts live in bigint columns and in JSON numbers that browsers read as
# doubles; 2**53 - 1 is the largest integer both hold exactly.
MINOR_MAX = 2**53 - 1

_TEXT_LENGTH_MAX = 24


class CurrencyMismatch(TypeError):
    """Two amounts of different currencies met. This is a bug, not a refusal."""


class AmountMalformed(Refusal):
    code = "amount-malformed"
    kind = Kind.MALFORMED
    title = "This is not an amount"


@dataclass(frozen=True, slots=True)
class Money:
    """
    An exact amount in one currency.

    Addition and comparison cannot round because *minor* is an integer count of
    francs, cents or pesewas. Division is deliberately missing: the only way to
    break an amount up is `split`, whose parts always add up to the whole.
    """

    minor: int
    currency: Currency

    def __post_init__(self) -> None:
        assert type(self.minor) is int

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other)

    def split(self, weights: Sequence[int]) -> tuple[Money, ...]:
        """
        Divide the amount by *weights*, losing nothing.

        Each part is rounded towards zero; the remaining units go, one each, to
        the earliest parts of positive weight. Order therefore matters, and
        callers own the order.
        """
        total = sum(weights)
        assert total > 0
        assert all(weight >= 0 for weight in weights)

        sign = -1 if self.minor < 0 else 1
        parts = [abs(self.minor) * weight // total for weight in weights]
        left = abs(self.minor) - sum(parts)
        for index, weight in enumerate(weights):
            if left == 0:
                break
            if weight > 0:
                parts[index] += 1
                left -= 1

        assert left == 0
        return tuple(Money(sign * part, self.currency) for part in parts)

    def decimal(self) -> Decimal:
        """Return the amount in major units, exactly."""
        return Decimal(self.minor).scaleb(-self.currency.exponent)

    def __str__(self) -> str:
        return f"{self.decimal():f} {self.currency.code}"

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency.code} and {other.currency.code}")
        return other.minor


def parse_major(text: str, currency: Currency) -> Money:
    """
    Read an amount in major units as a person or a spreadsheet writes it: ``139.12``.

    Raises:
        AmountMalformed: not a plain decimal, more decimals than the currency
            has, or beyond `MINOR_MAX`.
    """
    plain = text.strip()
    digits = plain.removeprefix("-").replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit()) or len(plain) > _TEXT_LENGTH_MAX:
        raise AmountMalformed("Write digits with a point before the decimals.", value=plain[:32])
    minor = Decimal(plain).scaleb(currency.exponent)
    if minor != minor.to_integral_value():
        raise AmountMalformed(
            f"{currency.code} has {currency.exponent} decimals.", value=plain[:32]
        )
    if abs(minor) > MINOR_MAX:
        raise AmountMalformed("The amount is too large.", value=plain[:32])
    return Money(int(minor), currency)
