"""
Ten thousand contests over single actions, on connections of their own, and one outcome of each.

Two or three sessions start together on one action: last votes, executions, a
cancellation, a deadline, a lost role. Then each lock and each second look is taken
away, and outcomes must go wrong: otherwise the proof proves nothing. A failure names
its seed, which draws the sessions; how PostgreSQL ran them is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import random
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import structlog

import stage as bench
from molam.entrypoints.local import migrations_folder
from molam.platform.db.migrations import migrate

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "interleavings")]

import action_scenarios as scenarios  # noqa: E402 - shared with the tests, beside which it is.
from action_twins import TWINS, Twin  # noqa: E402

KINDS = (
    scenarios.last_vote,
    scenarios.double_execute,
    scenarios.cancel_against_execute,
    scenarios.expiry_against_vote,
    scenarios.role_revoked,
)
TRIALS = 2_000
TWIN_TRIALS = 200
CONNECTIONS = 6


class Progress:
    """One line that says how far all kinds are together."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def count(self) -> None:
        self.done += 1
        if self.done % 50 == 0:
            print(f"\r{self.done:,} of {self.total:,}", end="", flush=True)


@contextlib.asynccontextmanager
async def a_scene(admin_dsn: str) -> AsyncIterator[scenarios.Scene]:
    name = f"molam_prove_{secrets.token_hex(4)}"
    dsn = urlsplit(admin_dsn)._replace(path=f"/{name}").geturl()
    admin = await asyncpg.connect(admin_dsn)
    await admin.execute(f"create database {name}")
    try:
        await migrate(dsn, migrations_folder())
        async with scenarios.contended_scene(dsn, connections_max=CONNECTIONS) as scene:
            yield scene
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


async def prove(
    admin_dsn: str, kind: scenarios.Scenario, seeds: range, progress: Progress
) -> list[str]:
    """Return what went wrong."""
    wrong = []
    async with a_scene(admin_dsn) as scene:
        for seed in seeds:
            try:
                await kind(scene, seed)
            except AssertionError as failure:
                wrong.append(str(failure))
            progress.count()
    return wrong


async def prove_twin(admin_dsn: str, twin: Twin, seeds: range) -> bool:
    """Without its safety, outcomes go wrong, and as the twin says."""
    said: Counter[bool] = Counter()
    async with a_scene(admin_dsn) as scene:
        with twin.in_place():
            for seed in seeds:
                try:
                    await twin.scenario(scene, seed)
                except AssertionError as failure:
                    said[bool(re.search(twin.says, str(failure)))] += 1
    good = said[True] > 0
    print(
        f"{'ok  ' if good else 'FAIL'} control, {twin.name}: {said.total()} of {len(seeds)} wrong",
        flush=True,
    )
    return good


async def main(admin_dsn: str, first: int, trials: int) -> bool:
    seeds = range(first, first + trials)
    print(f"seed {first}, {trials:,} contests of each kind", flush=True)
    progress, began = Progress(trials * len(KINDS)), time.perf_counter()
    found = await asyncio.gather(*(prove(admin_dsn, kind, seeds, progress) for kind in KINDS))
    rate = progress.total / (time.perf_counter() - began)
    print(f"\r{progress.total:,} contests, {rate:.0f}/s", flush=True)
    for kind, wrong in zip(KINDS, found, strict=True):
        verdict = "FAIL" if wrong else "ok  "
        print(f"{verdict} {kind.__name__}: {trials:,} contests, {len(wrong)} wrong", flush=True)
        for each in wrong[:5]:
            print(f"     {each}", flush=True)
    # Each takes the place of production code, so one after the other.
    controls = range(first, first + min(trials, TWIN_TRIALS))
    held = [await prove_twin(admin_dsn, t, controls) for t in TWINS if t.scenario in KINDS]
    return all(held) and not any(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each of the five kinds")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with contextlib.ExitStack() as stack:
        admin_dsn = os.environ.get("MOLAM_TEST_DATABASE_URL") or stack.enter_context(
            bench.server()
        ).dsn("postgres")
        has_held = asyncio.run(main(admin_dsn, given.seed, given.trials))
    sys.exit(0 if has_held else 1)
