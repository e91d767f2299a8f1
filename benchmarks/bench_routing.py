"""
Routers on the same days of banks that fail: what choosing worse than the truth costs each.

The days are built from recorded incidents (a folder with infra_incidents_compact.csv and
traces/*.csv), or without a folder from distributions that fit such records. Three payouts a
minute, a probe of each bank a minute for those that probe. Regret is the share of payouts that
failed beyond that of a router that knows the truth, in hundredths of a percent (bp). Ours is the
filter with the controller's own judgement in auto mode, its caps and steps included. It must
beat success-rate routing and the 50 % circuit breaker: the interval of the paired difference
over the seeds must not hold zero.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from molam.simulator import incidents, incidents_files, incidents_learned
from molam.simulator.incidents import lots
from molam.simulator.incidents_replay import (
    BREAKER,
    CLASSES,
    LEARNED,
    PRODUCT,
    ROUTERS,
    SUCCESS_RATE,
    Score,
    replay,
)

DRAWS = 4000
RIVALS = (SUCCESS_RATE, BREAKER)
Task = tuple[int, int, int, Path | None, Path | None]
Interval = tuple[float, float, float]


def one_seed(task: Task) -> dict[str, Score]:
    seed, days, banks, folder, model = task
    recorded = incidents_files.read(folder) if folder else ()
    trace = incidents.build(seed=seed, days=days, banks=banks, recorded=recorded)
    routers = dict(ROUTERS)
    if model:
        routers[LEARNED] = incidents_learned.making(model)
    return {name: replay(trace, making) for name, making in routers.items()}


def interval(values: Sequence[float], name: str) -> Interval:
    """Mean, and its 95 % interval over seeds by bootstrap."""
    draw = lots(f"bootstrap/{name}")
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    return statistics.fmean(values), means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS)]


def shown(values: Sequence[float | None], digits: int, *, scale: float = 1.0) -> str:
    known = [scale * each for each in values if each is not None]
    if not known:
        return "-"
    mean, low, high = interval(known, "shown")
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


COLUMNS: Sequence[tuple[str, Callable[[list[Score]], str]]] = (
    ("regret bp", lambda all_: shown([s.regret_bp for s in all_], 1)),
    ("against 2 min late", lambda all_: shown([s.regret_late_bp for s in all_], 1)),
    ("switches/day", lambda all_: shown([s.switches_a_day for s in all_], 2)),
    ("false/day", lambda all_: shown([s.false_failovers_a_day for s in all_], 2)),
    ("missed 20/50/95 %", lambda all_: " ".join(
        f"{sum(s.missed[c] for s in all_)}/{sum(s.outages[c] for s in all_)}" for _, c in CLASSES
    )),
    ("divert min", lambda all_: shown([s.divert_min for s in all_], 1)),
    ("return min", lambda all_: shown([s.return_min for s in all_], 0)),
    ("Brier", lambda all_: shown([s.brier for s in all_], 4)),
    ("skill %", lambda all_: shown([s.brier_skill for s in all_], 1, scale=100)),
    ("ECE %", lambda all_: shown([s.calibration_error for s in all_], 2, scale=100)),
)  # fmt: skip


def table(scores: Sequence[dict[str, Score]]) -> str:
    rows = [["router", *(name for name, _ in COLUMNS)]]
    for name in scores[0]:
        of_router = [each[name] for each in scores]
        rows.append([name, *(column(of_router) for _, column in COLUMNS)])
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def judge(scores: Sequence[dict[str, Score]], rival: str) -> bool:
    gains = [each[rival].regret_bp - each[PRODUCT].regret_bp for each in scores]
    mean, low, high = interval(gains, rival)
    ours = statistics.fmean(each[PRODUCT].regret_bp for each in scores)
    limit = statistics.fmean(each[rival].regret_bp for each in scores)
    held = low > 0
    print(
        f"{rival}: ours {ours:.1f} bp, limit {limit:.1f} bp, ratio {ours / limit:.2f};"
        f" better by {mean:.1f} bp [{low:.1f}, {high:.1f}] {'ok' if held else 'FAIL'}"
    )
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=Path, help="folder of recorded incidents")
    parser.add_argument("--model", type=Path, help="folder of a trained model, to compare as well")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--banks", type=int, default=6)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    tasks = [(seed, given.days, given.banks, given.incidents, given.model) for seed in seeds]
    source = given.incidents.name if given.incidents else "none, fitted distributions"
    print(
        f"recorded incidents: {source}; {given.banks} banks, {given.days} days, seeds {list(seeds)}"
    )
    began, scores = time.perf_counter(), []
    with ProcessPoolExecutor(max_workers=given.workers) as pool:
        for done in pool.map(one_seed, tasks):
            scores.append(done)
            print(f"  {len(scores)}/{len(tasks)} seeds, {time.perf_counter() - began:.0f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
    print(table(scores))
    print("mean [95 % interval over seeds]; missed are sums; divert and return are medians")
    verdicts = [judge(scores, rival) for rival in RIVALS]
    if not all(verdicts):
        sys.exit(1)


if __name__ == "__main__":
    main()
