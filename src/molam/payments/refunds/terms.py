"""What a merchant's refunds are held to: threshold, limits, time to approve, fee."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from molam.kernel.currency import CURRENCIES
from molam.kernel.money import MINOR_MAX, Money
from molam.ledger.model import Rates

APPROVAL_MINUTES = 60
APPROVAL_MINUTES_MAX = 7 * 24 * 60
_FRANC = CURRENCIES["XOF"]

FeeRule = Literal["kept", "returned"]


@dataclass(frozen=True, slots=True)
class Limits:
    """At most how much a day and a month of the merchant's own time zone; None: no limit."""

    daily: int | None
    monthly: int | None


@dataclass(frozen=True, slots=True)
class Terms:
    """*config* is the merchant's ``dashboard_config``; what it does not say has a default."""

    default_currency: str
    timezone: str
    config: Mapping[str, object]
    daily_limit: int | None
    monthly_limit: int | None

    def threshold(self, code: str, fallback: Mapping[str, int]) -> int:
        """
        Return from which amount on others must agree; an explicit 0 means always.

        *fallback* is the platform's, by currency. A currency that it cannot be converted
        into needs approval for any amount: nobody could say what is little.
        """
        for said in (_of(self.config.get("refund_thresholds"), code), self._of_default(code)):
            if said is not None:
                return said
        return fallback.get(code, 0)

    def _of_default(self, code: str) -> int | None:
        if code != self.default_currency:
            return None
        return _minor(self.config.get("refund_threshold_requiring_approval"))

    def limits(self, code: str) -> Limits:
        given = self.config.get("refund_limits")
        own = given.get(code) if isinstance(given, Mapping) else None
        is_default = code == self.default_currency
        daily, monthly = _of(own, "daily"), _of(own, "monthly")
        return Limits(
            daily if daily is not None or not is_default else self.daily_limit,
            monthly if monthly is not None or not is_default else self.monthly_limit,
        )

    @property
    def approval_minutes(self) -> int:
        said = _minor(self.config.get("refund_approval_minutes"))
        return min(max(said, 1), APPROVAL_MINUTES_MAX) if said is not None else APPROVAL_MINUTES

    @property
    def fee_rule(self) -> FeeRule:
        return "returned" if self.config.get("refund_fee") == "returned" else "kept"


@dataclass(frozen=True, slots=True, eq=False)
class PlatformThresholds(Mapping[str, int]):
    """
    The platform's threshold, in francs, as it is in each currency with a known rate.

    Converted when it is asked for: a refund asks for one of all currencies.
    """

    francs: int
    rates: Rates

    def __getitem__(self, code: str) -> int:
        known = CURRENCIES.get(code)
        if known is None:
            raise KeyError(code)
        converted = self.rates.convert(Money(self.francs, _FRANC), known)
        if converted is None:
            raise KeyError(code)
        return converted.minor

    def __iter__(self) -> Iterator[str]:
        return (code for code in CURRENCIES if self.rates.find(_FRANC.code, code) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _of(value: object, key: str) -> int | None:
    return _minor(value.get(key)) if isinstance(value, Mapping) else None


def _minor(value: object) -> int | None:
    """Read a stored amount; what is not one counts as not said."""
    # Settings are checked when they are written; these rows may be older than that check.
    is_amount = isinstance(value, int) and not isinstance(value, bool)
    if not is_amount:
        return None
    assert isinstance(value, int)
    return value if 0 <= value <= MINOR_MAX else None
