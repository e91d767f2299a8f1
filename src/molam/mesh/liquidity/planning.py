"""Making a plan: what each account has and will need, which ways there are, and what is best."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import structlog

from molam.kernel.clock import Instant
from molam.kernel.ids import show, uuid7
from molam.mesh.liquidity import plan_store, pool_store, solving
from molam.mesh.liquidity.looking import Known, look, problem_of
from molam.mesh.liquidity.problem import (
    Draw,
    Move,
    Problem,
    Solution,
    first_breach,
    held,
)
from molam.mesh.members import regions
from molam.platform.db import Database, Tx

log = structlog.get_logger()

DAYS = 5
_PRICE_PLACES = Decimal("0.00000001")


async def make(db: Database, *, region: str | None, days: int, by: str, now: Instant) -> str:
    """
    Look, solve and keep a plan; return its id.

    Raises:
        RegionAbsent: no such region.
        Outage: the solver did not answer; nothing is kept.
    """
    async with db.transaction("liquidity.look", isolation="repeatable_read") as tx:
        region_id = None if region is None else (await regions.get(tx, region)).id
        known = await look(tx, region_id)
    problem = problem_of(known, days)
    begun = time.perf_counter()
    solution = await solving.solve(problem)
    took_ms = round((time.perf_counter() - begun) * 1000)
    id_ = show("plan", uuid7(now))
    async with db.transaction("liquidity.keep_plan") as tx:
        steps = steps_of(problem, solution, known.first_day)
        await tx.run(plan_store.SUPERSEDE, id=id_, mesh_region_id=region_id)
        await tx.run(
            plan_store.INSERT_PLAN,
            id=id_,
            mesh_region_id=region_id,
            first_day=known.first_day,
            days=days,
            state=_state(solution, steps),
            effects=_json(effects_of(problem, solution)),
            shortages=_json(_shortages(problem, solution, known.first_day)),
            cost_bps=_cost_bps(problem, solution),
            notes=_notes(known, solution),
            took_ms=took_ms,
            by=by,
        )
        await tx.run(plan_store.INSERT_STEPS, plan_id=id_, rows=_json(steps))
        await _keep_prices(tx, problem, solution, id_)
        await tx.run(pool_store.NOTIFY_PAGES)
    log.info(
        "liquidity.plan.made",
        plan=id_,
        accounts=len(problem.accounts),
        arcs=len(problem.arcs),
        steps=len(steps),
        shortages=len(solution.shortages),
        took_ms=took_ms,
    )
    return id_


def steps_of(problem: Problem, solution: Solution, first: date) -> list[dict[str, object]]:
    """Write a solution as numbered steps, each with the reason for it."""
    reasons = _Reasons(problem, first, held(problem), held(problem, solution.moves, solution.draws))
    steps = [
        _transfer_step(reasons, move)
        for move in sorted(solution.moves, key=lambda each: (each.day, each.arc))
        if problem.arcs[move.arc].arrives(move.amount)
    ]
    steps += [
        _draw_step(reasons, draw)
        for draw in sorted(solution.draws, key=lambda each: (each.day, each.pool, each.account))
    ]
    return [{"step_no": number} | step for number, step in enumerate(steps, start=1)]


def effects_of(problem: Problem, solution: Solution) -> list[dict[str, object]]:
    """Say what each account would hold at each day's end, without the plan and with it."""
    before, after = held(problem), held(problem, solution.moves, solution.draws)
    return [
        {
            "bank_profile_id": account.bank,
            "currency": account.currency,
            "needed": account.needed,
            "before": before[at],
            "after": after[at],
        }
        for at, account in enumerate(problem.accounts)
    ]


