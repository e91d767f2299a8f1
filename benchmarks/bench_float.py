"""
How well float forecasts cover, and what they cost, on days that were held back.

Generated series with weekdays, month ends and a drifting level by default; --csv takes real
ones (columns day,net_outflow, one file an account). Each of the last 56 days is forecast from
what was known before, 14 days ahead, and scored by coverage and by pinball loss; the seasonal
naive forecast with the same conformal margins stands beside it. Seeds are printed.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from molam.mesh.liquidity.flows import read_history
from molam.mesh.liquidity.forecasting import conformal, foresee, pinball

QUANTILES = (0.5, 0.9, 0.975)
HELD_BACK = 56
AHEAD = 14
_WEEK = (1.25, 1.0, 0.9, 1.0, 1.5, 0.55, 0.2)


def generated(seed: int, days: int) -> list[int]:
    """Make up the days of one account."""
    chance = random.Random(seed)
    level, found = 1_000_000.0, []
    for day in range(days):
        level *= 1 + chance.gauss(0, 0.01)
        month_end = 1.6 if day % 30 in {27, 28, 29, 0} else 1.0
        found.append(int(level * _WEEK[day % 7] * month_end * chance.lognormvariate(0, 0.3)))
    return found


def naive(history: Sequence[int], quantile: float, horizon: int) -> float:
    """Forecast by the same weekday of the week before, with the margin its errors ask for."""
    back = 7 * (1 + (horizon - 1) // 7)
    recent = range(max(back, len(history) - HELD_BACK), len(history))
    errors = [history[at] - history[at - back] for at in recent]
    return history[len(history) + horizon - 1 - back] + conformal(errors, quantile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=12)
    parser.add_argument("--days", type=int, default=420)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", nargs="*", type=Path, default=[])
    asked = parser.parse_args()
    if asked.csv:
        every = [[day.net_outflow for day in read_history(path.read_text())] for path in asked.csv]
        print(f"{len(every)} accounts from files")
    else:
        every = [generated(asked.seed + at, asked.days) for at in range(asked.series)]
        print(f"{len(every)} generated accounts of {asked.days} days, seeds from {asked.seed}")
    below = dict.fromkeys(QUANTILES, 0)
    ours: dict[float, list[float]] = {each: [] for each in QUANTILES}
    theirs: dict[float, list[float]] = {each: [] for each in QUANTILES}
    count = calls = 0
    spent = 0.0
    for series in every:
        for origin in range(len(series) - HELD_BACK, len(series) - AHEAD + 1):
            begun = time.perf_counter()
            foreseen = foresee(series[:origin], QUANTILES, days=AHEAD)
            spent += time.perf_counter() - begun
            calls += 1
            for each in foreseen.days:
                actual = series[origin + each.horizon - 1]
                count += 1
                for quantile in QUANTILES:
                    said = each.quantiles[quantile]
                    below[quantile] += actual <= said
                    ours[quantile].append(pinball(actual, said, quantile))
                    other = naive(series[:origin], quantile, each.horizon)
                    theirs[quantile].append(pinball(actual, other, quantile))
    print(f"{count:,} days forecast, {spent / calls * 1000:.1f} ms for {AHEAD} days of one account")
    for quantile in QUANTILES:
        ratio = fmean(ours[quantile]) / fmean(theirs[quantile])
        print(
            f"q{quantile:<6} coverage {below[quantile] / count:6.1%}  pinball"
            f" {fmean(ours[quantile]):>12,.0f}  seasonal naive {fmean(theirs[quantile]):>12,.0f}"
            f"  ratio {ratio:.2f}"
        )
    assert below[0.975] / count >= 0.95, "what is held for 39 days of 40 was not enough"


if __name__ == "__main__":
    main()
