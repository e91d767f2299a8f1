"""Lending a role to a colleague for a while, within limits, and taking it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from molam.approvals import binding, delegation_store, permissions
from molam.approvals.delegation_store import DelegationRow, StandingRow
from molam.approvals.model import Actor, FieldsRefused
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Kind, Refusal
from molam.notices import commands as notices
from molam.notices.model import Kind as NoticeKind
from molam.notices.model import Notice
from molam.platform.actions import Registry
from molam.platform.db import Database, Tx

LASTS_MAX = timedelta(days=30)
OPEN_MAX = 5
REASON_LENGTH_MAX = 500
TYPES_MAX = 50
LISTED_MAX = 100

# Clocks of callers differ a little from the database's; more than this is the past.
_SLACK = timedelta(minutes=2)

_SUPERVISE = frozenset({"ops_admin"})
SEES_ALL = frozenset({"ops_admin", "compliance", "auditor"})

# Note [What a delegation lends]
#
# The seat, not the role: the delegate's vote fills the delegator's place, once, and
# the delegator's own vote goes before it. Whether a delegation is in force is read with
# every count of the votes (`store.STANDING`), so taking it back, or the delegator losing
# the role, undoes the vote at once, up to the moment of execution. Only roles that the
# directory gives can be lent, hence none that was only lent.


class DelegationAbsent(Refusal):
    code = "delegation-absent"
    kind = Kind.ABSENT
    title = "No such delegation"


class DelegationRefused(Refusal):
    code = "delegation-refused"
    kind = Kind.BROKEN_RULE
    title = "This role cannot be lent like that"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelegation:
    """What to lend to whom. *starts_at* None is now; no *action_types* means all."""

    delegate_id: str
    role: str
    ends_at: Instant
    reason: str
    starts_at: Instant | None = None
    action_types: Sequence[str] = field(default=())


async def delegate(
    db: Database, registry: Registry, wanted: NewDelegation, actor: Actor
) -> DelegationRow:
    """
    Lend one of *actor*'s roles to a colleague.

    Raises:
        FieldsRefused: a field is not as it should be; says which.
        UnknownActionType: it is limited to something nobody can do.
        DelegationRefused: the role is not theirs, or a limit is passed; says which.
    """
    _check_fields(registry, wanted)
    async with db.transaction("approvals.delegate") as tx:
        await tx.one(delegation_store.LOCK_DELEGATOR, delegator=actor.id)
        standing = await tx.one(
            delegation_store.FIND_STANDING,
            delegator=actor.id,
            delegate=wanted.delegate_id,
            role=wanted.role,
            voting=sorted(permissions.VOTE.roles),
            starts_at=wanted.starts_at,
            ends_at=wanted.ends_at,
        )
        assert standing is not None
        starts_at = _start(wanted, standing)
        _check_people(wanted, standing)
        _check_limits(wanted, standing, starts_at)
        row = await tx.one(
            delegation_store.INSERT_DELEGATION,
            id=uuid7(standing.now),
            delegator=standing.delegator,
            delegate=standing.delegate,
            role=wanted.role,
            action_types=sorted(set(wanted.action_types)),
            starts_at=starts_at,
            ends_at=wanted.ends_at,
            reason=wanted.reason.strip(),
            now=standing.now,
        )
        assert row is not None
        await _tell(tx, row, NoticeKind.DELEGATION_GIVEN, [row.delegate_id])
        await _record(tx, row, "delegation.given", actor=actor, at=standing.now)
    return row


async def revoke(db: Database, id_: UUID, actor: Actor) -> DelegationRow:
    """
    End a delegation now: whoever gave it, whoever has it, or an ops_admin.

    Whoever has it may give it back, because it also keeps them from deciding what
    the delegator asked for. Repeating it changes nothing.

    Raises:
        DelegationAbsent: there is none, or it is between two others.
    """
    async with db.transaction("approvals.revoke_delegation") as tx:
        row = await tx.one(delegation_store.FIND_DELEGATION, id=id_)
        standing = await principal_of(tx, actor.id)
        if row is None or not _may_revoke(row, standing, actor):
            raise DelegationAbsent("It may be between two other people.")
        revoked = await tx.one(delegation_store.SET_REVOKED, id=id_)
        if revoked is None:
            return row
        assert revoked.revoked_at is not None
        told = {revoked.delegator_id, revoked.delegate_id} - {standing}
        await _tell(tx, revoked, NoticeKind.DELEGATION_ENDED, sorted(told), by=actor.id)
        await _record(tx, revoked, "delegation.revoked", actor=actor, at=revoked.revoked_at)
    return revoked


async def listed(db: Database, person: str | None) -> list[DelegationRow]:
    """List what *person* gave and was given, or everybody's; open ones first."""
    return await db.read(delegation_store.LIST_DELEGATIONS, person=person, limit=LISTED_MAX)


