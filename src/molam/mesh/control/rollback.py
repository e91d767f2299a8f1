"""Taking a route back: exactly what is as the route left it, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.digests import canonical_bytes
from molam.kernel.ids import show, uuid7
from molam.mesh.control import (
    log_store,
    onward,
    plan,
    practice,
    practice_ending,
    store,
    sweep_store,
)
from molam.mesh.control.checks import Wish
from molam.mesh.control.hysteresis import Limits
from molam.mesh.control.model import (
    Actor,
    ApplyKeyReused,
    Irreversible,
    LaterRoute,
    RollbackTooLate,
    RolledBack,
)
from molam.mesh.control.recording import Watch, publish
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import ProposalNotInState
from molam.mesh.routing.store import ProposalRow
from molam.payments.banks import gates
from molam.payments.banks.gates import Gate
from molam.platform.db import Tx

_STEPS_MAX = 100
_RETURNS = frozenset({"return", "reorder"})


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    """Which route is taken back, why, who wants it, and for how long that is possible."""

    proposal_id: str
    reason: str
    actor: Actor
    window_h: int
    at: Instant

    @property
    def key(self) -> str:
        return f"rollback-routing-{self.proposal_id}"


# Note [Exactly what was]
#
# A payout goes back only if its bank, its account and its amount are still what the route
# made them, no later route has moved it and nobody has been given it: to the account that
# was recorded before, whichever account of that bank would be taken today. That it fell
# due or was held meanwhile is no reason to keep it. All others are named, with why. What
# went out is the bank's to give back; what another route moved is that route's.


async def roll_back(tx: Tx, undo: Undo) -> RolledBack:
    """
    Take an applied route back, in the caller's transaction; a second time gives the first.

    Raises:
        ProposalAbsent, ProposalNotInState: it is not applied.
        RollbackTooLate: its window is over.
        LaterRoute: another route has been applied to the same payouts since.
    """
    watch = Watch()
    row = await proposals.get(tx, undo.proposal_id)
    await tx.one(store.LOCK_KEY, key=undo.key)
    asked = _hash(undo)
    done = await tx.one(log_store.FIND_ACTION, key=undo.key)
    if done is not None:
        return _replayed(done, asked)
    await tx.one(store.LOCK_SCOPE, currency=row.currency)
    standing = await tx.one(store.LOCK_PROPOSAL, id=row.id, window_h=undo.window_h)
    assert standing is not None, "proposals are never deleted"
    await check(tx, row.id, standing)
    steps = await tx.all(log_store.LIST_OF_PROPOSAL, proposal_id=row.id, limit=_STEPS_MAX)
    opened = await _reset_gates(tx, row, steps)
    kept = await _restore_routes(tx, row, steps)
    await _reset_place(tx, row)
    if row.kind == practice.KIND:
        await practice_ending.stop(tx, row.id, reason="taken_back")
    await tx.one(store.WAIT_AT_MOST, lock_ms="3000", statement_ms="60000")
    watch.lap("gate")
    found = await tx.one(sweep_store.RESTORE, proposal_id=row.id, actor=undo.actor.id)
    assert found is not None
    watch.lap("sweep")
    await tx.run(store.SET_ROLLED_BACK, id=row.id, reason=undo.reason)
    rolled = RolledBack(
        action_id=show("ma", uuid7(undo.at)),
        proposal_id=row.id,
        restored_payouts=found.payouts,
        restored_value=found.value,
        currency=row.currency,
        not_reversible_payouts=found.kept,
        not_reversible=tuple(msgspec.convert(each, Irreversible) for each in found.reasons),
        duration_ms=watch.total_ms,
    )
    await _record(tx, row, undo, rolled, said={"ids": found.ids, "route_restored": not kept})
    await onward.enqueue_send_moved(tx, row, opened=opened)
    return rolled


async def check(tx: Tx, proposal_id: str, standing: store.StandingRow) -> None:
    """
    Raises:
        ProposalNotInState, RollbackTooLate, LaterRoute: it cannot be taken back.
    """
    if standing.status != "applied":
        raise ProposalNotInState(
            f"Only a route that is applied can be taken back; this one is {standing.status}.",
            status=standing.status,
        )
    if standing.is_late_to_undo:
        raise RollbackTooLate("Propose another route instead; recall what was sent.")
    later = await tx.one(store.FIND_LATER, id=proposal_id)
    if later is not None:
        raise LaterRoute("Take the later one back first.", proposal=later.id)


async def _reset_gates(
    tx: Tx, row: ProposalRow, steps: Sequence[log_store.ActionRow]
) -> str | None:
    """Set the gates as they were; return whose is open again, if one is."""
    cause = f"proposal {row.id} was rolled back"
    if row.kind == "return" and row.to_bank_id is not None:
        gate = Gate(row.to_bank_id, row.rail, row.currency)
        await gates.close(tx, gate, cause=cause, amounts=_amounts(steps, "gate_opened"))
    elif row.from_bank_id is not None and any(each.payload.get("gate_closed") for each in steps):
        gate = Gate(row.from_bank_id, row.rail, row.currency)
        await gates.open_(tx, gate, cause=cause, amounts=_amounts(steps, "gate_amounts"))
        return row.from_bank_id
    return None


def _amounts(steps: Sequence[log_store.ActionRow], name: str) -> list[tuple[int, int | None]]:
    """Read for which amounts a gate was changed; older entries changed it for all."""
    said = [each.payload[name] for each in steps if name in each.payload]
    if not said:
        return list(gates.EVERY_AMOUNT)
    return [(low, high) for ranges in said for low, high in ranges]


async def _restore_routes(
    tx: Tx, row: ProposalRow, steps: Sequence[log_store.ActionRow]
) -> str | None:
    """Put the routes back that were in force; return why not, where somebody changed them since."""
    # Later sweeps are steps as well, and replaced none.
    replaced = [each.payload["routes"] for each in steps if "routes" in each.payload]
    routes = next((each for each in replaced if each.get("after")), None)
    if routes is None:
        return "no route was replaced"
    in_force = await tx.all(store.LOCK_ROUTES, currency=row.currency, rail=row.rail)
    ours = {(low, high, tuple(banks)) for low, high, banks in routes["after"]}
    now = {(each.min_amount, each.max_amount, tuple(each.bank_profile_ids)) for each in in_force}
    before = {(low, high, tuple(banks)) for low, high, banks in routes["before"]}
    if not ours <= now:
        return "the route in force is another by now"
    wrong = [
        each.id
        for each in in_force
        if (each.min_amount, each.max_amount, tuple(each.bank_profile_ids)) in ours
    ]
    await tx.run(store.END_ROUTES, ids=wrong)
    for low, high, banks in sorted(before - (now - ours), key=lambda each: each[0]):
        await tx.run(
            store.ADD_ROUTE,
            currency=row.currency,
            rail=row.rail,
            min_amount=low,
            max_amount=high,
            banks=list(banks),
            cause=f"proposal {row.id} was rolled back",
        )
    return None


async def _reset_place(tx: Tx, row: ProposalRow) -> None:
    if plan.is_listed(row):
        return
    where: dict[str, Any] = {"rail": row.rail, "currency": row.currency}
    if row.kind == practice.KIND:
        return
    if row.kind not in _RETURNS and row.from_bank_id is not None:
        banks = [row.from_bank_id]
        await tx.run(store.SET_SERVING, banks=banks, **where)
        # Else the controller would leave the bank again a moment later.
        await tx.run(store.SET_SUPPRESSED, banks=banks, suppress_at=Limits().suppress_at, **where)
    elif row.kind == "return" and row.to_bank_id is not None:
        await tx.run(store.SET_AWAY, banks=[row.to_bank_id], **where)


async def _record(
    tx: Tx, row: ProposalRow, undo: Undo, rolled: RolledBack, *, said: dict[str, Any]
) -> None:
    ids = said.pop("ids")
    facts = {
        "proposal_id": row.id,
        "currency": row.currency,
        "rail": row.rail,
        "payouts": rolled.restored_payouts,
        "value": rolled.restored_value,
        "not_reversible": rolled.not_reversible_payouts,
        **said,
    }
    written = await tx.run(
        log_store.APPEND_ACTION,
        id=rolled.action_id,
        action_type="rollback",
        region=row.mesh_region_id,
        proposal_id=row.id,
        payload={**facts, "reason": undo.reason, "rolled_back": msgspec.to_builtins(rolled)},
        payload_hash=_hash(undo),
        actor_type=undo.actor.kind,
        actor_id=undo.actor.id,
        affected=ids,
        count=rolled.restored_payouts,
        value=rolled.restored_value,
        banks=sorted({each for each in (row.from_bank_id, row.to_bank_id) if each is not None}),
        result="partial" if rolled.not_reversible_payouts else "success",
        error=None,
        timings={},
        started_at=undo.at,
        duration_ms=rolled.duration_ms,
        key=undo.key,
    )
    assert written == 1, "the key was locked"
    wish = Wish(row, undo.actor, row.shift_share)
    await publish(tx, rolled.action_id, "rollback", wish, result="rolled_back", at=undo.at)
    await tx.run(store.TELL_PAGES)
    fact = Fact(
        event="mesh.rollback",
        actor_kind="user" if undo.actor.kind == "user" else "system",
        actor_id=undo.actor.id,
        data={"action_id": rolled.action_id, **facts},
    )
    await append_to(tx, f"mesh:{row.mesh_region_id}", [fact], at=undo.at)


def _hash(undo: Undo) -> bytes:
    return hashlib.sha256(
        canonical_bytes({"what": "rollback", "proposal": undo.proposal_id})
    ).digest()


def read(done: log_store.ActionRow) -> RolledBack:
    """Read back what a row of the log says was taken back."""
    return msgspec.convert(done.payload["rolled_back"], RolledBack)


def _replayed(done: log_store.ActionRow, asked: bytes) -> RolledBack:
    if done.payload_hash != asked:
        raise ApplyKeyReused("Use a new key for something else.", action=done.id)
    return msgspec.structs.replace(read(done), replayed=True)
