"""Asking for an action: matched to a policy, bound, and stored once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prometheus_client import Counter

from molam.approvals import notify, store
from molam.approvals.drafts import Asked, Draft, Ruling, draft_of, read_id
from molam.approvals.intents import Intent, intent_of, plan_json, rehearse
from molam.approvals.locked import LockedAction, lock, standing_of
from molam.approvals.model import (
    RESERVED_KEYS,
    Actor,
    IdempotencyMismatch,
    KeyReserved,
    NewAction,
    OriginRefused,
    SameHands,
    TwinOpen,
)
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow
from molam.approvals.timing import settle
from molam.audit.commands import append
from molam.platform.actions import Registry
from molam.platform.db import Database, Tx

CREATED = Counter("molam_approvals_actions_created_total", "Actions asked for.", ["action_type"])

_SERVICES_SPEAK_FOR = frozenset({"sira", "system", "alert"})


@dataclass(frozen=True, slots=True)
class Created:
    row: ActionRow
    is_new: bool


async def create(
    runtime: Runtime,
    request: NewAction,
    actor: Actor,
    *,
    ruling: Ruling | None = None,
) -> Created:
    """
    Ask for an action; the same request under the same key gives the first one again.

    The rehearsal runs in a transaction of its own, which is read-only, so nothing
    in it can take effect. *ruling* replaces the stored policies.

    Raises:
        UnknownActionType, ParamsRefused, TargetMismatch, PlanRefused: it cannot be done.
        IdempotencyMismatch: the key belongs to another request.
        TwinOpen: the same thing is already asked of the same target.
        Unsatisfiable: too few people could ever approve it; says whom it lacks.
    """
    _check_origin(request, actor)
    async with runtime.db.transaction("approvals.rehearse", readonly=True) as tx:
        intent = await intent_of(tx, runtime.registry, request)
        asked = intent.request_hash(request)
        existing = await tx.one(
            store.FIND_BY_KEY_OR_TWIN, idempotency_key=request.idempotency_key, twin=intent.twin
        )
        if existing is not None and _is_replay(existing, request, asked):
            return Created(existing, is_new=False)
        plan = await rehearse(tx, intent)
    async with runtime.db.transaction("approvals.create") as tx:
        created = await _store(
            tx, runtime.book, request, actor, asked=Asked(intent, plan, asked), ruling=ruling
        )
    if created.is_new:
        CREATED.labels(intent.type.name).inc()
    return created


async def create_in(
    tx: Tx,
    runtime: Runtime,
    request: NewAction,
    actor: Actor,
    *,
    ruling: Ruling | None = None,
) -> Created:
    """
    Ask for an action inside the caller's transaction, which what it asks for depends on.

    Raises: as `create`.
    """
    intent = await intent_of(tx, runtime.registry, request)
    plan = await rehearse(tx, intent)
    asked = intent.request_hash(request)
    return await _store(
        tx, runtime.book, request, actor, asked=Asked(intent, plan, asked), ruling=ruling
    )


async def rehearse_only(
    db: Database, registry: Registry, request: NewAction
) -> tuple[Intent, dict[str, Any]]:
    """
    Say what would happen, and leave no trace.

    Raises:
        UnknownActionType, ParamsRefused, TargetMismatch, PlanRefused: it cannot be done.
    """
    async with db.transaction("approvals.rehearse", readonly=True) as tx:
        intent = await intent_of(tx, registry, request)
        return intent, plan_json(intent, await rehearse(tx, intent))


async def _store(
    tx: Tx,
    book: PolicyBook,
    request: NewAction,
    actor: Actor,
    *,
    asked: Asked,
    ruling: Ruling | None,
) -> Created:
    draft = await draft_of(tx, book, request, actor, asked=asked, ruling=ruling)
    older = None
    if request.supersedes is not None:
        [older] = await lock(tx, read_id(request.supersedes))
        first = await _first(tx, request, draft, asked)
        if first is not None:
            return Created(first, is_new=False)
        await _supersede(tx, older, actor, draft)
    for _ in range(2):
        if await tx.one(store.INSERT_ACTION, **draft.values):
            break
        existing = await tx.one(
            store.FIND_BY_KEY_OR_TWIN,
            idempotency_key=request.idempotency_key,
            twin=draft.values["twin"],
        )
        if existing is None:
            continue  # It ended in this moment.
        if _is_replay(existing, request, asked.request_hash):
            return Created(existing, is_new=False)
        await _end_if_overdue(tx, existing)
    else:
        raise TwinOpen("The same action on the same target has just been asked for.")
    await append(tx, [draft.entry])
    if older is not None:
        older.change(superseded_by=draft.id)
        await older.save(tx, draft.at)
        await notify.action_ended(tx, older.row)
    row = await tx.one(store.FIND_ACTION, id=draft.id)
    assert row is not None
    await notify.action_waiting(tx, row, [each.id for each in draft.electors])
    return Created(row, is_new=True)


async def _first(tx: Tx, request: NewAction, draft: Draft, asked: Asked) -> ActionRow | None:
    """Find what the same request made while it waited for the action it replaces."""
    existing = await tx.one(
        store.FIND_BY_KEY_OR_TWIN,
        idempotency_key=request.idempotency_key,
        twin=draft.values["twin"],
    )
    if existing is None or not _is_replay(existing, request, asked.request_hash):
        return None
    return existing


def _is_replay(existing: ActionRow, request: NewAction, asked: bytes) -> bool:
    """
    Tell whether *existing* is what *request* asked for before; False: its twin.

    Raises:
        IdempotencyMismatch: the key belongs to another request.
    """
    if request.idempotency_key is None or existing.idempotency_key != request.idempotency_key:
        return False
    if existing.request_hash != asked:
        raise IdempotencyMismatch("Use a new key for a new request.", action_id=str(existing.id))
    return True


async def _end_if_overdue(tx: Tx, twin: ActionRow) -> None:
    """
    Make room if the open twin's time has passed without anybody noticing.

    Raises:
        TwinOpen: it is still under way.
    """
    [action] = await lock(tx, twin.id)
    standing = await standing_of(tx, action, twin.created_by)
    if settle(action, standing):
        await action.save(tx, standing.now)
        await notify.action_ended(tx, action.row)
    if action.row.state not in {"expired", "rejected", "cancelled"}:
        raise TwinOpen(
            "Decide it, cancel it, or name it in supersedes.",
            action_id=str(twin.id),
            state=action.row.state,
        )


def _check_origin(request: NewAction, actor: Actor) -> None:
    """
    Keep people from claiming that a machine asked, and from taking a machine's key before it.

    Raises:
        OriginRefused: only services may speak for that origin.
        KeyReserved: only services may use that key.
    """
    if actor.auth is None or actor.kind != "user":
        return
    if request.origin in _SERVICES_SPEAK_FOR:
        raise OriginRefused("People ask with the origin ops_ui or module.", origin=request.origin)
    if request.idempotency_key is not None and RESERVED_KEYS.fullmatch(request.idempotency_key):
        raise KeyReserved("An alert, or a recommendation, has its action under this key.")


async def _supersede(tx: Tx, older: LockedAction, actor: Actor, draft: Draft) -> None:
    """
    End the action that a new version replaces; its votes do not carry over.

    Raises:
        SameHands: somebody else asked for it.
        TransitionRefused: it has ended, or is being carried out.
    """
    check_owner(older, actor)
    settle(older, await standing_of(tx, older, actor.id))
    older.move("supersede", reason="superseded")
    older.record("action.superseded", actor, draft.at, by=str(draft.id))
    # Saved at once, so that the new version is no twin of it; the link follows.
    await older.save(tx, draft.at)


def check_owner(action: LockedAction, actor: Actor) -> None:
    may = actor.id == action.row.created_by or "ops_admin" in actor.roles
    if not may:
        raise SameHands("Only whoever asked for it, or an ops_admin, may do this.")


async def cancel(db: Database, action_id: UUID, actor: Actor, *, reason: str | None) -> ActionRow:
    """
    End an action that is not carried out yet.

    Raises:
        ActionAbsent, SameHands, TransitionRefused
    """
    async with db.transaction("approvals.cancel") as tx:
        [action] = await lock(tx, action_id)
        check_owner(action, actor)
        standing = await standing_of(tx, action, actor.id)
        settle(action, standing)
        action.move("cancel", reason=f"by {actor.id}")
        action.record("action.cancelled", actor, standing.now, why=reason or "")
        await action.save(tx, standing.now)
        await notify.action_ended(tx, action.row)
        return action.row
