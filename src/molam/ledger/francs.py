"""What amounts are worth in francs CFA, for rules that weigh all currencies alike."""

from __future__ import annotations

import time

from molam.kernel.clock import Clock
from molam.kernel.currency import CURRENCIES
from molam.kernel.money import Money
from molam.ledger import queries
from molam.ledger.model import Rates
from molam.platform.db import Database

RATES_TTL_S = 60.0
FRANC = CURRENCIES["XOF"]


class Francs:
    """Converts by the rates in force, which are read again at most once a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rates: Rates | None = None
        self._read_at = float("-inf")

    async def of(self, db: Database, minor: int, currency: str | None) -> int | None:
        """Return *minor* units of *currency* in francs; None when nobody knows the rate."""
        known = None if currency is None else CURRENCIES.get(currency)
        if known is None:
            return None
        now = time.monotonic()
        if self._rates is None or now - self._read_at > RATES_TTL_S:
            self._rates = await queries.rates_on(db, self._clock.now().date())
            self._read_at = now
        converted = self._rates.convert(Money(minor, known), FRANC)
        return None if converted is None else converted.minor
