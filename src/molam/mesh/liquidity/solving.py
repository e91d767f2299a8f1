"""Asking the solver, in a process of its own."""

from __future__ import annotations

import msgspec

from molam.kernel.refusals import Outage
from molam.mesh.liquidity.problem import Problem, Solution
from molam.platform.db import assert_no_transaction
from molam.platform.exports import child

MODULE = "molam.mesh.liquidity.solver_process"
TIMEOUT_S = 60.0


async def solve(problem: Problem) -> Solution:
    """
    Find the cheapest plan in a child process, with no transaction open.

    Raises:
        Outage: the solver died or took too long; what was planned before stays.
    """
    assert_no_transaction("solving")
    try:
        answer = await child.ask_child(MODULE, msgspec.json.encode(problem), timeout_s=TIMEOUT_S)
    except (child.ChildFailed, TimeoutError) as error:
        raise Outage("liquidity solver") from error
    return msgspec.json.decode(answer, type=Solution)
