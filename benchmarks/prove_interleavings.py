"""
Thousands of orders in which the statements of sessions that meet can run, and none that breaks.

Then each safety is taken away in turn, and some order must break: otherwise the
proof proves nothing. A failure names its seed; the same seed takes the same steps.
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
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import structlog

import stage as bench
from molam.entrypoints.local import migrations_folder
from molam.platform.db.migrations import migrate

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "interleavings")]

import action_scenarios  # noqa: E402 - shared with the tests, which find them beside them.
import action_twins  # noqa: E402
import scenarios  # noqa: E402
import twins  # noqa: E402

SCHEDULES = 2_000
TWIN_SCHEDULES_MAX = 500


Open = Callable[[str], contextlib.AbstractAsyncContextManager[Any]]

SUITES: tuple[tuple[Open, Sequence[Any], Sequence[Any]], ...] = (
    (scenarios.scene, scenarios.ALL, twins.TWINS),
    (action_scenarios.scene, action_scenarios.ALL, action_twins.TWINS),
)
"""How each suite opens its scene, what it runs there, and what it takes away."""


@contextlib.asynccontextmanager
async def a_scene(admin_dsn: str, opened: Open) -> AsyncIterator[Any]:
    name = f"molam_prove_{secrets.token_hex(4)}"
    dsn = urlsplit(admin_dsn)._replace(path=f"/{name}").geturl()
    admin = await asyncpg.connect(admin_dsn)
    await admin.execute(f"create database {name}")
    try:
        await migrate(dsn, migrations_folder())
        async with opened(dsn) as scene:
            yield scene
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


async def prove(admin_dsn: str, opened: Open, scenario: Any, seeds: range) -> bool:
    began = time.perf_counter()
    async with a_scene(admin_dsn, opened) as scene:
        for done, seed in enumerate(seeds):
            try:
                await scenario(scene, seed)
            except AssertionError as failure:
                print(f"\rFAIL {scenario.__name__}: {failure}", flush=True)
                return False
            if done % 20 == 0:
                print(f"\r{scenario.__name__}: {done:,} of {len(seeds):,}", end="", flush=True)
    print(
        f"\rok   {scenario.__name__}: {len(seeds):,} schedules, seeds {seeds.start} to"
        f" {seeds.stop - 1}, {len(seeds) / (time.perf_counter() - began):.1f}/s, 0 broken",
        flush=True,
    )
    return True


async def prove_twin(admin_dsn: str, opened: Open, twin: Any, first: int) -> bool:
    """Without its safety, some schedule fails as the twin says."""
    async with a_scene(admin_dsn, opened) as scene:
        with twin.in_place():
            for seed in range(first, first + TWIN_SCHEDULES_MAX):
                try:
                    await twin.scenario(scene, seed)
                except AssertionError as failure:
                    is_expected = bool(re.search(twin.says, str(failure)))
                    verdict = "ok   control" if is_expected else "FAIL control"
                    print(f"{verdict}, {twin.name}: breaks at seed {seed}", flush=True)
                    return is_expected
    print(f"FAIL control, {twin.name}: nothing breaks in {TWIN_SCHEDULES_MAX} schedules")
    return False


async def main(admin_dsn: str, first: int, scale: float) -> bool:
    seeds = range(first, first + max(1, round(SCHEDULES * scale)))
    print(f"seed {first}, scale {scale}", flush=True)
    proved = [
        await prove(admin_dsn, opened, scenario, seeds)
        for opened, those, _ in SUITES
        for scenario in those
    ]
    proved += [
        await prove_twin(admin_dsn, opened, twin, first)
        for opened, _, those in SUITES
        for twin in those
    ]
    return all(proved)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--scale", type=float, default=1.0, help=f"1 is {SCHEDULES:,} schedules of each scenario"
    )
    given = parser.parse_args()
    # The drift that a schedule makes on purpose is not worth a line.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with contextlib.ExitStack() as stack:
        admin_dsn = os.environ.get("MOLAM_TEST_DATABASE_URL") or stack.enter_context(
            bench.server()
        ).dsn("postgres")
        has_held = asyncio.run(main(admin_dsn, given.seed, given.scale))
    sys.exit(0 if has_held else 1)
