"""A large draw from a pool, as the approval engine knows it."""

from __future__ import annotations

import msgspec

from molam.mesh.liquidity import model, pools
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.platform.web.l10n import Formats


class PoolDraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is agreed to: this amount of this pool for this bank, and nothing else."""

    movement_id: str
    pool_id: str
    bank_profile_id: str
    amount: Amount
    reason: str


async def _plan(tx: Tx, params: PoolDraw) -> Plan:
    row = await pools.find(tx, params.movement_id)
    pool = await pools.get(tx, params.pool_id)
    effect = await pools.rehearse(tx, pool.id, params.bank_profile_id, 0)
    return Plan(
        target_name=pool.name,
        changes=(
            _change("pool_available", pool.currency, pool.total_available, -row.amount),
            # A draw that waits is counted as owed from the moment it is asked for.
            _change("owed_to_pool", pool.currency, effect.owed_before - row.amount, row.amount),
        ),
        reversible=True,
        expect={"state": "waiting"},
        effects=("pool_pays_bank",),
        amount=params.amount,
    )


async def _apply(tx: Tx, execution: Execution[PoolDraw]) -> Outcome:
    params = execution.params
    row = await pools.find(tx, params.movement_id)
    same = (row.pool_id, row.bank_profile_id, row.amount, row.currency, row.reason)
    asked = (params.pool_id, params.bank_profile_id, params.amount.minor, params.amount.currency)
    if same != (*asked, params.reason):
        raise PreconditionChanged("The draw is not the one that was agreed to.")
    before = (await pools.get(tx, row.pool_id)).total_available
    try:
        booked = await pools.book_waiting(tx, row.id, at=execution.at)
    except model.DrawRefused as refusal:
        raise PreconditionChanged(str(refusal)) from refusal
    if booked is None:
        raise PreconditionChanged(f"The draw is {row.state} by now.")
    return Outcome(
        {"drawn": True, "movement_id": row.id, "amount": row.amount, "currency": row.currency},
        (_change("pool_available", row.currency, before, -row.amount),),
    )


async def _ended(tx: Tx, params: PoolDraw, state: str) -> None:
    await pools.let_go(tx, params.movement_id, state)


def _change(what: str, code: str, before: int, by: int) -> Change:
    return Change(
        what, {"currency": code, "minor": before}, {"currency": code, "minor": before + by}
    )


def _title(params: PoolDraw, locale: str) -> str:
    amount = Formats("fr" if locale == "fr" else "en").money(
        params.amount.minor, params.amount.currency
    )
    if locale == "fr":
        return f"Tirer {amount} du fonds commun {params.pool_id} pour {params.bank_profile_id}"
    return f"Draw {amount} from the pool {params.pool_id} for {params.bank_profile_id}"


ACTIONS = (
    ActionType(
        name=pools.DRAW_ACTION,
        params=PoolDraw,
        risk="high",
        moves_money=True,
        is_asked_by_code=True,
        title=_title,
        target=lambda params: Target("liquidity_pool", params.pool_id),
        twin=lambda params: params.movement_id,
        plan=_plan,
        apply=_apply,
        ended=_ended,
    ),
)
