"""
What a rebalancing plan costs: ours, in its process, against the bare solver on the same program.

12 banks by 4 currencies and 120 by 4, five days ahead, random balances and demands; the bare
solver is given the finished matrices of the same linear program. The limit is on the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import time

import numpy as np
from scipy.optimize import linprog

from molam.mesh.liquidity import solving
from molam.mesh.liquidity.problem import Account, Arc, Problem, held
from molam.mesh.liquidity.solver_process import _Program

CURRENCIES = ("XOF", "GHS", "NGN", "EUR")
DAYS = 5
RATIO_MAX = 3.0
STARTS_MAX = 2.0
"""The small case is made of starting a process that imports numpy and scipy; it is timed alone."""


def a_problem(banks: int, seed: int, share: float) -> Problem:
    """Make up accounts, and a share of all ways between those of one currency."""
    chance = random.Random(seed)
    accounts = [
        Account(
            f"bp_{bank}",
            code,
            chance.randrange(10**7, 10**9),
            [chance.randrange(10**6, 3 * 10**8) for _ in range(DAYS)],
            [0] * DAYS,
            [chance.randrange(10**6, 10**7)] * DAYS,
        )
        for bank in range(banks)
        for code in CURRENCIES
    ]
    arcs = [
        Arc(one, other, chance.uniform(1, 20), lag=chance.choice([0, 0, 1]))
        for one, first in enumerate(accounts)
        for other, second in enumerate(accounts)
        if one != other and first.currency == second.currency and chance.random() < share
    ]
    return Problem(DAYS, accounts, arcs)


def bare(problem: Problem) -> tuple[float, float]:
    """Time the solver alone on the finished program; return seconds and the optimum."""
    program = _Program(problem)
    count = len(program.columns.cost)
    matrix = program.equal.matrix(count)
    bounds = np.column_stack([program.columns.low, program.columns.high])
    begun = time.perf_counter()
    found = linprog(
        program.columns.cost, A_eq=matrix, b_eq=program.equal.right, bounds=bounds, method="highs"
    )
    return time.perf_counter() - begun, found.fun


async def ours(problem: Problem) -> tuple[float, float, int]:
    begun = time.perf_counter()
    solution = await solving.solve(problem)
    spent = time.perf_counter() - begun
    held(problem, solution.moves, solution.draws)
    return spent, solution.cost, len(solution.moves)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    start, *_ = await ours(Problem(1, [], []))
    print(f"starting the solver's process and asking it nothing: {start * 1000:.0f} ms")
    for banks, share in ((12, 0.66), (120, 0.5)):
        problem = a_problem(banks, asked.seed, share)
        alone, optimum = bare(problem)
        spent, cost, moves = await ours(problem)
        limit = alone * RATIO_MAX + start * STARTS_MAX
        print(
            f"{banks:>3} banks x {len(CURRENCIES)} currencies, {len(problem.arcs):>6,} ways,"
            f" {DAYS} days, seed {asked.seed}: ours {spent * 1000:8.0f} ms, bare linprog"
            f" {alone * 1000:8.0f} ms, limit {limit * 1000:8.0f} ms, ratio {spent / limit:5.2f},"
            f" {moves} moves"
        )
        assert abs(cost - optimum) <= 1e-6 * max(1.0, abs(optimum)), "another optimum"
        assert spent <= limit, "the process costs too much"
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"largest process of the solver: {peak} MB; the caller imports no numpy for it")


if __name__ == "__main__":
    asyncio.run(main())
