"""Carrying a plan out: what must still be true, and what it books."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.kernel.refusals import Refusal
from molam.ledger import commands as ledger
from molam.mesh.liquidity import plan_store, pool_store, pools, queries
from molam.mesh.liquidity.model import PlanAbsent, PlanNotReady
from molam.mesh.liquidity.plan_store import PlanRow, StepRow
from molam.mesh.liquidity.transfers import leaving, reference_of
from molam.platform.db import Tx

STEPS_MAX = 500
_OPEN = frozenset({"ready", "waiting"})


@dataclass(frozen=True, slots=True)
class Summary:
    """What carrying a plan out today would do; amounts by currency, in minor units."""

    plan: PlanRow
    steps: list[StepRow]
    """Those of today; later ones belong to later plans."""
    moves: dict[str, int]

    @property
    def largest(self) -> tuple[str, int] | None:
        """The currency that most is moved in, and how much."""
        return max(self.moves.items(), key=lambda each: each[1], default=None)


@dataclass(frozen=True, slots=True)
class Executed:
    plan_id: str
    transfer_ids: list[str]
    draw_ids: list[str]


async def get(tx: Tx, plan_id: str) -> PlanRow:
    """
    Raises:
        PlanAbsent: there is none.
    """
    row = await tx.one(plan_store.FIND_PLAN, id=plan_id)
    if row is None:
        raise PlanAbsent("Plans are listed by GET /api/mesh/liquidity/plans.")
    return row


async def summary(tx: Tx, plan_id: str) -> Summary:
    """
    Say what carrying a plan out would move.

    Raises:
        PlanAbsent: there is none.
        PlanNotReady: it was carried out, replaced, or has nothing for today.
    """
    plan = await get(tx, plan_id)
    _check_open(plan)
    rows = await tx.all(plan_store.LIST_STEPS, plan_id=plan_id)
    today = [row for row in rows if row.day <= plan.first_day]
    if not today:
        raise PlanNotReady("It has nothing to do today; the next plan will look again.")
    moves: dict[str, int] = defaultdict(int)
    for row in today:
        moves[row.currency] += row.amount
    return Summary(plan, today[:STEPS_MAX], dict(moves))


async def mark_waiting(tx: Tx, plan_id: str, *, action_id: str) -> None:
    """Note that people are deciding on it, so that no newer plan takes its place."""
    await tx.run(
        plan_store.SET_PLAN,
        id=plan_id,
        state="waiting",
        failure=None,
        action_id=action_id,
        by=None,
    )


async def release(tx: Tx, plan_id: str) -> None:
    """Note that nobody agreed to it; a newer plan may take its place."""
    plan = await get(tx, plan_id)
    if plan.state == "waiting":
        await tx.run(
            plan_store.SET_PLAN, id=plan_id, state="ready", failure=None, action_id=None, by=None
        )


async def execute(tx: Tx, plan_id: str, *, by: str, at: Instant) -> Executed:
    """
    Carry out today's steps of a plan, all of them or none, once.

    Transfers between banks leave the first account in the ledger and are on their way until
    a statement of the second shows them; their references are what the orders at the banks
    must carry. Draws from pools are booked.

    Raises:
        PlanAbsent: there is none.
        PlanNotReady: it is no plan of today any more, or an account has less than it had.
        DrawRefused: a pool does not allow what it allowed then.
    """
    await tx.run(plan_store.LOCK_PLAN, id=plan_id)
    found = await summary(tx, plan_id)
    if found.plan.first_day != (await _today(tx)):
        raise PlanNotReady("It was made for another day; make a new one.")
    for pool_id in sorted({row.pool_id for row in found.steps if row.pool_id is not None}):
        await tx.run(pool_store.LOCK_POOL, id=pool_id)
    await _check_covered(tx, found.steps)
    posts: list[ledger.OwnTransfer] = []
    done = Executed(plan_id, [], [])
    for row in found.steps:
        if row.kind == "pool_draw":
            posts.append(await _draw(tx, row, done, by=by, at=at))
        else:
            posts.append(await _send(tx, row, done, by=by, at=at))
    for row in found.steps:
        if row.pool_id is not None:
            await tx.run(pool_store.RESERVE, id=row.pool_id, amount=-row.amount)
    moved = await ledger.post(tx, posts)
    assert moved == len(posts), "a plan is carried out once, under its lock"
    await tx.run(
        plan_store.SET_PLAN, id=plan_id, state="executed", failure=None, action_id=None, by=by
    )
    await tx.run(pool_store.NOTIFY_PAGES)
    return done


def _check_open(plan: PlanRow) -> None:
    if plan.state not in _OPEN:
        raise PlanNotReady(f"It is {plan.state.replace('_', ' ')}.", state=plan.state)


async def _today(tx: Tx) -> object:
    row = await tx.one(plan_store.READ_TODAY)
    assert row is not None
    return row.today


async def _check_covered(tx: Tx, steps: list[StepRow]) -> None:
    """
    Look again whether each account can give what the plan takes from it.

    What a plan brings to an account within the same day counts: money may pass through.

    Raises:
        PlanNotReady: one has less.
    """
    has = {
        (each.row.bank_profile_id, each.row.currency): each.available
        for each in await queries.positions_in(tx)
    }
    change: dict[tuple[str, str], int] = defaultdict(int)
    for row in steps:
        if row.from_bank_id is not None:
            change[row.from_bank_id, row.currency] -= row.amount
        if row.arrives_on == row.day:
            change[row.to_bank_id, row.to_currency] += row.arrives
    for account, by in change.items():
        if by < 0 and has.get(account, 0) + by < 0:
            raise PlanNotReady(
                f"{account[0]} holds less {account[1]} than the plan takes; make a new one.",
                bank_profile_id=account[0],
            )


async def _send(
    tx: Tx, row: StepRow, done: Executed, *, by: str, at: Instant
) -> ledger.OwnTransfer:
    assert row.from_bank_id is not None
    id_ = f"bt_{uuid8(f'plan/{row.plan_id}/{row.step_no}').hex}"
    await tx.run(
        plan_store.INSERT_TRANSFER,
        id=id_,
        reference=reference_of(id_),
        plan_id=row.plan_id,
        step_no=row.step_no,
        from_bank_id=row.from_bank_id,
        to_bank_id=row.to_bank_id,
        amount=row.amount,
        currency=row.currency,
        arrives=row.arrives,
        to_currency=row.to_currency,
        expected_on=row.arrives_on,
        by=by,
        at=at,
    )
    done.transfer_ids.append(id_)
    return leaving(id_, row.from_bank_id, row.amount, row.currency, at=at)


async def _draw(
    tx: Tx, row: StepRow, done: Executed, *, by: str, at: Instant
) -> ledger.OwnTransfer:
    assert row.pool_id is not None
    asked = pools.Asked(
        pool_id=row.pool_id,
        bank_profile_id=row.to_bank_id,
        amount=row.amount,
        reason=f"Plan {row.plan_id}, step {row.step_no}",
    )
    movement = await pools.prepare_agreed(tx, asked, by=by, at=at)
    done.draw_ids.append(movement.id)
    return pools.transfer_of(movement, "draw", at=at)


REFUSES: tuple[type[Refusal], ...] = (PlanAbsent, PlanNotReady)
