"""The sweeps after the first: what somebody held, or nobody had room for, until none remains."""

from __future__ import annotations

import msgspec

from molam.kernel.ids import show, uuid7
from molam.mesh.control import checks, onward, plan, store, sweep_store
from molam.mesh.control.apply import SWEEP, Sweep, moves_payouts, sweep
from molam.mesh.control.checks import Wish
from molam.mesh.control.model import Actor, Applied, NobodyTakes, Stopped
from molam.mesh.control.recording import Done, Watch, key_of, log_applied, summed
from molam.mesh.members import policies
from molam.mesh.members.policies import Policy
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.payments.banks import gates
from molam.payments.banks.gate_store import GateRow
from molam.platform.db import Tx
from molam.platform.jobs import enqueue

LOCK_MS = 1_000
ROUNDS_MAX = 100
_ROUND_FIRST_S = 30
_ROUND_MAX_S = 900

# Note [Nobody stays at a closed gate]
#
# What remains at a bank whose gate is closed cannot leave by itself: its other banks had
# no room, or were out of use, or the mesh was stopped. So it is swept again every quarter
# of an hour, for a day, for as long as the route stands and the gate is closed. A route
# that the controller applies in steps is not: it may only ever move so much at a time,
# and the controller takes up the rest. Nor is one that closed no gate.


async def sweep_again(tx: Tx, mesh: Mesh, asked: Sweep, *, turn: str) -> Applied | None:
    """
    Move what is still with the bank that was left; None when nothing was.

    It waits for whoever holds a payout, but not for long: if that does not suffice the
    database says so, and the job is tried again. What was signed and approved was checked
    by the first sweep and cannot have changed since.
    """
    row = await proposals.get(tx, asked.proposal_id)
    await tx.one(store.LOCK_SCOPE, currency=row.currency)
    standing = await tx.one(store.LOCK_PROPOSAL, id=row.id, window_h=24)
    assert standing is not None, "proposals are never deleted"
    if standing.status != "applied" or standing.shift_share != asked.share:
        return None
    wish = Wish(row, _actor(asked), asked.share)
    policy = await policies.effective(tx, row.mesh_region_id, mesh)
    if not moves_payouts(row) or not await _stands(tx, wish):
        return None
    try:
        applied = await _sweep(tx, mesh, wish, policy, asked=asked, turn=turn)
    except (Stopped, NobodyTakes):
        await _come_back(tx, wish, policy, asked)
        return None
    if applied.remaining_payouts:
        await _come_back(tx, wish, policy, asked)
    return applied if applied.affected_payouts else None


async def _sweep(
    tx: Tx, mesh: Mesh, wish: Wish, policy: Policy, *, asked: Sweep, turn: str
) -> Applied:
    watch, at, row = Watch(), mesh.clock.now(), wish.row
    found = await checks.bands(tx, wish, policy)
    if _has_gate(wish):
        # What the bank was opened for again meanwhile is its own.
        shut = await _gate(tx, row)
        found = [each for each in found if shut and shut.is_shut(each.min_amount, each.max_amount)]
    named = sorted({each.bank_profile_id for band in found for each in band.targets})
    await checks.check_switches(tx, row, policy, named)
    action_id = show("ma", uuid7(at))
    limits = await checks.caps(tx, wish, policy)
    await tx.one(store.WAIT_AT_MOST, lock_ms=str(LOCK_MS), statement_ms="60000")
    swept = await sweep(
        tx, wish, found, limits, action_id=action_id, statement=sweep_store.SWEEP_REST
    )
    watch.lap("sweep")
    applied = summed(swept, wish, action_id, watch)
    if applied.affected_payouts:
        key = f"{key_of(row.id, asked.share)}-sweep-{turn}"
        done = Done(wish=wish, swept=swept, watch=watch, key=key, action_id=action_id, at=at)
        await log_applied(tx, applied, done, {"sweep_of": asked.action_id})
        await onward.enqueue_send_moved(tx, row)
    return applied


async def _stands(tx: Tx, wish: Wish) -> bool:
    """Tell whether payouts are still led away: a later route may have come back to the bank."""
    row = wish.row
    if _has_gate(wish):
        gate = await _gate(tx, row)
        return gate is not None and gate.is_left
    return await tx.one(store.FIND_LATER, id=row.id) is None


def _has_gate(wish: Wish) -> bool:
    whole = wish.share == plan.WHOLE and not plan.is_listed(wish.row)
    return wish.row.from_bank_id is not None and whole


async def _gate(tx: Tx, row: ProposalRow) -> GateRow | None:
    assert row.from_bank_id is not None
    found = await gates.gates_of(tx, [row.from_bank_id], rail=row.rail, currency=row.currency)
    return found[0] if found else None


async def _come_back(tx: Tx, wish: Wish, policy: Policy, asked: Sweep) -> None:
    """See Note [Nobody stays at a closed gate]."""
    if not _has_gate(wish) or checks.is_gradual(wish, policy) or asked.round >= ROUNDS_MAX:
        return
    delay_s = min(_ROUND_FIRST_S * 2 ** (asked.round - 1), _ROUND_MAX_S)
    again = msgspec.structs.replace(asked, round=asked.round + 1)
    await enqueue(tx, SWEEP, again, delay_s=delay_s)


def _actor(asked: Sweep) -> Actor:
    return msgspec.convert({"kind": asked.actor_kind, "id": asked.actor_id}, Actor)
