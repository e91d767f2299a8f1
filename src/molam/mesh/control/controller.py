"""The controller: it looks at a region's banks, decides, and carries out what it may."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.refusals import Refusal
from molam.mesh.control import commands, metrics, shift_store, store, telling, world_store
from molam.mesh.control.judging import REJECT, judge
from molam.mesh.control.looking import Scope, look
from molam.mesh.control.model import CONTROLLER, NobodyTakes
from molam.mesh.control.recording import WHOLE
from molam.mesh.control.world import Shift, Verdict, World
from molam.mesh.members import regions, switches
from molam.mesh.members.policies import Policy
from molam.mesh.routing import commands as routing
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import Wanted
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.mesh.signals.commands import DECIDE
from molam.mesh.signals.model import Decide
from molam.payments.banks import gates
from molam.payments.banks.gates import Gate
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue

log = structlog.get_logger()

EXPIRED_MAX = 500
_AGAIN_S = 0.3
_BY_HISTORY = frozenset({"another_is_better", "better_in_the_long_run"})
"""Moves from a bank that is well: what speaks for them is how both did over weeks."""
_STORED = {"readmit": "return"}
"""What pages and lists show as one; the reason tells them apart."""


async def decide(db: Database, mesh: Mesh, currency: str, rail: str) -> Verdict | None:
    """
    Decide about one currency and rail of this installation's region, and act if need be.

    None: another installation decides there, or nobody does.
    """
    if not mesh.is_controller:
        return None
    seen = await _look(db, mesh, currency, rail)
    while seen is not None and seen.verdict.word == "readmit":
        before = seen
        if not await _readmit(db, mesh, before):
            return before.verdict
        # Now there is one more bank to lead payouts to, if they wait for one.
        seen = await _look(db, mesh, currency, rail, after=before.verdict)
        if seen is not None and not seen.verdict.acts:
            return before.verdict
    if seen is None or not seen.verdict.acts:
        return None if seen is None else seen.verdict
    return await _carry_out(db, mesh, seen)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was decided about a scope, and by what."""

    scope: Scope
    world: World
    policy: Policy
    verdict: Verdict


async def _look(
    db: Database, mesh: Mesh, currency: str, rail: str, *, after: Verdict | None = None
) -> _Seen | None:
    """Judge a scope as it is now, and remember that: or *after*, if nothing more is to be done."""
    async with db.transaction("mesh.look") as tx:
        region = await regions.find(tx, mesh.region)
        if region is None:
            log.warning("mesh.controller.no_region", region=mesh.region)
            return None
        scope = Scope(region.id, currency, rail)
        await tx.one(world_store.LOCK_DECISION, **scope.columns)
        world, policy = await look(tx, mesh, scope)
        verdict = judge(world)
        await _remember(tx, scope, verdict if after is None or verdict.acts else after)
        if verdict.word == "freeze":
            await telling.frozen(tx, scope, world)
    return _Seen(scope, world, policy, verdict)


async def _readmit(db: Database, mesh: Mesh, seen: _Seen) -> bool:
    """Open the gate of a bank that is fit again; return whether it still was to be opened."""
    scope, bank = seen.scope, seen.verdict.to_bank
    assert bank is not None
    async with db.transaction("mesh.readmit") as tx:
        await tx.one(world_store.LOCK_DECISION, **scope.columns)
        await tx.one(store.LOCK_SCOPE, currency=scope.currency)
        stop = await switches.engaged(
            tx, scope.region_id, bank_ids=[bank], policy_id=seen.policy.id
        )
        now, _ = await look(tx, mesh, scope, writes=False)
        again = judge(replace(now, is_enforced=True))
        if stop is not None or (again.word, again.to_bank) != ("readmit", bank):
            return False
        await gates.open_(tx, Gate(bank, scope.rail, scope.currency), cause="it is fit again")
        await tx.run(store.SET_SERVING, banks=[bank], **scope.lane)
        await tx.run(store.TELL_PAGES)
        fact = Fact(
            event="mesh.readmit",
            actor_kind="system",
            actor_id=CONTROLLER.id,
            data={"bank_profile_id": bank, **scope.lane},
        )
        await append_to(tx, f"mesh:{scope.region_id}", [fact], at=mesh.clock.now())
    return True


async def decide_all(db: Database, mesh: Mesh) -> None:
    """Look at everything the region carries: time alone brings returns, steps and expiry."""
    if not mesh.is_controller:
        return
    async with db.transaction("mesh.scopes") as tx:
        await tx.run(world_store.END_EXPIRED, limit=EXPIRED_MAX)
        region = await regions.find(tx, mesh.region)
        scopes = [] if region is None else await tx.all(world_store.LIST_SCOPES, region=region.id)
        halted = await tx.all(shift_store.COUNT_HALTED)
    metrics.SHIFTS_HALTED.clear()
    for row in halted:
        metrics.SHIFTS_HALTED.labels(row.currency).set(row.number)
    for each in scopes:
        await decide(db, mesh, each.currency, each.rail)