@dataclass(frozen=True, slots=True)
class _Reasons:
    """What accounts hold at each day's end, without any step and with all of them."""

    problem: Problem
    first: date
    alone: Sequence[Sequence[int]]
    after: Sequence[Sequence[int]]

    def why(self, at: int, *, day: int, arrives: int) -> dict[str, object]:
        """
        Say on which day *arrives* would be missing at an account, were the other steps done.

        An account that only passes it on would lack nothing by itself.
        """
        account = self.problem.accounts[at]
        without = [
            holds - arrives if on >= day else holds for on, holds in enumerate(self.after[at])
        ]
        short = [on for on in range(day, len(without)) if without[on] < account.needed[on]]
        if not short or first_breach(account, self.alone[at]) is None:
            return {"code": "on_the_way"}
        return {
            "code": "below_floor",
            "day": self.first + timedelta(days=short[0]),
            "would_hold": without[short[0]],
            "needs": account.needed[short[0]],
        }


def _transfer_step(reasons: _Reasons, move: Move) -> dict[str, object]:
    problem, first = reasons.problem, reasons.first
    arc = problem.arcs[move.arc]
    source, target = problem.accounts[arc.source], problem.accounts[arc.target]
    arrives, arrives_day = arc.arrives(move.amount), move.day + arc.lag
    return {
        "day": first + timedelta(days=move.day),
        "kind": "transfer" if source.currency == target.currency else "exchange",
        "from_bank_id": source.bank,
        "to_bank_id": target.bank,
        "pool_id": None,
        "amount": move.amount,
        "currency": source.currency,
        "arrives": arrives,
        "to_currency": target.currency,
        "arrives_on": first + timedelta(days=arrives_day),
        "cost": arc.fixed + round(move.amount * Fraction(arc.cost_bps) / 10_000),
        "why": reasons.why(arc.target, day=arrives_day, arrives=arrives),
    }


def _draw_step(reasons: _Reasons, draw: Draw) -> dict[str, object]:
    problem = reasons.problem
    account = problem.accounts[draw.account]
    day = reasons.first + timedelta(days=draw.day)
    return {
        "day": day,
        "kind": "pool_draw",
        "from_bank_id": None,
        "to_bank_id": account.bank,
        "pool_id": problem.pools[draw.pool].id,
        "amount": draw.amount,
        "currency": account.currency,
        "arrives": draw.amount,
        "to_currency": account.currency,
        "arrives_on": day,
        "cost": 0,
        "why": reasons.why(draw.account, day=draw.day, arrives=draw.amount),
    }


def _state(solution: Solution, steps: Sequence[object]) -> str:
    if not solution.is_optimal:
        return "failed"
    return "ready" if steps else "nothing_to_do"


def _shortages(problem: Problem, solution: Solution, first: date) -> list[dict[str, object]]:
    return [
        {
            "bank_profile_id": problem.accounts[each.account].bank,
            "currency": problem.accounts[each.account].currency,
            "day": first + timedelta(days=each.day),
            "amount": each.amount,
        }
        for each in solution.shortages
    ]


def _cost_bps(problem: Problem, solution: Solution) -> Decimal:
    """Compare what moving costs with what is moved."""
    moved = cost = Decimal(0)
    for move in solution.moves:
        arc = problem.arcs[move.arc]
        worth = Decimal(problem.accounts[arc.source].worth)
        moved += move.amount * worth
        cost += (move.amount * Decimal(arc.cost_bps) / 10_000 + arc.fixed) * worth
    return round(cost / moved * 10_000, 4) if moved else Decimal(0)


def _notes(known: Known, solution: Solution) -> list[str]:
    seen = {(each.bank_profile_id, each.currency) for each in known.forecasts}
    unseen = [
        each.row.bank
        for each in known.positions
        if (each.row.bank_profile_id, each.row.currency) not in seen
    ]
    return [*solution.notes, *(f"no_forecast:{name}" for name in unseen)]


async def _keep_prices(tx: Tx, problem: Problem, solution: Solution, plan_id: str) -> None:
    if not solution.is_optimal or not problem.accounts:
        return
    keys = {
        "banks": [each.bank for each in problem.accounts],
        "currencies": [each.currency for each in problem.accounts],
    }
    prices = [Decimal(repr(each)).quantize(_PRICE_PLACES) for each in solution.prices]
    await tx.run(plan_store.PUT_DUALS, **keys, prices=prices, plan_id=plan_id)


def _json(rows: Sequence[object]) -> object:
    return msgspec.to_builtins(rows)
