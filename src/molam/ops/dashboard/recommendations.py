"""Recommendations: making them, having them done, saying no, and following what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter

from molam.alerts.remediation.recommendation_actions import RecommendationEnded
from molam.alerts.runtime import Watch
from molam.approvals import commands as engine
from molam.approvals.model import Actor, NewAction
from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Refusal
from molam.ops.dashboard import recommendation_store as store
from molam.ops.dashboard import recommending, snapshot_store
from molam.ops.dashboard.model import PLATFORM, RecommendationAbsent, Tenant
from molam.ops.dashboard.recommendation_store import RecommendationRow, Record
from molam.ops.dashboard.recommendation_words import words
from molam.ops.dashboard.recommending import AUTO_CONFIDENCE, Proposed
from molam.platform.db import Database, Tx

__all__ = [
    "RecommendationAbsent",
    "RecommendationEnded",
    "RecommendationRow",
    "Record",
    "apply",
    "find",
    "follow",
    "keep",
    "listing",
    "look",
    "refresh",
    "rehearse",
    "reject",
    "track_record",
]

log = structlog.get_logger()

MADE = Counter("molam_dashboard_recommendations_total", "Recommendations made.", ["type"])

SIRA = "sira-system"
REASON_LENGTH_MAX = 500
_PLACES_MAX = 500
_DONE = frozenset(
    {"executed", "verified", "ineffective", "compensating", "compensated", "compensation_failed"}
)

# Note [One situation, one recommendation]
#
# A subject names a situation; while a recommendation of it is open there is no second one.
# Each run compares: what no longer holds, or would be asked for otherwise now, is
# superseded, and what has been asked for waits for the people who decide it.
#
# An action is asked for before the recommendation's row is locked, as locks are ranked;
# then it is looked at again, and if it has ended meanwhile, the action goes with the
# transaction.


async def listing(
    tx: Tx,
    *,
    status: str = "pending",
    tenant: Tenant = PLATFORM,
    limit: int = 50,
    offset: int = 0,
) -> list[RecommendationRow]:
    """List recommendations of one status, the most urgent first."""
    return await tx.all(
        store.LIST,
        status=status,
        tenant_type=tenant.type,
        tenant_id=tenant.id,
        limit=limit,
        offset=offset,
    )


async def find(tx: Tx, recommendation_id: UUID) -> RecommendationRow:
    """
    Raises:
        RecommendationAbsent: there is none of this id.
    """
    row = await tx.one(store.FIND, id=recommendation_id)
    if row is None:
        raise RecommendationAbsent("Check the recommendation's id.")
    return row


async def track_record(tx: Tx, recommendation_type: str) -> Record:
    """Tell what became of recommendations of one type in 90 days."""
    row = await tx.one(store.FIND_RECORD, type=recommendation_type)
    assert row is not None
    return row


async def rehearse(watch: Watch, recommendation_id: UUID) -> dict[str, Any]:
    """
    Say what would happen if it were done, and of whom it would be asked.

    Raises:
        RecommendationAbsent: there is none of this id.
        ParamsRefused, PlanRefused: it could not be done any more.
    """
    runtime = watch.approvals
    async with runtime.db.transaction("dashboard.find_recommendation", readonly=True) as tx:
        row = await find(tx, recommendation_id)
    _, plan = await engine.rehearse_only(
        runtime.db, runtime.registry, request_of(row, "ops_ui", "")
    )
    return plan


async def apply(watch: Watch, recommendation_id: UUID, actor: Actor) -> UUID:
    """
    Ask for what is recommended; people decide it. Asking again gives the same action.

    Raises:
        RecommendationAbsent: there is none of this id.
        RecommendationEnded: it was done, said no to, or has lapsed.
        TwinOpen, ParamsRefused, PlanRefused: as `approvals.commands.create_in`.
    """
    return await _ask(watch, recommendation_id, actor, origin="ops_ui", suffix="-apply")


async def _ask(
    watch: Watch, recommendation_id: UUID, actor: Actor, *, origin: str, suffix: str
) -> UUID:
    async with watch.approvals.db.transaction("dashboard.ask") as tx:
        seen = await find(tx, recommendation_id)
        if seen.state == "asked" and seen.ops_action_id is not None:
            return seen.ops_action_id
        _check_open(seen)
        request = request_of(seen, origin, suffix)
        created = await engine.create_in(tx, watch.approvals, request, actor)
        row = await tx.one(store.LOCK, id=recommendation_id)
        assert row is not None
        if row.state == "asked" and row.ops_action_id != created.row.id:
            raise RecommendationEnded("Somebody else has just asked for it.", status=row.status)
        if row.state == "pending":
            _check_open(row)
            await _set(tx, row.id, "asked", ops_action_id=created.row.id)
        elif row.state != "asked":
            _check_open(row)
        await tx.one(snapshot_store.TELL)
    return created.row.id


async def reject(
    db: Database, recommendation_id: UUID, actor: Actor, reason: str
) -> RecommendationRow:
    """
    Say no; the same is not recommended again for a week.

    Raises:
        RecommendationAbsent: there is none of this id.
        RecommendationEnded: it is no longer open, or waits for votes already.
    """
    async with db.transaction("dashboard.reject") as tx:
        row = await tx.one(store.LOCK, id=recommendation_id)
        if row is None:
            raise RecommendationAbsent("Check the recommendation's id.")
        if row.state == "asked":
            raise RecommendationEnded(
                "It waits for votes; decide its action instead.", status=row.status
            )
        _check_open(row)
        await _set(tx, row.id, "rejected", by=actor.id, reason=reason.strip()[:REASON_LENGTH_MAX])
        await tx.one(snapshot_store.TELL)
        return await find(tx, row.id)


def _check_open(row: RecommendationRow) -> None:
    if row.state != "pending":
        raise RecommendationEnded(f"It is {row.status}.", status=row.status)
    if row.is_past:
        raise RecommendationEnded("It has expired: too long ago.", status="expired")


def request_of(row: RecommendationRow, origin: str, suffix: str) -> NewAction:
    """Say what is asked for when *row* is applied."""
    suggested = row.suggested_action
    fields: dict[str, Any] = {
        "idempotency_key": f"sira-rec-{row.id}{suffix}",
        "origin": origin,
        "action_type": suggested["action_type"],
        "params": {
            **{name: each for name, each in suggested["params"].items() if each is not None},
            "sira_recommendation_id": str(row.id),
            "sira_confidence": str(row.confidence_score),
            "sira_explanation": row.explanation,
        },
    }
    if origin == "sira":
        # A wish: the policy decides whether anything is carried out by itself.
        fields |= {"origin_id": str(row.id), "auto_execute": True}
    return NewAction(**fields)


async def _set(tx: Tx, recommendation_id: UUID, state: str, **said: object) -> None:
    fields = {"ops_action_id": None, "by": None, "reason": None} | said
    await tx.run(store.SET_STATE, id=recommendation_id, state=state, **fields)


async def refresh(watch: Watch) -> None:
    """Follow what was asked for, recommend what the data says now, and ask for what is sure."""
    db = watch.approvals.db
    await follow(db)
    async with db.transaction("dashboard.look", readonly=True) as tx:
        proposed = await look(tx)
    async with db.transaction("dashboard.recommend") as tx:
        await tx.run(store.EXPIRE)
        await keep(tx, proposed, now=watch.clock.now())
        rows = await tx.all(store.LIST_OPEN)
        await tx.one(snapshot_store.TELL)
    for row in rows:
        if row.state == "pending" and row.confidence_score >= AUTO_CONFIDENCE:
            await _ask_by_itself(watch, row)


async def look(tx: Tx) -> list[Proposed]:
    """Say what the product's data recommends now."""
    found: list[Proposed | None] = []
    found.extend(recommending.for_float(row) for row in await tx.all(store.LIST_FLOATS))
    found.extend(recommending.for_hold(row) for row in await tx.all(store.LIST_HOLDS))
    found.extend(recommending.for_route(row) for row in await tx.all(store.LIST_ROUTES))
    found.extend(recommending.for_rule(row) for row in await tx.all(store.LIST_RULES))
    return [each for each in found if each is not None][:_PLACES_MAX]


