"""Asking for an approval that its risk decides on, and what follows from the score."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from obstore.store import ObjectStore
from prometheus_client import Counter

from molam.approvals import commands as engine
from molam.approvals.drafts import Ruling
from molam.approvals.locked import lock, standing_of
from molam.approvals.model import Actor, IdempotencyMismatch, NewAction, Unsatisfiable
from molam.approvals.policy.decision import Elector
from molam.approvals.risk import model, store
from molam.approvals.risk import proof_store as proofs
from molam.approvals.risk import scoring as risk_scoring
from molam.approvals.risk.actions import params_of, payload_of
from molam.approvals.risk.events import tell_ended
from molam.approvals.risk.links import DECISIONS, Links
from molam.approvals.risk.lookups import asker_of, policies_of, pools_of, question_of, subject_of
from molam.approvals.risk.scoring import Scorer, Weighed
from molam.approvals.risk.store import RiskRow
from molam.approvals.runtime import Runtime
from molam.approvals.tightening import RULED
from molam.kernel.clock import Instant
from molam.kernel.digests import digest
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Refusal
from molam.platform import jobs
from molam.platform.db import Tx

WEIGH = "approvals.weigh_risk"

CREATED = Counter(
    "molam_approvals_created_total", "Approvals asked for.", ["action_type", "status"]
)

_REQUEST = "molam.risk.request/1"
_ELECTORS_MAX = 50
_ALL_CHANNELS = ("email", "slack", "push")

# Note [Who is locked first]
#
# The engine's action, then the request it decides, then the link. A request has no
# action until it is weighed, so weighing locks the request alone.


@dataclass(frozen=True, slots=True)
class Desk:
    """What risk-aware approvals need: the engine, a scorer, the key of links, a file store."""

    runtime: Runtime
    scorer: Scorer
    links: Links
    files: ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApproval:
    """What a module asks for."""

    action_type: str
    origin_module: str
    payload: dict[str, Any]
    origin_entity_id: str | None = None
    expires_in_minutes: int | None = None
    on_behalf_of: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A request, who may decide it, and whether it is new."""

    row: RiskRow
    approvers: list[Elector]
    is_new: bool


class WeighJob(msgspec.Struct, frozen=True):
    approval_id: str


async def create(desk: Desk, asked: NewApproval, actor: Actor) -> Opened:
    """
    Ask for an approval; the same request under the same key gives the first one again.

    Scored in this process, it is approved at once or has its approvers when this
    returns. Scored by a service, it is held until that has answered.

    Raises:
        PayloadRefused, NoPolicy: it cannot be weighed.
        IdempotencyMismatch: the key belongs to another request.
        TwinOpen: the same is being decided already.
        Unsatisfiable: too few people could ever approve it; says whom it lacks.
    """
    model.check_payload(asked.payload)
    question = question_of(asked.action_type, asked.origin_module, asked.payload, actor)
    amount_xof = await desk.scorer.amount_xof(desk.runtime.db, question)
    async with desk.runtime.db.transaction("risk.create") as tx:
        row, is_new = await _insert(tx, asked, actor, amount_xof)
        if not is_new:
            return Opened(row, await _approvers(tx, row), is_new=False)
        if desk.scorer.is_remote:
            await jobs.enqueue(tx, WEIGH, WeighJob(str(row.id)))
        else:
            weighed = desk.scorer.weigh_here(question, amount_xof)
            row = await settle(tx, desk, row, weighed, amount_xof=amount_xof)
        opened = Opened(row, await _approvers(tx, row), is_new=True)
    CREATED.labels(_type_label(row.action_type), opened.row.status).inc()
    return opened


async def weigh(desk: Desk, approval_id: UUID) -> None:
    """Ask the service to score a held request, and let what follows from it happen."""
    db = desk.runtime.db
    rows = await db.read(store.FIND, id=approval_id)
    if not rows or rows[0].status != "held":
        return
    row = rows[0]
    actor = asker_of(row)
    question = question_of(row.action_type, row.origin_module, payload_of(row), actor)
    amount_xof = await desk.scorer.amount_xof(db, question)
    weighed = await desk.scorer.weigh_remotely(question)
    async with db.transaction("risk.weigh") as tx:
        held = await tx.one(store.LOCK, id=approval_id)
        if held is None or held.status != "held":
            return
        try:
            async with tx.savepoint():
                await settle(tx, desk, held, weighed, amount_xof=amount_xof)
        except Refusal as refusal:
            # Whoever asked has been answered long ago; the event is how they hear of it.
            await risk_scoring.record(tx, approval_id, question, weighed)
            await tx.run(
                store.SET_IMPOSSIBLE,
                id=approval_id,
                reason=refusal.code,
                score=weighed.advice.score,
                sira_reason=weighed.advice.reason,
            )
            await tell_ended(tx, approval_id)


