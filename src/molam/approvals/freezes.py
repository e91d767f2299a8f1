"""Stopping executions at once, for a while or until it is lifted: the kill switch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from molam.approvals import binding, freeze_store, permissions, store
from molam.approvals.commands import Created, create
from molam.approvals.freeze_store import FreezeRow
from molam.approvals.model import LIFT_FREEZE, Actor, FieldsRefused, NewAction
from molam.approvals.runtime import Runtime
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Kind, Refusal
from molam.notices import commands as notices
from molam.notices.model import Kind as NoticeKind
from molam.notices.model import Notice
from molam.platform.db import Database, Tx
from molam.tenancy import queries as tenancy

LASTS_MAX = timedelta(days=366)
REASON_LENGTH_MAX = 500
TYPES_MAX = 50
LISTED_MAX = 100

_SLACK = timedelta(minutes=2)

# Note [To freeze tightens]
#
# One person may freeze, at once, and everybody is told. To lift a freeze before its time
# is to loosen, so others must approve that, and it is the only action that no freeze
# holds back. What is frozen stays approved, up to its own execution deadline.


class FreezeAbsent(Refusal):
    code = "freeze-absent"
    kind = Kind.ABSENT
    title = "No such freeze"


class FreezeOver(Refusal):
    code = "freeze-over"
    kind = Kind.CONFLICT
    title = "The freeze is over"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFreeze:
    """*starts_at* None is now, *ends_at* None until lifted; no *action_types* means all."""

    reason: str
    action_types: Sequence[str] = field(default=())
    starts_at: Instant | None = None
    ends_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    row: FreezeRow
    is_new: bool


async def begin(runtime: Runtime, wanted: NewFreeze, actor: Actor) -> Begun:
    """
    Keep actions from being carried out, from now or a later time on.

    The same freeze once more gives the one in force.

    Raises:
        FieldsRefused: a field is not as it should be; says which.
        UnknownActionType: it is limited to something nobody can do, so it would stop nothing.
    """
    _check_fields(runtime, wanted)
    types = sorted(set(wanted.action_types))
    async with runtime.db.transaction("approvals.freeze") as tx:
        await tx.one(freeze_store.LOCK_FREEZES)
        now = await _now(tx)
        starts_at = now if wanted.starts_at is None else max(wanted.starts_at, now)
        _check_times(wanted, starts_at, now)
        same = await tx.one(
            freeze_store.FIND_SAME_FREEZE, action_types=types, ends_at=wanted.ends_at
        )
        if same is not None:
            return Begun(same, is_new=False)
        row = await tx.one(
            freeze_store.INSERT_FREEZE,
            id=uuid7(now),
            reason=wanted.reason.strip(),
            action_types=types,
            starts_at=starts_at,
            ends_at=wanted.ends_at,
            created_by=actor.id,
            now=now,
        )
        assert row is not None
        await _tell(tx, row, NoticeKind.FREEZE_BEGUN, by=actor.id)
        await _record(tx, row, "freeze.begun", actor=actor, at=now)
    return Begun(row, is_new=True)


async def ask_to_lift(
    runtime: Runtime, freeze_id: UUID, actor: Actor, *, reason: str | None
) -> Created:
    """
    Ask for a freeze to be lifted before its time; others decide.

    Raises:
        FreezeAbsent, FreezeOver: there is nothing to lift.
        TwinOpen, Unsatisfiable, PlanRefused: as for any action.
    """
    await open_freeze(runtime.db, freeze_id)
    params: dict[str, object] = {"freeze_id": str(freeze_id)}
    if reason is not None:
        params["reason"] = reason
    request = NewAction(origin="ops_ui", action_type=LIFT_FREEZE, params=params)
    return await create(runtime, request, actor)


async def end_in(
    tx: Tx, freeze_id: UUID, *, actor: Actor, at: Instant, action_id: str
) -> FreezeRow | None:
    """End a freeze inside the transaction that carries out its lifting; None if it is over."""
    row = await tx.one(freeze_store.SET_ENDED, id=freeze_id, ended_by=actor.id)
    if row is None:
        return None
    await _tell(tx, row, NoticeKind.FREEZE_ENDED, by=actor.id)
    await _record(tx, row, "freeze.ended", actor=actor, at=at, action_id=action_id)
    return row


async def open_freeze(db: Database, freeze_id: UUID) -> FreezeRow:
    """
    Raises:
        FreezeAbsent, FreezeOver
    """
    rows = await db.read(freeze_store.FIND_FREEZE_BY_ID, id=freeze_id)
    return _still_open(rows[0] if rows else None)


async def open_freeze_in(tx: Tx, freeze_id: UUID) -> FreezeRow:
    """
    Raises:
        FreezeAbsent, FreezeOver
    """
    row = await tx.one(freeze_store.FIND_FREEZE_BY_ID, id=freeze_id)
    return _still_open(row)


async def listed(db: Database) -> list[FreezeRow]:
    """List freezes: those that are not over first, then the latest."""
    return await db.read(freeze_store.LIST_FREEZES, limit=LISTED_MAX)


def _still_open(row: FreezeRow | None) -> FreezeRow:
    if row is None:
        raise FreezeAbsent("Check the freeze's id.")
    if not row.is_open:
        raise FreezeOver("What was approved may be carried out already.")
    return row


def _check_fields(runtime: Runtime, wanted: NewFreeze) -> None:
    if not 1 <= len(wanted.reason.strip()) <= REASON_LENGTH_MAX:
        raise FieldsRefused(f"reason has 1 to {REASON_LENGTH_MAX} characters.", field="reason")
    if len(wanted.action_types) > TYPES_MAX:
        raise FieldsRefused(f"Name at most {TYPES_MAX} action types.", field="action_types")
    for name in wanted.action_types:
        runtime.registry.find(name)
    for name in ("starts_at", "ends_at"):
        instant = getattr(wanted, name)
        if instant is not None and instant.tzinfo is None:
            raise FieldsRefused(f"{name} needs a time zone or offset.", field=name)


def _check_times(wanted: NewFreeze, starts_at: Instant, now: Instant) -> None:
    if wanted.starts_at is not None and wanted.starts_at < now - _SLACK:
        raise FieldsRefused("It cannot begin in the past.", field="starts_at")
    if starts_at > now + LASTS_MAX:
        raise FieldsRefused("It begins within a year.", field="starts_at")
    if wanted.ends_at is not None and not starts_at < wanted.ends_at <= starts_at + LASTS_MAX:
        raise FieldsRefused("It ends after it begins, within a year.", field="ends_at")


async def _now(tx: Tx) -> Instant:
    row = await tx.one(store.NOW)
    assert row is not None
    return row.at


async def _tell(tx: Tx, row: FreezeRow, kind: NoticeKind, *, by: str) -> None:
    staff = await tenancy.electors_of(tx, sorted(permissions.STAFF))
    facts: dict[str, object] = {"by": by, "reason": row.reason}
    if row.action_types:
        facts["target"] = ", ".join(row.action_types)
    if row.ends_at is not None and kind is NoticeKind.FREEZE_BEGUN:
        facts["deadline"] = binding.instant_text(row.ends_at)
    await notices.tell(
        tx,
        Notice(
            kind=kind,
            key=f"freeze/{row.id}/{kind.value}",
            people=sorted({each.person_id for each in staff}),
            subject=str(row.id),
            link="/ops/freezes",
            facts=facts,
            urgent=kind is NoticeKind.FREEZE_BEGUN,
        ),
    )


async def _record(
    tx: Tx, row: FreezeRow, event: str, *, actor: Actor, at: Instant, action_id: str | None = None
) -> None:
    fact = Fact(
        event=event,
        actor_kind=actor.kind,
        actor_id=actor.id,
        data={
            "freeze": str(row.id),
            "reason": hashlib.sha256(row.reason.encode()).hexdigest(),
            "action_types": row.action_types,
            "starts_at": binding.instant_text(row.starts_at),
            "ends_at": None if row.ends_at is None else binding.instant_text(row.ends_at),
            "by_action": action_id,
        },
    )
    await append_to(tx, "ops", [fact], at=at)
