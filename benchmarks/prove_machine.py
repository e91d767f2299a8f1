"""
Steps by the thousand over the engine on PostgreSQL, beside a model that says each a second time.

People vote, leave, lend their roles and carry out; deadlines pass and jobs run. After
each step the row, the record and the money must be what the model has, and what the
page foretold must be what happened. A failure names its seed and step.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import random
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
from molam.platform.db import ProcessRole, open_database
from molam.platform.db.migrations import migrate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from action_walk import Walk

STEPS = 10_000
LEG = 250


@contextlib.asynccontextmanager
async def a_database(admin_dsn: str) -> AsyncIterator[str]:
    name = f"molam_prove_{secrets.token_hex(4)}"
    dsn = urlsplit(admin_dsn)._replace(path=f"/{name}").geturl()
    admin = await asyncpg.connect(admin_dsn)
    await admin.execute(f"create database {name}")
    try:
        await migrate(dsn, migrations_folder())
        yield dsn
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


async def leg(admin_dsn: str, seed: int, steps: int) -> Counter[str]:
    async with a_database(admin_dsn) as dsn, contextlib.AsyncExitStack() as stack:
        databases = []
        for role in (ProcessRole.OWNER, ProcessRole.OPS):
            db = await open_database(dsn, role, application="prove", connections_max=4)
            stack.push_async_callback(db.close)
            databases.append(db)
        walk = Walk(*databases, seed)
        await walk.begin()
        await walk.run(steps)
        return walk.seen


async def main(admin_dsn: str, first: int, steps: int) -> bool:
    print(f"seed {first}", flush=True)
    began, done, seed = time.perf_counter(), 0, first
    seen: Counter[str] = Counter()
    while done < steps:
        count = min(LEG, steps - done)
        try:
            seen += await leg(admin_dsn, seed, count)
        except AssertionError as failure:
            print(f"\rFAIL {failure}", flush=True)
            return False
        done, seed = done + count, seed + 1
        print(f"\r{done:,} of {steps:,}", end="", flush=True)
    rate = steps / (time.perf_counter() - began)
    print(
        f"\rok   {steps:,} steps, seeds {first} to {seed - 1}, {rate:.0f}/s, 0 otherwise",
        flush=True,
    )
    for word, count in sorted(seen.items()):
        print(f"     {word}: {count:,}")
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with contextlib.ExitStack() as stack:
        admin_dsn = os.environ.get("MOLAM_TEST_DATABASE_URL") or stack.enter_context(
            bench.server()
        ).dsn("postgres")
        has_held = asyncio.run(main(admin_dsn, given.seed, given.steps))
    sys.exit(0 if has_held else 1)