async def settle(
    tx: Tx, desk: Desk, row: RiskRow, weighed: Weighed, *, amount_xof: int | None
) -> RiskRow:
    """
    Turn a score into an approval at once, or into an action of the engine's.

    Raises:
        NoPolicy, TwinOpen, Unsatisfiable: as `create`.
    """
    payload, actor = payload_of(row), asker_of(row)
    question = question_of(row.action_type, row.origin_module, payload, actor)
    await risk_scoring.record(tx, row.id, question, weighed)
    subject = subject_of(row.action_type, row.origin_module, payload, amount_xof)
    policy = model.choose_policy(await policies_of(tx), subject)
    score = weighed.advice.score
    required = model.required_approvals(policy, score)
    chosen = _Chosen(policy, subject, required, model.needs_evidence(policy, score))
    action = None
    if required:
        action = await _open_action(tx, desk, row, weighed, chosen=chosen)
    await _set_weighed(tx, row, weighed, chosen, action=action)
    if action is None:
        await tell_ended(tx, row.id)
    else:
        await _issue_links(tx, desk.links, row, action)
    return await _found(tx, row.id)


@dataclass(frozen=True, slots=True)
class _Chosen:
    policy: model.RiskPolicy
    subject: model.Subject
    required: int
    evidence: bool


@dataclass(frozen=True, slots=True)
class _Action:
    id: UUID
    intent_hash: bytes
    pool: str
    expires_at: Instant
    created_at: Instant


async def _open_action(
    tx: Tx, desk: Desk, row: RiskRow, weighed: Weighed, *, chosen: _Chosen
) -> _Action:
    """Ask the engine, with the first pool that has enough people."""
    actor, advice = asker_of(row), weighed.advice
    request = NewAction(
        origin="module",
        origin_id=str(row.id),
        action_type=model.ACTION_TYPE,
        params=params_of(row),
        on_behalf_of=row.on_behalf_of,
        context={
            "sira_score": advice.score,
            "sira_reason": advice.reason,
            "sira_tags": list(advice.tags),
            "sira_model_version": advice.model_version,
            "sira_evidence_required": chosen.evidence,
        },
    )
    now = (await tx.all(store.NOW))[0].now
    timeout_s = max(1, int((row.expires_at - now).total_seconds()))
    lacking: Unsatisfiable | None = None
    for pool in _candidates(await pools_of(tx), chosen.subject):
        rules = model.rules_of(pool, required=chosen.required, timeout_s=timeout_s)
        trace = {
            RULED: True,
            "score": advice.score,
            "policy": chosen.policy.name,
            "pool": pool.name,
            "required": chosen.required,
        }
        name = f"{chosen.policy.name} / {pool.name}"[:120]
        ruling = Ruling(name, 1, rules, trace, risk=model.risk_of(advice.score))
        runtime = desk.runtime
        try:
            created = await engine.create_in(tx, runtime, request, actor, ruling=ruling)
        except Unsatisfiable as refusal:
            lacking = refusal
            continue
        made = created.row
        return _Action(made.id, made.intent_hash, pool.name, made.expires_at, made.created_at)
    raise lacking or Unsatisfiable("No pool of approvers fits this request.")


def _candidates(pools: list[model.Pool], subject: model.Subject) -> list[model.Pool]:
    """List the pools that fit, and last of all everybody in any of them."""
    fitting = model.fitting_pools(pools, subject)
    if len(fitting) < 2:  # noqa: PLR2004 - of one, everybody is itself.
        return fitting
    roles = sorted({role for each in fitting for role in each.roles})
    return [*fitting, model.Pool(name="all that fit", roles=tuple(roles))]


