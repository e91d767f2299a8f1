"""
Signals a second through the filter, on one core, each with its belief read and written anew.

The limit is the same arithmetic on plain floats in one loop: no structs, no families of
evidence, no JSON. Signals are those of a bank with three payouts a minute, of which one
in a hundred fails, and an outage of twenty minutes in the middle.
"""

from __future__ import annotations

import argparse
import math
import random
import time

import stage as bench
from molam.sira import health_filter as filter_
from molam.sira.health_signal import Signal, weight_of

RATE_MIN = 10_000
RATIO_MIN = 0.05


def signals(count: int, seed: int) -> list[Signal]:
    drawn = random.Random(seed)
    made = []
    for number in range(count):
        is_out = count // 2 <= number < count // 2 + 60
        failed = drawn.random() < (0.9 if is_out else 0.01)
        made.append(
            Signal(
                "bp_123",
                "bank",
                "XOF",
                drawn.choice(("payout", "payout", "active_probe")),
                "bank_technical" if failed else "ok",
                1_800_000_000 + 20.0 * number,
                drawn.randrange(100, 40_000),
            )
        )
    return made


def one_by_one(given: list[Signal]) -> float:
    """As if each signal came in a transaction of its own: decode, move, encode."""
    stored = filter_.encode(filter_.fresh())
    began = time.perf_counter()
    for each in given:
        weight = weight_of(each)
        if weight is not None:
            belief = filter_.observe(filter_.decode(stored), weight, each.at, each.kind)
            stored = filter_.encode(belief)
    return len(given) / (time.perf_counter() - began)


def in_batches(given: list[Signal], size: int = 100) -> float:
    """As the reader of events does it: one belief for a batch."""
    stored = filter_.encode(filter_.fresh())
    began = time.perf_counter()
    for first in range(0, len(given), size):
        belief = filter_.decode(stored)
        for each in given[first : first + size]:
            weight = weight_of(each)
            if weight is not None:
                belief = filter_.observe(belief, weight, each.at, each.kind)
        stored = filter_.encode(belief)
    return len(given) / (time.perf_counter() - began)


def bare(given: list[Signal]) -> float:
    """Relax, weigh, normalise and count, on local variables alone."""
    rate, share, keep_count = 1 / 172_800 + 1 / 9000, 1 / (1 + 172_800 / 9000), 0.99993
    seen = [(each.at, 1.0 if each.outcome != "ok" else 0.0, each.latency_ms) for each in given]
    up, a, b, c, d = 1 - share, share / 4, share / 4, share / 4, share / 4
    oks = failures = last = 0.0
    began = time.perf_counter()
    for at, failed, latency in seen:
        keep = math.exp(-rate * (at - last))
        last = at
        new = (1 - keep) * share / 4
        up = keep * up + (1 - keep) * (1 - share)
        a, b, c, d = keep * a + new, keep * b + new, keep * c + new, keep * d + new
        base = (0.5 + failures) / (50 + oks + failures)
        good = 1 - base
        if failed:
            up, a, b, c, d = (
                up * base, a * (1 - good * 0.85), b * (1 - good * 0.65),
                c * (1 - good * 0.35), d * (1 - good * 0.03),
            )  # fmt: skip
        elif latency > 30_000:
            up *= math.sqrt(base * good)
            a *= math.sqrt(good * 0.85 * (1 - good * 0.85))
            b *= math.sqrt(good * 0.65 * (1 - good * 0.65))
            c *= math.sqrt(good * 0.35 * (1 - good * 0.35))
            d *= math.sqrt(good * 0.03 * (1 - good * 0.03))
        else:
            up, a, b, c, d = (
                up * good,
                a * good * 0.85,
                b * good * 0.65,
                c * good * 0.35,
                d * good * 0.03,
            )
        total = up + a + b + c + d
        up, a, b, c, d = up / total, a / total, b / total, c / total, d / total
        if 1 - up <= 0.5:
            oks = oks * keep_count + 1 - failed
            failures = failures * keep_count + failed
    return len(given) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--signals", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()

    seen = signals(given.signals, given.seed)
    print(f"seed {given.seed}, {given.signals:,} signals, {given.rounds} rounds")
    single, batched, limit = [], [], []
    for _ in range(given.rounds):
        limit.append(bare(seen))
        single.append(one_by_one(seen))
        batched.append(in_batches(seen))
    slowest = min(single)
    print(f"slowest round: {slowest:,.0f} signals/s (at least {RATE_MIN:,})")
    bench.finish(
        bench.report(
            "belief read and written for each signal",
            ours=single,
            limit=limit,
            unit="signals/s",
            floor=RATIO_MIN,
        ),
        bench.report(
            "belief read and written for a hundred signals",
            ours=batched,
            limit=limit,
            unit="signals/s",
            floor=RATIO_MIN,
        ),
        slowest >= RATE_MIN,
    )


if __name__ == "__main__":
    main()
