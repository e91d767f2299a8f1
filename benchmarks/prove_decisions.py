"""
Steps by the hundred thousand of voting, role changes and escalation, counted twice.

The second count tries everything. Then each of the bugs that such counting has had
is planted in turn, and some step must show it: otherwise the proof proves nothing.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))

from decision_walk import BUGS, Found, Walk

STEPS = 100_000
BUG_STEPS_MAX = 50_000
LEG = 5_000


def prove(seed: int, steps: int) -> bool:
    began = time.perf_counter()
    seen: dict[str, int] = {}
    done = 0
    while done < steps:
        leg = min(LEG, steps - done)
        walk = Walk(seed + done // LEG)
        try:
            walk.run(leg)
        except Found as failure:
            print(f"\rFAIL {failure}", flush=True)
            return False
        done += leg
        for word, count in walk.seen.items():
            seen[word] = seen.get(word, 0) + count
        print(f"\r{done:,} of {steps:,}", end="", flush=True)
    rate = steps / (time.perf_counter() - began)
    print(
        f"\rok   {steps:,} steps, seeds {seed} to {seed + (steps - 1) // LEG}, {rate:,.0f}/s,"
        " 0 judged differently",
        flush=True,
    )
    for word, count in sorted(seen.items()):
        print(f"     {word}: {count:,}")
    return True


def prove_bug(name: str, seed: int) -> bool:
    with BUGS[name]():
        try:
            Walk(seed).run(BUG_STEPS_MAX)
        except Found as found:
            print(f"ok   {name}: found at {str(found).partition(':')[0]}", flush=True)
            return True
    print(f"FAIL {name}: not found in {BUG_STEPS_MAX:,} steps from seed {seed}", flush=True)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    good = prove(given.seed, given.steps)
    found = [prove_bug(name, given.seed) for name in BUGS]
    return 0 if good and all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
