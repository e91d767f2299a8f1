"""The demo's treasury has money, a past, a pool and a plan, and is the same when seeded again."""

from __future__ import annotations

import pytest

from molam.kernel.clock import SystemClock
from molam.ledger.jobs import check_balances
from molam.mesh.liquidity import planning, queries, solver_process
from molam.mesh.liquidity.problem import Problem, Solution
from molam.platform.db import Database
from molam.simulator.banks_demo import seed_banks
from molam.simulator.liquidity_demo import FLOATS, POOL, seed_liquidity
from molam.simulator.mesh_demo import seed_mesh


async def test_the_demo_has_something_to_plan_and_is_seeded_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def solve(problem: Problem) -> Solution:
        return solver_process.solve(problem)

    monkeypatch.setattr(planning.solving, "solve", solve)
    now = SystemClock().now()
    await seed_banks(db, now)
    await seed_mesh(db, now)
    assert await seed_liquidity(db, now)
    assert not await seed_liquidity(db, now)
    held = {each.row.bank_profile_id: each for each in await queries.positions(db)}
    assert all(held[each.bank].available > 0 for each in FLOATS)
    [pool] = await queries.pools(db)
    assert (pool.id, pool.total_available) == (POOL, 24_000_000)
    plan = await queries.newest_plan(db)
    assert plan is not None
    assert (plan.state, plan.shortages) == ("ready", [])
    assert await check_balances(db) == 0
