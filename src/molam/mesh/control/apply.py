"""Applying a route: everything is looked at again, and all of it happens, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from molam.kernel.ids import show, uuid7
from molam.mesh.control import (
    checks,
    log_store,
    onward,
    plan,
    practice,
    practice_beginning,
    shift_store,
    store,
    sweep_store,
)
from molam.mesh.control.checks import Caps, Wish
from molam.mesh.control.model import Actor, Applied
from molam.mesh.control.plan import Band
from molam.mesh.control.recording import (
    WHOLE,
    Done,
    Watch,
    inflows,
    log_applied,
    payload_hash,
    replayed,
    summed,
)
from molam.mesh.control.sweep_store import SweptRow
from molam.mesh.federation import corridors
from molam.mesh.members.policies import Policy
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.content import listed_in
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.payments.banks import gates
from molam.payments.banks.gates import Gate
from molam.platform.db import Query, Tx
from molam.platform.jobs import enqueue

SWEEP = "mesh.sweep"
_STATEMENT_MS = 120_000
_LOCK_MS = 3_000
_LEADS_AWAY = frozenset({"failover", "manual", "override"})

# Note [Two sweeps and a gate]
#
# 1. The gate of the bank that is left closes, under a lock that waits for whoever is just
#    handing a payout over and keeps everybody else from beginning to.
# 2. The first sweep moves every payout that nobody holds. It waits for nothing, so it is
#    over before anybody notices.
# 3. What somebody held is left to a second sweep, a job that waits for the locks, a short
#    time each, until none remains. Meanwhile nothing can be handed to the bank that was
#    left: its gate is closed.
#
# The gate closes for the amounts that go somewhere. What no other bank carries keeps its
# bank: a payout is better off with one that may fail than with none. A step that moves only
# part of the value closes no gate, for the bank goes on serving the rest.


class Sweep(msgspec.Struct, frozen=True):
    """Arguments of the job `SWEEP`: sweep again what was busy."""

    proposal_id: str
    share: int
    action_id: str
    actor_kind: str
    actor_id: str
    round: int = 1
    version: int = 1


async def apply_route(
    tx: Tx, mesh: Mesh, proposal_id: str, *, actor: Actor, key: str, share: int = WHOLE
) -> Applied:
    """
    Lead payouts where a proposal says, in the caller's transaction.

    The same *key* and content again gives what was done the first time.

    Raises:
        ApplyKeyReused: the key belongs to something else.
        ProposalAbsent, ProposalNotInState, ProposalExpired, NotApproved, AdviceRefused,
        AlreadyUsed, PolicyMoved, Stopped, NobodyTakes, PracticeRefused: nothing has happened.
    """
    watch, at = Watch(), mesh.clock.now()
    row = await proposals.get(tx, proposal_id)
    await tx.one(store.LOCK_KEY, key=key)
    done = await tx.one(log_store.FIND_ACTION, key=key)
    if done is not None:
        return replayed(done, payload_hash(row, share))
    await tx.one(store.LOCK_SCOPE, currency=row.currency)
    standing = await tx.one(store.LOCK_PROPOSAL, id=row.id, window_h=24)
    assert standing is not None, "proposals are never deleted"
    row = await proposals.get(tx, proposal_id)
    watch.lap("lock")
    wish = Wish(row, actor, share)
    checks.check_state(wish, standing)
    policy = await checks.check_policy(tx, mesh, wish)
    named = {bank for _, _, banks in plan.bands_of(row) for bank in banks}
    left = [] if row.from_bank_id is None else [row.from_bank_id]
    await checks.check_switches(tx, row, policy, sorted({*named, *left}))
    action_id = show("ma", uuid7(at))
    await checks.check_signature(tx, mesh, wish, action_id)
    found = await checks.bands(tx, wish, policy)
    limits = await checks.caps(tx, wish, policy)
    watch.lap("verify")
    if row.kind == practice.KIND:
        said = await practice_beginning.begin(
            tx, wish, found, policy=policy, action_id=action_id, at=at
        )
    else:
        said = await _lead(tx, wish, found, policy)
    watch.lap("gate")
    await tx.one(store.WAIT_AT_MOST, lock_ms=str(_LOCK_MS), statement_ms=str(_STATEMENT_MS))
    swept = await sweep(
        tx, wish, found, limits, action_id=action_id, statement=sweep_store.SWEEP_FREE
    )
    watch.lap("sweep")
    done_now = Done(
        wish=wish,
        swept=swept,
        watch=watch,
        key=key,
        action_id=action_id,
        at=at,
        staying=await _staying(tx, row, found),
    )
    said |= await _not_moved(tx, row, action_id)
    applied = await _finish(tx, done_now, said, step_minutes=policy.rules.step_minutes)
    await _enqueue(tx, done_now)
    return applied


async def _lead(tx: Tx, wish: Wish, found: Sequence[Band], policy: Policy) -> dict[str, Any]:
    """Set the gates, the route in force and the banks' places; say what was changed."""
    gate = await _set_gates(tx, wish, found)
    said = {"routes": await _replace_routes(tx, wish, found), **gate}
    await _place(tx, wish, policy)
    return said


