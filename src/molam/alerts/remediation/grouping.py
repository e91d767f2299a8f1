"""Asking once for what the blast radius held back: one action for all of it, and more votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from uuid import UUID

import structlog

from molam.alerts.episodes import deciding
from molam.alerts.remediation import group_store, noting, policy_store, store
from molam.alerts.remediation.commands import locked_alert, locked_policy, policy_of
from molam.alerts.remediation.group_actions import plan_of
from molam.alerts.remediation.group_model import (
    GATHER_S,
    MEMBERS_MAX,
    REMEDIATE_GROUP,
    Member,
    RemediateGroup,
    target_id_of,
)
from molam.alerts.remediation.group_store import HeldRow
from molam.alerts.remediation.model import SIRA, Decision, Policy
from molam.alerts.runtime import Watch
from molam.approvals import permissions
from molam.approvals.intents import facts_of, intent_of, plan_json
from molam.approvals.model import Actor, NewAction, TwinOpen
from molam.approvals.policy.quorum import AllOf, AnyOf, Percentage, Quorum, Role, Stages, Users
from molam.approvals.policy.rules import Rules
from molam.approvals.policy.strictness import strictest
from molam.approvals.store import ActionRow
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Refusal
from molam.mesh.members import floors
from molam.platform.actions import as_json
from molam.platform.db import Database, Tx

log = structlog.get_logger()

_DECIDERS = permissions.STAFF - {"auditor"}

# Note [One group an hour]
#
# More targets than the blast radius allows are a question of its own: whether to act on all
# of them. It is asked once an hour for each alert type and action type, as one action, by
# the rules of every single one of them joined and one vote more. What is held while it
# waits, or after it in the same hour, waits for the next. A target is in it once, and not at
# all if anything else acts on it; that is looked at again under the lock of the policy's
# row, which whoever acts on such an alert takes.


class _Moved(Exception):
    """One of them was acted on or ended meanwhile; the next round looks again."""


async def ask_all(db: Database, watch: Watch, *, gather_s: float = GATHER_S) -> None:
    """Ask for whatever is held for *gather_s* already, where no job came for it."""
    for kind in await db.read(group_store.LIST_KINDS, gather_s=gather_s):
        await ask(db, watch, alert_type=kind.alert_type, action_type=kind.action_type)


async def ask(db: Database, watch: Watch, *, alert_type: str, action_type: str) -> ActionRow | None:
    """Ask for one action for all targets that are held; None: not now. Safe to repeat."""
    async with db.transaction("remediation.gather", readonly=True) as tx:
        hour = await tx.one(group_store.FIND_HOUR, target_id=target_id_of(alert_type, action_type))
        assert hour is not None
        if hour.is_taken:
            return None
        policy = await policy_of(tx, alert_type)
        held = await _held(tx, policy, action_type)
        params, refused = await _members(tx, policy, action_type, held)
        rules = None if params is None else await _rules(tx, watch, policy, params)
    await _let_go(db, action_type, [row for row in held if row.why is not None], refused)
    if params is None or rules is None:
        return None
    request = NewAction(
        idempotency_key=f"alert-group-{params.target_id}-{hour.hour:%Y-%m-%dT%H}",
        origin="alert",
        origin_id=params.target_id,
        action_type=REMEDIATE_GROUP,
        params=dict(as_json(params)),
        # By it alerting hears what becomes of the action.
        context={"alert_id": params.members[0].alert_id},
    )
    try:
        async with db.transaction("remediation.ask_group") as tx:
            action = await floors.ask(
                tx,
                watch.approvals,
                request,
                Actor(SIRA, kind="service"),
                least=rules,
                name="Remedies for many targets",
            )
            await _link_all(tx, policy, action=action, params=params, held=held)
    except (_Moved, TwinOpen) as moved:
        log.info("alerts.group_moved", alert_type=alert_type, why=repr(moved))
        return None
    except Refusal as refusal:
        # As when too few people could ever agree: they have to look at each by itself.
        asked = {UUID(each.alert_id): refusal.detail for each in params.members}
        await _let_go(db, action_type, [], asked)
        return None
    return action


async def _held(tx: Tx, policy: Policy, action_type: str) -> list[HeldRow]:
    rows = await tx.all(
        group_store.LIST_HELD,
        alert_type=policy.alert_type,
        action_type=action_type,
        cooldown_s=policy.cooldown_seconds,
        limit=MEMBERS_MAX,
    )
    if policy.enabled:
        return rows
    return [replace(row, why=row.why or "disabled") for row in rows]


async def _members(
    tx: Tx, policy: Policy, action_type: str, held: Sequence[HeldRow]
) -> tuple[RemediateGroup | None, dict[UUID, str]]:
    """Put together those to whom it can be done, and say why not of the others."""
    refused: dict[UUID, str] = {}
    members: list[Member] = []
    for row in held:
        if row.why is not None:
            continue
        member = Member(str(row.alert_id), row.target_type, row.target_id, row.params)
        alone = RemediateGroup(policy.alert_type, action_type, (member,))
        try:
            await plan_of(tx, alone, member)
        except Refusal as refusal:
            refused[row.alert_id] = refusal.detail
        else:
            members.append(member)
    if not members:
        return None, refused
    return RemediateGroup(policy.alert_type, action_type, tuple(members)), refused


async def _rules(tx: Tx, watch: Watch, policy: Policy, params: RemediateGroup) -> Rules:
    """Join the rules by which each would be decided alone, and ask for one vote more."""
    found: dict[str, Rules] = {}
    for member in params.members:
        request = NewAction(origin="alert", action_type=params.action_type, params=member.params)
        intent = await intent_of(tx, watch.approvals.registry, request)
        facts = facts_of(
            origin="alert",
            risk=intent.type.risk,
            intent=intent.document,
            plan=plan_json(intent, await plan_of(tx, params, member)),
            context={},
        )
        rules = (await watch.approvals.book.select(tx, facts)).rules
        found[repr(rules)] = rules
    alone = max(_votes(part) for each in found.values() for part in (each.quorum, *each.also))
    least = max(alone, policy.required_approvals if policy.require_multi_sig else 1) + 1
    more = floors.any_of(_DECIDERS, least)
    return reduce(
        strictest, found.values(), replace(more, auto_execute=not policy.require_multi_sig)
    )


def _votes(quorum: Quorum) -> int:
    """Count the votes that a quorum takes at least."""
    match quorum:
        case Role() | Users():
            return quorum.min_votes
        case Percentage():
            return max(1, quorum.need(0))
        case AllOf() | Stages():
            return sum(map(_votes, quorum.parts))
        case AnyOf():
            return min(map(_votes, quorum.parts))


async def _link_all(
    tx: Tx, policy: Policy, *, action: ActionRow, params: RemediateGroup, held: Sequence[HeldRow]
) -> None:
    """
    Tie the action to each of its alerts.

    Raises:
        _Moved: one of them does not need it any more.
    """
    await locked_policy(tx, policy.alert_type)
    ids = sorted(UUID(each.alert_id) for each in params.members)
    alerts = [await locked_alert(tx, each) for each in ids]
    free = {row.alert_id for row in await _held(tx, policy, params.action_type) if row.why is None}
    if not free.issuperset(ids):
        raise _Moved
    targets = {UUID(each.alert_id): (each.target_type, each.target_id) for each in params.members}
    sure = {row.alert_id: row.confidence for row in held}
    for alert in alerts:
        target_type, target_id = targets[alert.id]
        await tx.run(
            store.ADD_REMEDIATION,
            id=uuid7(action.created_at),
            alert_id=alert.id,
            action_id=action.id,
            action_type=params.action_type,
            target_type=target_type,
            target_id=target_id,
            is_manual=False,
            is_group=True,
            confidence=sure[alert.id],
        )
        await deciding.link_action(tx, alert.id, action_id=action.id, moved="proposed", by=SIRA)
        await noting.created(tx, alert.id, action, None, by=SIRA)
    await tx.run(policy_store.STAMP_POLICY, alert_type=policy.alert_type)
    await tx.run(group_store.TAKE_IN, alert_ids=ids, action_id=action.id)


async def _let_go(
    db: Database, action_type: str, rows: Sequence[HeldRow], refused: Mapping[UUID, str]
) -> None:
    """Leave to people what cannot be asked for any more, and say why."""
    ids = [*(row.alert_id for row in rows), *refused]
    if not ids:
        return
    async with db.transaction("remediation.let_go") as tx:
        await tx.run(group_store.LET_GO, alert_ids=ids)
        for row in rows:
            details = {"reason": row.why, "action_type": action_type}
            await noting.note(tx, row.alert_id, Decision("system", "skip", details))
        for alert_id, why in refused.items():
            details = {"error": why[:500], "action_type": action_type}
            await noting.note(tx, alert_id, Decision("system", "error", details))