async def keep(tx: Tx, proposed: Iterable[Proposed], *, now: Instant) -> None:
    """Let what is kept be what is recommended now: see Note [One situation, one recommendation]."""
    wanted = {each.subject: each for each in proposed}
    for row in await tx.all(store.LIST_OPEN):
        found = wanted.get(row.subject)
        is_same = found is not None and _is_same(row, found)
        if row.state == "asked" or is_same:
            wanted.pop(row.subject, None)
        else:
            await _set(tx, row.id, "superseded")
    settled = {row.subject for row in await tx.all(store.LIST_SETTLED)}
    for subject, each in wanted.items():
        if subject not in settled:
            await _insert(tx, each, now=now)
            MADE.labels(each.recommendation_type).inc()


def _is_same(row: RecommendationRow, now: Proposed) -> bool:
    said = row.suggested_action
    if said["action_type"] != now.action_type:
        return False
    crossed = (row.confidence_score >= AUTO_CONFIDENCE) != (now.confidence >= AUTO_CONFIDENCE)
    return said["params"] == now.params and not crossed


async def _insert(tx: Tx, each: Proposed, *, now: Instant) -> None:
    title, description = words(each.recommendation_type, each.facts, "en")
    await tx.run(
        store.INSERT,
        id=uuid7(now),
        tenant_type=each.tenant_type,
        tenant_id=each.tenant_id,
        recommendation_type=each.recommendation_type,
        priority=each.priority,
        title=title,
        description=description,
        suggested_action=each.suggested_action,
        estimated_impact=each.impact,
        explanation=each.explanation,
        confidence_score=each.confidence,
        subject=each.subject,
        facts=each.facts,
        lasts_s=each.lasts.total_seconds(),
    )


async def _ask_by_itself(watch: Watch, row: RecommendationRow) -> None:
    actor = Actor(SIRA, kind="service")
    try:
        await _ask(watch, row.id, actor, origin="sira", suffix="")
    except Refusal as refusal:
        # It stays a recommendation: people see it, and can ask for it when it can be done.
        log.info("dashboard.recommendation.not_asked", id=str(row.id), code=refusal.code)


async def follow(db: Database) -> int:
    """Let recommendations end as the actions that they led to did; return how many."""
    ended = await db.read(store.LIST_ENDED)
    for each in ended:
        async with db.transaction("dashboard.follow") as tx:
            row = await tx.one(store.LOCK, id=each.id)
            if row is None or row.state != "asked":
                continue
            if each.state in _DONE:
                await _set(tx, each.id, "applied", by=each.ended_by or "system")
            elif each.state == "expired":
                await _set(tx, each.id, "expired")
            else:
                reason = each.reason or each.state
                await _set(tx, each.id, "rejected", by=each.ended_by or "system", reason=reason)
            await tx.one(snapshot_store.TELL)
    return len(ended)