async def _enqueue(tx: Tx, done: Done) -> None:
    """Have the rest done once this commits: what was busy is swept, what can go is sent."""
    wish, row = done.wish, done.wish.row
    if moves_payouts(row):
        asked = Sweep(row.id, wish.share, done.action_id, wish.actor.kind, wish.actor.id)
        await enqueue(tx, SWEEP, asked, once=f"{SWEEP}/{done.key}")
        await onward.enqueue_send_moved(tx, row)
    elif row.kind != practice.KIND:
        await onward.enqueue_send_moved(tx, row, opened=row.to_bank_id)


def moves_payouts(row: ProposalRow) -> bool:
    """Tell whether payouts that wait move too; a return is for those that come."""
    return row.kind in _LEADS_AWAY


async def sweep(
    tx: Tx,
    wish: Wish,
    found: Sequence[Band],
    limits: Caps,
    *,
    action_id: str,
    statement: Query[SweptRow],
) -> list[tuple[Band, SweptRow]]:
    """Move what waits into each range's banks, each range with what is left of their room."""
    if not moves_payouts(wish.row):
        return []
    row, spent, swept = wish.row, dict[str, int](), []
    value_left, ways = limits.value_max, plan.corridors_of(found)
    for band in found:
        if not band.targets:
            continue
        banks = [each.bank_profile_id for each in band.targets]
        rooms = plan.rooms(band, spent)
        one = await tx.one(
            statement,
            region=row.mesh_region_id,
            currency=row.currency,
            rail=row.rail,
            min_amount=band.min_amount,
            max_amount=band.max_amount,
            from_banks=await _leaving(tx, row, banks),
            share=wish.share,
            **listed_in(row.proposal),
            each_max=limits.each_max,
            value_max=value_left,
            banks=banks,
            accounts=[each.account_id for each in band.targets],
            rooms=rooms + [0] * (checks.SEQUENCE_MAX - len(rooms)),
            largest=[each.largest for each in band.targets]
            + [0] * (checks.SEQUENCE_MAX - len(banks)),
            promises=[each.promise_s for each in band.targets],
            actor=wish.actor.id,
            proposal_id=row.id,
            action_id=action_id,
        )
        assert one is not None
        for inflow in inflows(band, one):
            for name in {inflow.bank_profile_id, ways.get(inflow.bank_profile_id)} - {None}:
                spent[str(name)] = spent.get(str(name), 0) + inflow.value
        value_left -= one.value
        swept.append((band, one))
    await corridors.reserve(tx, ways, action_id=action_id)
    if row.from_bank_id is not None and (wish.share < WHOLE or row.shift_share):
        await _note_lots(tx, wish, limits)
    return swept


async def _note_lots(tx: Tx, wish: Wish, limits: Caps) -> None:
    """Note how likely a step of a gradual shift made it that each payout is where it is."""
    row = wish.row
    await tx.run(
        shift_store.NOTE_LOTS,
        proposal_id=row.id,
        region=row.mesh_region_id,
        currency=row.currency,
        rail=row.rail,
        min_amount=row.min_amount,
        max_amount=row.max_amount,
        left_bank=row.from_bank_id,
        each_max=limits.each_max,
        share=wish.share,
    )


async def _staying(tx: Tx, row: ProposalRow, found: Sequence[Band]) -> tuple[int, int]:
    """Count what keeps its bank because no other carries it, and add it up."""
    if not moves_payouts(row) or plan.is_listed(row):
        return 0, 0
    payouts = value = 0
    for band in found:
        if band.targets:
            continue
        one = await tx.one(
            sweep_store.COUNT_STAYING,
            region=row.mesh_region_id,
            currency=row.currency,
            rail=row.rail,
            min_amount=band.min_amount,
            max_amount=band.max_amount,
            from_banks=await _leaving(tx, row, []),
        )
        assert one is not None
        payouts, value = payouts + one.payouts, value + one.value
    return payouts, value


async def _not_moved(tx: Tx, row: ProposalRow, action_id: str) -> dict[str, Any]:
    """Say which of the payouts that a proposal lists were not moved, and why."""
    if not plan.is_listed(row):
        return {}
    rows = await tx.all(
        sweep_store.LIST_NOT_MOVED,
        ids=[id_ for id_, _ in row.proposal["payouts"]],
        terms=[str(terms) for _, terms in row.proposal["payouts"]],
        from_bank=row.from_bank_id,
        currency=row.currency,
        rail=row.rail,
        region=row.mesh_region_id,
        action_id=action_id,
    )
    return {"not_moved": [{"payout_id": each.id, "why": each.why} for each in rows if each.why]}


