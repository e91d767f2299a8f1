"""The controller: it looks at a region's banks, decides, and carries out what it may."""

from __future__ import annotations

import structlog

from molam.kernel.refusals import Refusal
from molam.mesh.control import commands, store, telling, world_store
from molam.mesh.control.judging import REJECT, Shift, Verdict, judge
from molam.mesh.control.looking import Scope, look
from molam.mesh.control.model import CONTROLLER
from molam.mesh.control.recording import WHOLE
from molam.mesh.members import regions
from molam.mesh.members.policies import Policy
from molam.mesh.routing import commands as routing
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import Wanted
from molam.mesh.runtime import Mesh
from molam.platform.db import Database, Tx

log = structlog.get_logger()

EXPIRED_MAX = 500


async def decide(db: Database, mesh: Mesh, currency: str, rail: str) -> Verdict | None:
    """
    Decide about one currency and rail of this installation's region, and act if need be.

    None: another installation decides there, or nobody does.
    """
    if not mesh.is_controller:
        return None
    async with db.transaction("mesh.look") as tx:
        region = await regions.find(tx, mesh.region)
        if region is None:
            log.warning("mesh.controller.no_region", region=mesh.region)
            return None
        scope = Scope(region.id, currency, rail)
        await tx.one(world_store.LOCK_DECISION, **scope.columns)
        world, policy = await look(tx, mesh, scope)
        verdict = judge(world)
        await _remember(tx, scope, verdict)
        if verdict.word == "freeze":
            await telling.frozen(tx, scope, world)
    if verdict.acts:
        verdict = await _carry_out(db, mesh, scope, verdict, shift=world.shift, policy=policy)
    return verdict


async def decide_all(db: Database, mesh: Mesh) -> None:
    """Look at everything the region carries: time alone brings returns, steps and expiry."""
    if not mesh.is_controller:
        return
    async with db.transaction("mesh.scopes") as tx:
        await tx.run(world_store.END_EXPIRED, limit=EXPIRED_MAX)
        region = await regions.find(tx, mesh.region)
        scopes = [] if region is None else await tx.all(world_store.LIST_SCOPES, region=region.id)
    for each in scopes:
        await decide(db, mesh, each.currency, each.rail)


async def _carry_out(
    db: Database,
    mesh: Mesh,
    scope: Scope,
    verdict: Verdict,
    *,
    shift: Shift | None,
    policy: Policy,
) -> Verdict:
    proposal_id: str | None
    try:
        if verdict.word in {"step", "halt"}:
            assert shift is not None
            await _go_on(db, mesh, verdict, shift)
            proposal_id = shift.proposal_id
        else:
            proposal_id = await _propose(db, mesh, scope, verdict, policy=policy)
    except Refusal as refusal:
        log.warning("mesh.controller.refused", code=refusal.code, detail=refusal.detail)
        async with db.transaction("mesh.remember") as tx:
            await _remember(tx, scope, verdict, refused=refusal)
        return verdict
    async with db.transaction("mesh.remember") as tx:
        await _remember(tx, scope, verdict, proposal_id=proposal_id)
    return verdict


async def _propose(
    db: Database, mesh: Mesh, scope: Scope, verdict: Verdict, *, policy: Policy
) -> str | None:
    """Have a route proposed and tried out; then apply it, or put it to people."""
    async with db.transaction("mesh.propose") as tx:
        await tx.one(world_store.LOCK_DECISION, **scope.columns)
        before = await tx.all(world_store.LIST_ASKED, **scope.columns)
        same = [
            each
            for each in before
            if each.kind == verdict.kind and each.from_bank_id in {verdict.from_bank, None}
        ]
        if any(each.is_fresh for each in same):
            return None
        row = await routing.propose(tx, mesh, _wanted(scope, verdict))
        await routing.simulate(tx, mesh, row.id)
        row = await proposals.get(tx, row.id)
        sure = row.kind in {"return", "reorder"} or (
            row.confidence >= policy.rules.auto_confidence_threshold
        )
        alone = verdict.word != "ask" and sure
        if not alone and not any(each.waits_for_people for each in same):
            await commands.ask_people(tx, mesh, row)
    if alone:
        await commands.apply_now(db, mesh, row.id, actor=CONTROLLER, share=verdict.share)
    return row.id


def _wanted(scope: Scope, verdict: Verdict) -> Wanted:
    return Wanted(
        mesh_region_id=scope.region_id,
        currency=scope.currency,
        rail=scope.rail,
        kind=verdict.kind,
        created_by="sira",
        from_bank_id=verdict.from_bank,
        first=() if verdict.to_bank is None else (verdict.to_bank,),
    )


async def _go_on(db: Database, mesh: Mesh, verdict: Verdict, shift: Shift) -> None:
    """Take a gradual shift one step further, or end it where its target suffers from it."""
    if verdict.word == "step":
        await commands.apply_now(db, mesh, shift.proposal_id, actor=CONTROLLER, share=verdict.share)
    async with db.transaction("mesh.end_step") as tx:
        ill = shift.log_ratio >= REJECT or verdict.word == "halt"
        result = "ill" if ill else "well" if verdict.reason == "target_does_well" else "no_evidence"
        await tx.run(
            world_store.END_STEP,
            proposal_id=shift.proposal_id,
            share=shift.share,
            result=result,
            outcomes=shift.outcomes,
            failures=shift.failures,
            log_ratio=shift.log_ratio,
        )
        if verdict.word == "halt":
            why = f"halted at {shift.share} %: the bank it goes to suffers"
            await tx.run(world_store.END_SHIFT, id=shift.proposal_id, why=why)
        await tx.run(store.TELL_PAGES)


async def _remember(
    tx: Tx,
    scope: Scope,
    verdict: Verdict,
    *,
    proposal_id: str | None = None,
    refused: Refusal | None = None,
) -> None:
    detail: dict[str, object] = {"p_down": round(verdict.p_down, 6), "kind": verdict.kind}
    if verdict.share != WHOLE:
        detail["share"] = verdict.share
    if refused is not None:
        detail["refused"] = refused.detail
    await tx.run(
        world_store.PUT_VERDICT,
        **scope.columns,
        verdict=verdict.word if refused is None else "stay",
        reason=verdict.reason if refused is None else refused.code.replace("-", "_"),
        detail=detail,
        from_bank=verdict.from_bank,
        to_bank=verdict.to_bank,
        proposal_id=proposal_id,
    )
    await tx.run(store.TELL_PAGES)
