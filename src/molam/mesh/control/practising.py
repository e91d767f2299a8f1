"""Practice runs: begun in a quiet hour, watched each minute, ended by time, judged by what came."""

from __future__ import annotations

import structlog

from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.refusals import Refusal
from molam.mesh.control import (
    commands,
    metrics,
    practice,
    practice_ending,
    practice_store,
    store,
    telling,
    world_store,
)
from molam.mesh.control.looking import Scope, log_ratio, look
from molam.mesh.control.model import CONTROLLER
from molam.mesh.control.practice import Heard, Hour
from molam.mesh.control.practice_store import HeardRow, OpenRow
from molam.mesh.control.world import World
from molam.mesh.members import regions
from molam.mesh.members.policies import Policy
from molam.mesh.routing import commands as routing
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import Wanted
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.platform.db import Database, Tx

log = structlog.get_logger()


async def practise(db: Database, mesh: Mesh) -> None:
    """Watch what is practised, and begin what is due; without a controller nothing begins."""
    async with db.transaction("mesh.practices", readonly=True) as tx:
        running = await tx.all(practice_store.LIST_OPEN, id=None)
    for row in running:
        await watch(db, mesh, row.proposal_id)
    if not mesh.is_controller:
        return
    async with db.transaction("mesh.scopes", readonly=True) as tx:
        region = await regions.find(tx, mesh.region)
        scopes = [] if region is None else await tx.all(world_store.LIST_SCOPES, region=region.id)
    for each in scopes:
        assert region is not None
        await begin(db, mesh, Scope(region.id, each.currency, each.rail))


async def begin(db: Database, mesh: Mesh, scope: Scope) -> str | None:
    """
    Have a practice proposed if one is due and all is well; apply it, or put it to people.

    Returns the proposal.
    """
    try:
        async with db.transaction("mesh.propose_practice") as tx:
            await tx.one(world_store.LOCK_DECISION, **scope.columns)
            world, policy = await look(tx, mesh, scope, writes=False)
            if not await _is_due(tx, scope, world, policy):
                return None
            row = await _propose(tx, mesh, scope, world)
            if not policy.may_act_alone:
                await commands.ask_people(tx, mesh, row)
        if policy.may_act_alone:
            await commands.apply_now(db, mesh, row.id, actor=CONTROLLER)
    except Refusal as refusal:
        log.warning("mesh.practice.refused", code=refusal.code, detail=refusal.detail)
        return None
    return row.id


async def _is_due(tx: Tx, scope: Scope, world: World, policy: Policy) -> bool:
    rules = policy.rules
    if not rules.practice or practice.obstacle(world) is not None:
        return False
    due = await tx.one(practice_store.FIND_DUE, **scope.columns, days=rules.practice_every_days)
    leaves = _leaves(world)
    if due is None or not due.is_due or leaves is None:
        return False
    homes = await tx.all(practice_store.LIST_HOMES, banks=[each.id for each in world.banks])
    here = next(each for each in homes if each.bank_profile_id == leaves)
    hour = Hour(due.at, here.timezone, frozenset(each.country for each in homes))
    return hour.is_for(rules)


def _leaves(world: World) -> str | None:
    """Name the bank that has the payouts now."""
    firsts = [each for each in world.banks if each.is_first]
    return min(firsts, key=lambda each: (each.prefer_order, each.id)).id if firsts else None


async def _propose(tx: Tx, mesh: Mesh, scope: Scope, world: World) -> ProposalRow:
    wanted = Wanted(
        mesh_region_id=scope.region_id,
        currency=scope.currency,
        rail=scope.rail,
        kind="practice",
        created_by="sira",
        from_bank_id=_leaves(world),
    )
    row = await routing.propose(tx, mesh, wanted)
    await routing.simulate(tx, mesh, row.id)
    return await proposals.get(tx, row.id)


async def watch(db: Database, mesh: Mesh, proposal_id: str) -> None:
    """Follow a practice: end it when its time is over or a bank suffers, and say what it showed."""
    async with db.transaction("mesh.watch_practice") as tx:
        found = await tx.one(practice_store.LIST_OPEN, id=proposal_id)
        if found is None:
            return
        await tx.one(store.LOCK_SCOPE, currency=found.currency)
        found = await tx.one(practice_store.LIST_OPEN, id=proposal_id)
        if found is None:
            return
        await tx.run(practice_store.FOLLOW, id=proposal_id)
        scope = Scope(found.mesh_region_id, found.currency, found.rail)
        world, _ = await look(tx, mesh, scope, writes=False)
        if found.ended_at is None:
            reason = _why_end(found, world, await _heard(tx, found, world))
            if reason is not None:
                await practice_ending.end(tx, proposal_id, reason=reason, at=mesh.clock.now())
                found = await tx.one(practice_store.LIST_OPEN, id=proposal_id)
                assert found is not None
        else:
            await practice_ending.give_back(tx, proposal_id)
        await _judge(tx, mesh, found, world)


def _why_end(row: OpenRow, world: World, heard: Heard) -> str | None:
    if world.stopped is not None or any(each.is_stopped for each in world.banks):
        return "stopped"
    both = frozenset((row.from_bank_id, row.to_bank_id))
    if practice.suffers(heard) or practice.is_ill(world, both):
        return "bank_suffers"
    return "time" if row.is_over else None


async def _heard(tx: Tx, row: OpenRow, world: World) -> Heard:
    return _weighed(await _sums(tx, row), row, world)


async def _sums(tx: Tx, row: OpenRow) -> HeardRow:
    found = await tx.one(practice_store.SUM_HEARD, id=row.proposal_id)
    assert found is not None
    return found


def _weighed(found: HeardRow, row: OpenRow, world: World) -> Heard:
    usual = next((each.baseline for each in world.banks if each.id == row.to_bank_id), 0.01)
    return Heard(
        kept=found.kept,
        open=found.open,
        paid=found.paid,
        outcomes=found.outcomes,
        failures=found.failures,
        log_ratio=log_ratio(found.outcomes, found.failures, usual),
        since_end_s=row.since_end_s,
    )


async def _judge(tx: Tx, mesh: Mesh, row: OpenRow, world: World) -> None:
    found = await _sums(tx, row)
    outcome = practice.outcome_of(_weighed(found, row, world))
    await tx.run(
        practice_store.SET_HEARD,
        id=row.proposal_id,
        payouts=found.payouts,
        value=found.value,
        paid=found.paid,
        failed=found.failed,
        fees=found.fees,
        usual_fees=found.usual_fees,
        seconds=found.seconds,
        usual_seconds=found.usual_seconds,
        outcome=outcome,
    )
    if outcome is None:
        return
    metrics.PRACTISED.labels(outcome).inc()
    data = {"proposal_id": row.proposal_id, "outcome": outcome, "payouts": found.payouts}
    fact = Fact(event="mesh.practised", actor_kind="system", actor_id=CONTROLLER.id, data=data)
    await append_to(tx, f"mesh:{row.mesh_region_id}", [fact], at=mesh.clock.now())
    await tx.run(store.TELL_PAGES)
    if outcome == "fails":
        await telling.practice_failed(tx, row.proposal_id, row.to_bank_id, row.to_bank_name)
