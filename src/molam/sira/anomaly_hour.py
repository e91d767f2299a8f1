"""One hour of trade, as detectors see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hour:
    """One local hour of a merchant in one currency."""

    created: int = 0
    payments: int = 0
    sales: int = 0
    refunds: int = 0
    disputes: int = 0
    fees: int = 0
