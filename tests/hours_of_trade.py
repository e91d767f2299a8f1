"""Weeks of a shop, hour by hour, in which several figures turn together at the end."""

from __future__ import annotations

import math
from random import Random

from molam.sira.anomaly import Hour

HOURS = 8 * 168 + 1


def trade(seed: int, *, a_turn: float = 1.0, hours: int = HOURS) -> list[Hour]:
    """Weeks of a shop; in the last half day more payments, smaller ones, and dearer."""
    rng = Random(seed)
    made = []
    for at in range(hours):
        by = a_turn if at >= hours - 12 else 1.0
        mean = (8 + 6 * math.sin(at % 24 / 24 * 2 * math.pi)) * by
        paid = max(0, round(rng.gauss(mean, math.sqrt(mean))))
        root = math.sqrt(max(1, paid))
        sales = paid * 10_000 / by * math.exp(rng.gauss(0, 0.9 / root))
        fees = sales * 0.013 * by * math.exp(rng.gauss(0, 0.3 / root))
        failed = sum(rng.random() < 0.07 for _ in range(paid))
        refunds = sum(rng.random() < 0.015 for _ in range(paid))
        made.append(Hour(paid + failed, paid, round(sales), refunds, 0, round(fees)))
    return made