async def _insert(
    tx: Tx, asked: NewApproval, actor: Actor, amount_xof: int | None
) -> tuple[RiskRow, bool]:
    """
    Write down what is asked for, or find that it was before.

    Raises:
        IdempotencyMismatch: the key belongs to another request.
        NoPolicy: nobody would decide it.
    """
    subject = subject_of(asked.action_type, asked.origin_module, asked.payload, amount_xof)
    policy = model.choose_policy(await policies_of(tx), subject)
    now = (await tx.all(store.NOW))[0].now
    # A requester may only shorten the time.
    minutes = min(policy.timeout_minutes, asked.expires_in_minutes or policy.timeout_minutes)
    request_hash = digest(_REQUEST, _signed(asked))
    written = await tx.one(
        store.INSERT,
        id=uuid7(now),
        action_type=asked.action_type,
        origin_module=asked.origin_module,
        origin_entity_id=asked.origin_entity_id,
        payload=risk_scoring.encode(asked.payload).decode(),
        payload_hash=model.payload_hash(asked.payload),
        created_by=actor.id,
        creator_roles=sorted(actor.roles),
        on_behalf_of=asked.on_behalf_of,
        idempotency_key=asked.idempotency_key,
        request_hash=request_hash,
        created_at=now,
        expires_at=now + timedelta(minutes=minutes),
    )
    if written is not None:
        return await _found(tx, written.id), True
    existing = await tx.one(
        store.FIND_BY_KEY, created_by=actor.id, idempotency_key=asked.idempotency_key
    )
    assert existing is not None
    if existing.request_hash != request_hash:
        raise IdempotencyMismatch("Use a new key for a new request.", approval_id=str(existing.id))
    return existing, False


def _signed(asked: NewApproval) -> dict[str, Any]:
    """Put together all that a repetition under the same key must repeat."""
    return {
        "action_type": asked.action_type,
        "origin_module": asked.origin_module,
        "origin_entity_id": asked.origin_entity_id,
        "payload": model.payload_hash(asked.payload).hex(),
        "expires_in_minutes": asked.expires_in_minutes,
        "on_behalf_of": asked.on_behalf_of,
    }


async def _set_weighed(
    tx: Tx, row: RiskRow, weighed: Weighed, chosen: _Chosen, *, action: _Action | None
) -> None:
    advice = weighed.advice
    channels = _ALL_CHANNELS if chosen.policy.force_multichannel else advice.recommended_channels
    now = (await tx.all(store.NOW))[0].now
    written = await tx.run(
        store.SET_WEIGHED,
        id=row.id,
        status="auto_approved" if action is None else "pending",
        score=advice.score,
        tags=list(advice.tags),
        sira_reason=advice.reason,
        recommended=advice.recommended_approvals,
        channels=list(channels),
        model_version=advice.model_version,
        contributions=msgspec.to_builtins(advice.contributions),
        policy_name=chosen.policy.name,
        pool_name=None if action is None else action.pool,
        required=chosen.required,
        evidence_required=chosen.evidence and action is not None,
        ops_action_id=None if action is None else action.id,
        expires_at=row.expires_at if action is None else action.expires_at,
        decided_at=now if action is None else None,
    )
    assert written == 1, "a request is weighed once, under its lock"


async def _issue_links(tx: Tx, links: Links, row: RiskRow, action: _Action) -> None:
    """Make each approver a link for each decision; only their hashes are kept."""
    electors = (await electors_of(tx, action.id, row.created_by))[:_ELECTORS_MAX]
    made = [(uuid7(action.created_at), each.id, word) for each in electors for word in DECISIONS]
    hashes = [
        links.hash(
            links.raw(
                id_=id_,
                approval_id=row.id,
                approver_id=approver,
                decision=word,
                at=action.created_at,
            )
        )
        for id_, approver, word in made
    ]
    lives = timedelta(seconds=links.ttl_s)
    await tx.run(
        proofs.INSERT_TOKENS,
        approval_id=row.id,
        intent_hash=action.intent_hash,
        created_at=action.created_at,
        expires_at=min(action.created_at + lives, action.expires_at),
        ids=[id_ for id_, _, _ in made],
        hashes=hashes,
        approvers=[approver for _, approver, _ in made],
        decisions=[word for _, _, word in made],
    )


async def electors_of(tx: Tx, action_id: UUID, voter: str) -> list[Elector]:
    """List who may decide an action now."""
    [action] = await lock(tx, action_id)
    return action.electors(await standing_of(tx, action, voter))


async def _approvers(tx: Tx, row: RiskRow) -> list[Elector]:
    if row.ops_action_id is None:
        return []
    return await electors_of(tx, row.ops_action_id, row.created_by)


_labels: set[str] = set()
_LABELS_MAX = 64


def _type_label(action_type: str) -> str:
    """Keep the names that callers invent from becoming ever more series."""
    if len(_labels) < _LABELS_MAX:
        _labels.add(action_type)
    return action_type if action_type in _labels else "other"


async def _found(tx: Tx, id_: UUID) -> RiskRow:
    row = await tx.one(store.FIND, id=id_)
    assert row is not None
    return row