async def roles_to_lend(db: Database, person: str) -> list[str]:
    rows = await db.read(delegation_store.LIST_ROLES_HELD, person=person)
    return [row.role for row in rows]


async def colleagues(db: Database, person: str) -> list[delegation_store.ColleagueRow]:
    """List who could stand in for *person*."""
    return await db.read(
        delegation_store.LIST_COLLEAGUES,
        person=person,
        voting=sorted(permissions.VOTE.roles),
        limit=LISTED_MAX * 2,
    )


async def principal_of(tx: Tx, person: str) -> str:
    row = await tx.one(delegation_store.FIND_PRINCIPAL, person=person)
    assert row is not None
    return row.id


def _may_revoke(row: DelegationRow, person: str, actor: Actor) -> bool:
    return person in {row.delegator_id, row.delegate_id} or bool(actor.roles & _SUPERVISE)


def _check_fields(registry: Registry, wanted: NewDelegation) -> None:
    for name in ("starts_at", "ends_at"):
        instant = getattr(wanted, name)
        if instant is not None and instant.tzinfo is None:
            raise FieldsRefused(f"{name} needs a time zone or offset.", field=name)
    if not 1 <= len(wanted.reason.strip()) <= REASON_LENGTH_MAX:
        raise FieldsRefused(f"reason has 1 to {REASON_LENGTH_MAX} characters.", field="reason")
    if not wanted.role.strip():
        raise FieldsRefused("role names one of your roles.", field="role")
    if len(wanted.action_types) > TYPES_MAX:
        raise FieldsRefused(f"Name at most {TYPES_MAX} action types.", field="action_types")
    for name in wanted.action_types:
        registry.find(name)


def _start(wanted: NewDelegation, standing: StandingRow) -> Instant:
    """Begin now at the earliest, or a vote given before would count by it."""
    if wanted.starts_at is None:
        return standing.now
    if wanted.starts_at < standing.now - _SLACK:
        raise DelegationRefused("It cannot begin in the past.", why="past")
    return max(wanted.starts_at, standing.now)


def _check_people(wanted: NewDelegation, standing: StandingRow) -> None:
    if standing.delegate == standing.delegator:
        raise DelegationRefused("You cannot stand in for yourself.", why="self")
    if not standing.holds_role or standing.delegator_name is None:
        raise DelegationRefused(
            "You can only lend a role that the directory gives you; none that was lent to you.",
            why="role",
            role=wanted.role[:64],
        )
    if standing.delegate_name is None or not standing.delegate_may_vote:
        raise DelegationRefused(
            "Name a colleague of operations who is still here and may vote.", why="delegate"
        )


def _check_limits(wanted: NewDelegation, standing: StandingRow, starts_at: Instant) -> None:
    if wanted.ends_at <= starts_at:
        raise DelegationRefused("It must end after it begins, and not in the past.", why="past")
    if wanted.ends_at - starts_at > LASTS_MAX:
        raise DelegationRefused(
            f"It lasts {LASTS_MAX.days} days at most.", why="length", days_max=LASTS_MAX.days
        )
    if standing.overlaps:
        raise DelegationRefused("You have lent them this role for that time.", why="overlap")
    if standing.open_count >= OPEN_MAX:
        raise DelegationRefused(
            f"At most {OPEN_MAX} may be open at once; take one back first.",
            why="count",
            open_max=OPEN_MAX,
        )


async def _tell(
    tx: Tx, row: DelegationRow, kind: NoticeKind, people: Sequence[str], *, by: str | None = None
) -> None:
    given, lent = row.delegator_name or row.delegator_id, row.delegate_name or row.delegate_id
    facts: dict[str, object] = {
        "title": {
            "fr": f"{row.role}, de {given} à {lent}",
            "en": f"{row.role}, from {given} to {lent}",
        },
        "by": by or given,
        "reason": row.reason,
    }
    if kind is NoticeKind.DELEGATION_GIVEN:
        facts["deadline"] = binding.instant_text(row.ends_at)
    await notices.tell(
        tx,
        Notice(
            kind=kind,
            key=f"delegation/{row.id}/{kind.value}",
            people=people,
            subject=str(row.id),
            link="/ops/delegations",
            facts=facts,
        ),
    )


async def _record(tx: Tx, row: DelegationRow, event: str, *, actor: Actor, at: Instant) -> None:
    fact = Fact(
        event=event,
        actor_kind=actor.kind,
        actor_id=actor.id,
        data={
            "delegation": str(row.id),
            "delegator": row.delegator_id,
            "delegate": row.delegate_id,
            "role": row.role,
            "action_types": row.action_types,
            "starts_at": binding.instant_text(row.starts_at),
            "ends_at": binding.instant_text(row.ends_at),
        },
    )
    await append_to(tx, "ops", [fact], at=at)