async def _carry_out(db: Database, mesh: Mesh, seen: _Seen) -> Verdict:
    scope, verdict, shift = seen.scope, seen.verdict, seen.world.shift
    proposal_id: str | None
    try:
        if verdict.word in {"step", "halt"}:
            assert shift is not None
            await _go_on(db, mesh, scope, verdict, shift=shift)
            proposal_id = shift.proposal_id
        else:
            verdict, proposal_id = await _propose(db, mesh, seen)
    except _AskedAlready as asked:
        verdict = replace(verdict, word="stay", reason="waiting_for_people")
        proposal_id = asked.proposal_id
    except Refusal as refusal:
        log.warning("mesh.controller.refused", code=refusal.code, detail=refusal.detail)
        async with db.transaction("mesh.remember") as tx:
            await _remember(tx, scope, verdict, refused=refusal)
        return verdict
    async with db.transaction("mesh.remember") as tx:
        await _remember(tx, scope, verdict, proposal_id=proposal_id)
    return verdict


# Note [Asked once]
#
# What people are asked about is tried again at each look, for SIRA may be sure enough by
# now to act alone. While it is not, nothing of the attempt is kept: what they have before
# them holds until it expires, its policy changes, or it would lead to another bank; and
# even then nobody is asked about the same bank twice within a cooldown.


class _AskedAlready(Exception):
    """Undoes a proposal, for people have one before them that says the same."""

    def __init__(self, proposal_id: str) -> None:
        super().__init__(proposal_id)
        self.proposal_id = proposal_id


def _holds(asked: world_store.AskedRow, row: ProposalRow) -> bool:
    same = (asked.to_bank_id, asked.policy_version) == (row.to_bank_id, row.policy_version)
    return asked.waits_for_people and (same or asked.is_recent)


async def _propose(db: Database, mesh: Mesh, seen: _Seen) -> tuple[Verdict, str | None]:
    """
    Have a route proposed and tried out; then apply it, or put it to people.

    Returns what came of it, and the proposal.

    Raises:
        _AskedAlready: see Note [Asked once].
    """
    scope, verdict, rules = seen.scope, seen.verdict, seen.policy.rules
    async with db.transaction("mesh.propose") as tx:
        await tx.one(world_store.LOCK_DECISION, **scope.columns)
        before = await tx.all(
            world_store.LIST_ASKED, **scope.columns, recent_min=rules.cooldown_minutes
        )
        same = [
            each
            for each in before
            if each.kind == verdict.kind and each.from_bank_id in {verdict.from_bank, None}
        ]
        if any(each.is_fresh for each in same):
            if verdict.word == "move" and verdict.reason == "surely_down":
                # Another decision is under way that looked before the bank was surely down,
                # and leads only a share away. Once it has, the rest follows at once.
                again = Decide(scope.currency, scope.rail)
                await enqueue(tx, DECIDE, again, delay_s=_AGAIN_S)
            return replace(verdict, word="stay", reason="just_proposed"), None
        if verdict.reason == "leftovers" and any(each.is_recent for each in same):
            # What found no room a minute ago finds none now, most likely.
            return replace(verdict, word="stay", reason="cooldown"), None
        row = await routing.propose(tx, mesh, _wanted(scope, verdict))
        tried = await routing.simulate(tx, mesh, row.id)
        if verdict.reason == "leftovers" and not tried.affected_payouts:
            # Nothing is kept of this: it is asked again as soon as somebody else may carry it.
            raise NobodyTakes("What waits there is carried by no other bank.")
        row = await proposals.get(tx, row.id)
        sure = row.kind in {"return", "reorder"} or row.confidence >= (
            rules.auto_confidence_threshold
        )
        known = verdict.reason not in _BY_HISTORY or _is_tried(row)
        alone = verdict.word != "ask" and sure and known
        if not alone:
            asked = next((each.id for each in same if _holds(each, row)), None)
            if asked is not None:
                raise _AskedAlready(asked)
            await commands.ask_people(tx, mesh, row)
    if alone:
        await commands.apply_now(db, mesh, row.id, actor=CONTROLLER, share=verdict.share)
    elif verdict.word != "ask":
        reason = "too_few_attempts" if sure else "not_sure_enough"
        verdict = replace(verdict, word="ask", reason=reason)
    return verdict, row.id


def _is_tried(row: ProposalRow) -> bool:
    """Tell whether enough payments went through the proposed banks to know how they do."""
    found = (row.simulation_results or {}).get("logged") or {}
    return bool(found.get("is_enough"))


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


async def _go_on(db: Database, mesh: Mesh, scope: Scope, verdict: Verdict, *, shift: Shift) -> None:
    """Take a gradual shift one step further, or end it where its target suffers from it."""
    if verdict.word == "step":
        await commands.apply_now(db, mesh, shift.proposal_id, actor=CONTROLLER, share=verdict.share)
    async with db.transaction("mesh.end_step") as tx:
        ill = shift.log_ratio >= REJECT or verdict.word == "halt"
        ill = ill and verdict.reason != "left_is_well"
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
            who = "it leaves is well again" if not ill else "it goes to suffers"
            why = f"halted at {shift.share} %: the bank {who}"
            if await tx.run(world_store.END_SHIFT, id=shift.proposal_id, why=why):
                at = mesh.clock.now()
                await telling.halted(tx, scope, shift, suffers=ill, at=at)
                metrics.SHIFT_HALTS.labels(scope.currency, verdict.reason).inc()
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
        verdict="stay" if refused is not None else _STORED.get(verdict.word, verdict.word),
        reason=verdict.reason if refused is None else refused.code.replace("-", "_"),
        detail=detail,
        from_bank=verdict.from_bank,
        to_bank=verdict.to_bank,
        proposal_id=proposal_id,
    )
    await tx.run(store.TELL_PAGES)
