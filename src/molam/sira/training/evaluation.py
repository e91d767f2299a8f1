"""Scores predictions on days nobody has learned from, and decides between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY_S = 86_400
DRAWS = 2000
BINS = 15
CLAMP = 1e-6


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one predictor: log loss and Brier score of a try, calibration error, and AUC."""

    log_loss: float
    brier: float
    calibration_error: float
    auc: float


@dataclass(frozen=True, slots=True)
class Duel:
    """By how much the challenger's log loss differs from the champion's, in nats a try."""

    difference: float
    low: float
    high: float
    days: int
    by_day: tuple[tuple[float, float], ...]
    """Champion's and challenger's loss of each day."""

    @property
    def is_won(self) -> bool:
        return self.high < 0


def scores(said: Floats, shares: Floats, weights: Floats) -> Scores:
    kept = np.clip(said, CLAMP, 1 - CLAMP)
    # Of a try, whose end is 0 or 1, not of the share that the tries of a row add up to.
    brier = shares * (1 - kept) ** 2 + (1 - shares) * kept**2
    return Scores(
        log_loss=float(np.average(losses(kept, shares), weights=weights)),
        brier=float(np.average(brier, weights=weights)),
        calibration_error=_calibration_error(kept, shares, weights),
        auc=_auc(kept, shares, weights),
    )


def losses(said: Floats, shares: Floats) -> Floats:
    """Return the log loss of a try in each row."""
    kept = np.clip(said, CLAMP, 1 - CLAMP)
    found: Floats = -shares * np.log(kept) - (1 - shares) * np.log1p(-kept)
    return found


def duel(champion: Floats, challenger: Floats, weights: Floats, at: Floats, *, seed: int) -> Duel:
    """
    Compare losses day by day, and draw whole days again and again for the interval.

    A day is a block: minutes of one outage are no independent witnesses.
    """
    days = (at // DAY_S).astype(np.int64)
    blocks = np.unique(days)
    sums = np.array([
        [
            (weights[days == day] * champion[days == day]).sum(),
            (weights[days == day] * challenger[days == day]).sum(),
            weights[days == day].sum(),
        ]
        for day in blocks
    ])  # fmt: skip
    draw = np.random.default_rng(seed)
    picks = draw.integers(0, len(blocks), size=(DRAWS, len(blocks)))
    drawn = sums[picks].sum(axis=1)
    differences = (drawn[:, 1] - drawn[:, 0]) / drawn[:, 2]
    low, high = np.quantile(differences, (0.025, 0.975)).tolist()
    total = sums.sum(axis=0)
    return Duel(
        difference=float((total[1] - total[0]) / total[2]),
        low=low,
        high=high,
        days=len(blocks),
        by_day=tuple((float(a / n), float(b / n)) for a, b, n in sums.tolist()),
    )


def reliability(said: Floats, shares: Floats, weights: Floats) -> list[tuple[float, float, float]]:
    """Return what was said, what came and how many tries, over bins of equal mass."""
    order = np.argsort(said, kind="stable")
    mass = np.cumsum(weights[order])
    edges = np.searchsorted(mass, np.linspace(0, mass[-1], BINS + 1)[1:-1])
    return [
        (
            float(np.average(said[part], weights=weights[part])),
            float(np.average(shares[part], weights=weights[part])),
            float(weights[part].sum()),
        )
        for part in np.split(order, edges)
        if len(part)
    ]


def _calibration_error(said: Floats, shares: Floats, weights: Floats) -> float:
    bins = reliability(said, shares, weights)
    total = sum(count for _, _, count in bins)
    return sum(abs(was_said - came) * count for was_said, came, count in bins) / total


def _auc(said: Floats, shares: Floats, weights: Floats) -> float:
    """Return how often a try that failed had been given a higher share than one that did not."""
    order = np.argsort(said, kind="stable")
    hits, misses = (weights * shares)[order], (weights * (1 - shares))[order]
    ordered = said[order]
    _, starts = np.unique(ordered, return_index=True)
    hit_sums, miss_sums = np.add.reduceat(hits, starts), np.add.reduceat(misses, starts)
    if hit_sums.sum() == 0 or miss_sums.sum() == 0:
        return 0.5
    below = np.cumsum(miss_sums) - miss_sums
    return float((hit_sums * (below + miss_sums / 2)).sum() / (hit_sums.sum() * miss_sums.sum()))
