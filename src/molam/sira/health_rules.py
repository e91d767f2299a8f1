"""What SIRA recommends, by the limits that everybody knows."""

from __future__ import annotations

from typing import Literal

RecommendedAction = Literal["failover", "prepare_failover", "monitor", "increase_reserve"]

FAILOVER_BELOW, PREPARE_BELOW = 60, 80
FAILOVER_FROM_P_DOWN = 0.8


def recommend(score: float, p_down: float, *, is_short_of_funds: bool = False) -> RecommendedAction:
    """Say what to do about a bank; its health comes before its funds."""
    if score < FAILOVER_BELOW or p_down >= FAILOVER_FROM_P_DOWN:
        return "failover"
    if is_short_of_funds:
        return "increase_reserve"
    return "prepare_failover" if score < PREPARE_BELOW else "monitor"