async def _leaving(tx: Tx, row: ProposalRow, banks: Sequence[str]) -> list[str]:
    if row.from_bank_id is not None:
        return [row.from_bank_id]
    holders = await tx.all(
        store.LIST_HOLDERS, currency=row.currency, rail=row.rail, but=list(banks)
    )
    return [each.bank_profile_id for each in holders]


async def _set_gates(tx: Tx, wish: Wish, found: Sequence[Band]) -> dict[str, Any]:
    """
    Close the gate of the bank that is left for good; open that of whoever is returned to.

    Returns what is written down of it, so that a rollback undoes exactly this.
    """
    row, cause = wish.row, f"proposal {wish.row.id}"
    if row.kind not in _LEADS_AWAY and row.to_bank_id is not None:
        gate, asked = Gate(row.to_bank_id, row.rail, row.currency), (row.min_amount, row.max_amount)
        opened = await gates.open_(tx, gate, cause=cause, amounts=[asked])
        return {"gate_closed": False, "gate_opened": opened}
    amounts = plan.covered(found)
    if row.from_bank_id is None or wish.share < WHOLE or not amounts or plan.is_listed(row):
        return {"gate_closed": False}
    gate = Gate(row.from_bank_id, row.rail, row.currency)
    closed = await gates.close(tx, gate, cause=cause, amounts=amounts)
    return {"gate_closed": bool(closed), "gate_amounts": closed}


async def _replace_routes(tx: Tx, wish: Wish, found: Sequence[Band]) -> dict[str, Any]:
    """
    Replace the route in force once all of the value goes another way; say what it was.

    For amounts that go nowhere it stays in force.
    """
    row = wish.row
    if wish.share < WHOLE or plan.is_listed(row):
        return {"before": [], "after": []}
    before = await tx.all(store.LOCK_ROUTES, currency=row.currency, rail=row.rail)
    leaves = row.from_bank_id if row.kind in _LEADS_AWAY else None
    amounts = gates.EVERY_AMOUNT if leaves is None else plan.covered(found)
    # See Note [No more than there is] in federation/corridors.py.
    ranges = plan.at_home(
        plan.within(plan.bands_of(row), amounts), row.proposal.get("corridors", ())
    )
    ended, begun = plan.new_routes(before, ranges, leaves)
    await tx.run(store.END_ROUTES, ids=ended)
    for low, high, banks in begun:
        await tx.run(
            store.ADD_ROUTE,
            currency=row.currency,
            rail=row.rail,
            min_amount=low,
            max_amount=high,
            banks=list(banks),
            cause=f"proposal {row.id}",
        )
    return {
        "before": [[b.min_amount, b.max_amount, b.bank_profile_ids] for b in before],
        "after": [[low, high, list(banks)] for low, high, banks in begun],
    }


async def _place(tx: Tx, wish: Wish, policy: Policy) -> None:
    """Note where the controller has the banks now: one is left at the first step already."""
    row, rules = wish.row, policy.rules
    if plan.is_listed(row):
        return
    where = {"rail": row.rail, "currency": row.currency}
    is_everything = row.min_amount == 0 and row.max_amount is None
    if row.kind not in _LEADS_AWAY:
        banks = [] if row.to_bank_id is None else [row.to_bank_id]
        await tx.run(store.SET_SERVING, banks=banks, **where)
    elif row.from_bank_id is not None and is_everything:
        await tx.run(
            store.SET_LEFT,
            banks=[row.from_bank_id],
            half_life_s=rules.flap_half_life_minutes * 60.0,
            flap_penalty=float(rules.flap_penalty),
            suppress_at=float(rules.flap_suppress),
            **where,
        )


async def _finish(tx: Tx, done: Done, said: dict[str, Any], *, step_minutes: int) -> Applied:
    """Let the proposal be applied, and write that down everywhere it must be."""
    wish, row = done.wish, done.wish.row
    applied = summed(done.swept, wish, done.action_id, done.watch)
    payouts, value = done.staying
    if payouts:
        applied = msgspec.structs.replace(
            applied, result="partial", staying_payouts=payouts, staying_value=value
        )
    await tx.run(
        store.SET_APPLIED,
        id=row.id,
        by=wish.actor.id,
        share=wish.share,
        step_minutes=step_minutes,
    )
    if wish.share < WHOLE:
        await tx.run(store.BEGIN_STEP, proposal_id=row.id, share=wish.share)
    await log_applied(tx, applied, done, said)
    return applied
