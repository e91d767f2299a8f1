"""Makes a forest's log-odds mean what they say, on days it has not been trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molam.sira.health_model import Band, Calibration

Floats = NDArray[np.float64]

PLATT_BELOW = 1000
"""With fewer positives isotonic regression would follow their chance."""
BANDS = 10
_STEPS, _ENOUGH = 50, 1e-10


def calibrate(margins: Floats, shares: Floats, weights: Floats, *, positives: float) -> Calibration:
    """Fit Platt's two figures, or, from a thousand positives on, an isotonic line."""
    if not len(margins) or float((weights * shares).sum()) <= 0:
        return Calibration(positives=positives)
    if positives < PLATT_BELOW:
        slope, shift = _platt(margins, shares, weights)
        return Calibration("platt", slope=slope, shift=shift, positives=positives)
    points = _isotonic(margins, shares, weights)
    return Calibration(
        "isotonic",
        margins=tuple(x for x, _ in points),
        shares=tuple(y for _, y in points),
        positives=positives,
    )


def bands(said: Floats, shares: Floats) -> tuple[Band, ...]:
    """Return, for tenths of what was said, between which shares what came lay."""
    order = np.argsort(said, kind="stable")
    found = []
    for part in np.array_split(order, BANDS):
        if len(part):
            low, middle, high = np.quantile(shares[part], (0.1, 0.5, 0.9)).tolist()
            found.append(Band(float(said[part[-1]]), low, middle, high))
    return tuple(found)


def _platt(margins: Floats, shares: Floats, weights: Floats) -> tuple[float, float]:
    """Fit by Newton's method, with Platt's own softened targets."""
    hits = float((weights * shares).sum())
    misses = float((weights * (1 - shares)).sum())
    high, low = (hits + 1) / (hits + 2), 1 / (misses + 2)
    targets = shares * high + (1 - shares) * low
    slope, shift = 1.0, 0.0
    for _ in range(_STEPS):
        said = 1 / (1 + np.exp(-np.clip(slope * margins + shift, -40, 40)))
        error = weights * (said - targets)
        bend = weights * said * (1 - said) + 1e-12
        gradient = np.array([(error * margins).sum(), error.sum()])
        curve = np.array([
            [(bend * margins**2).sum(), (bend * margins).sum()],
            [(bend * margins).sum(), bend.sum()],
        ])  # fmt: skip
        step = np.linalg.solve(curve + 1e-9 * np.eye(2), gradient)
        slope, shift = slope - float(step[0]), shift - float(step[1])
        if float(np.abs(step).max()) < _ENOUGH:
            break
    # Calibration moves figures; it must never turn their order round.
    return max(slope, 1e-3), shift


def _isotonic(margins: Floats, shares: Floats, weights: Floats) -> list[tuple[float, float]]:
    """Pool adjacent violators; each pool becomes a point at its mean."""
    order = np.argsort(margins, kind="stable")
    pools: list[list[float]] = []
    for x, y, weight in zip(
        margins[order].tolist(), shares[order].tolist(), weights[order].tolist(), strict=True
    ):
        pools.append([x * weight, y * weight, weight])
        while len(pools) > 1 and pools[-2][1] * pools[-1][2] >= pools[-1][1] * pools[-2][2]:
            last = pools.pop()
            pools[-1] = [one + other for one, other in zip(pools[-1], last, strict=True)]
    points: list[tuple[float, float]] = []
    for x_sum, y_sum, weight in pools:
        x, y = x_sum / weight, y_sum / weight
        if not points or x > points[-1][0]:
            points.append((x, y))
    return points
