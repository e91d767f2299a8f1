"""Letting an alert lead to an action: once, within bounds, and never past the people who decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from molam.alerts.episodes import deciding
from molam.alerts.episodes import store as episodes
from molam.alerts.episodes.model import AlertAbsent, AlertOver, AlertRow
from molam.alerts.remediation import group_store, limits, noting, policy_store, store
from molam.alerts.remediation.advising import Advice, advise
from molam.alerts.remediation.bounds import OutOfBounds, params_for
from molam.alerts.remediation.limits import Held
from molam.alerts.remediation.model import (
    SIRA,
    NoRemedy,
    Policy,
    PolicyUnknown,
    quiet,
    tightening,
)
from molam.alerts.runtime import Watch
from molam.approvals import commands as engine
from molam.approvals import permissions
from molam.approvals.commands import Created
from molam.approvals.intents import PlanRefused
from molam.approvals.model import Actor, NewAction, TwinOpen
from molam.approvals.store import ActionRow
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Outage, Refusal
from molam.platform.actions import ParamsRefused
from molam.platform.db import Database, Tx
from molam.sira.recommending import MANUAL_REVIEW, Recommendation
from molam.sira.recommending_messages import explanation_json, recommendation_json
from molam.sira.signing import AdviceRefused

log = structlog.get_logger()

# Note [One action for an alert]
#
# An alert is one episode, and its id makes the action's key: however often it is told of,
# or by how many workers, there is one action. What limits actions is looked at twice:
# before the action is asked for, to save the trouble, and again in its transaction, under
# the lock of the policy's row, which everybody who acts on alerts of this type takes after
# asking and before linking. If it holds then, the transaction is undone, and only the
# decision is written, in a second one. So the limits hold however many ask at once.


@dataclass(frozen=True, slots=True)
class Made:
    """What to ask for, and what SIRA said about it, if it was heard."""

    params: dict[str, Any]
    advice: Advice | None


async def remediate(db: Database, watch: Watch, alert_id: UUID) -> ActionRow | None:
    """
    Do what the alert's policy lets happen by itself; None if that is nothing. Safe to repeat.

    Whatever comes of it stands among the alert's decisions.
    """
    async with db.transaction("remediation.look", readonly=True) as tx:
        alert = await tx.one(episodes.FIND_ALERT, id=alert_id)
        if alert is None or alert.is_over or alert.remedied_by_action_id is not None:
            return None
        policy = await policy_of(tx, alert.alert_type)
        held = "disabled" if not policy.enabled else quiet(alert)
    if held is not None:
        if policy.enabled:
            await noting.skip(db, alert.id, held)
        return None
    try:
        made = await _advised(db, watch, alert, policy)
        return None if made is None else await _act(db, watch, alert, made)
    except Held as hold:
        await noting.held(db, watch, alert, policy, hold=hold)
    except TwinOpen as twin:
        await noting.skip(db, alert.id, "twin_open", **twin.facts)
    except (AdviceRefused, OutOfBounds, Outage) as error:
        await noting.error(db, alert.id, str(error), code=getattr(error, "code", None))
    except Refusal as refusal:
        # People decide what a program may not ask for: two cannot ask for the same thing.
        await noting.error(db, alert.id, refusal.detail, code=refusal.code)
    return None


async def _advised(db: Database, watch: Watch, alert: AlertRow, policy: Policy) -> Made | None:
    """
    Ask SIRA, and check what it says; None if it is not sure enough to ask for anything.

    Raises:
        AdviceRefused, OutOfBounds: it says what is not its to say.
        Outage: it cannot be heard.
    """
    advice = await advise(db, watch, alert)
    said = advice.recommendation
    await noting.suggest(db, alert.id, advice)
    if said.action == MANUAL_REVIEW or said.confidence < policy.auto_threshold:
        await noting.skip(
            db,
            alert.id,
            "low_confidence",
            confidence=said.confidence,
            auto_threshold=policy.auto_threshold,
        )
        return None
    wanted = policy.remedy_for(alert.tenant_type).action_type
    if said.recommendation_type != wanted:
        raise OutOfBounds(f"SIRA says {said.recommendation_type}, not {wanted}")
    if (said.tenant_type, said.tenant_id) != (alert.tenant_type, alert.tenant_id):
        raise OutOfBounds("SIRA speaks of another tenant")
    return Made(params_for(alert, policy, said.params), advice)


async def _act(db: Database, watch: Watch, alert: AlertRow, made: Made) -> ActionRow | None:
    assert made.advice is not None
    said = made.advice.recommendation
    async with db.transaction("remediation.act") as tx:
        policy = await policy_of(tx, alert.alert_type)
        created = await engine.create_in(
            tx,
            watch.approvals,
            NewAction(
                idempotency_key=f"alert-{alert.id}-remediation",
                origin="alert",
                origin_id=str(alert.id),
                action_type=policy.remedy_for(alert.tenant_type).action_type,
                params={**made.params, **_why(alert, said)},
                **_asked(policy),
            ),
            Actor(SIRA, kind="service"),
        )
        policy = await locked_policy(tx, alert.alert_type)
        if created.is_new:
            await limits.check(tx, policy, created.row)
        now = await locked_alert(tx, alert.id)
        if now.remedied_by_action_id == created.row.id:
            return created.row
        held = "over" if now.is_over else "disabled" if not policy.enabled else quiet(now)
        if now.remedied_by_action_id is not None or not created.is_new:
            held = "acted_on"
        if held is not None:
            raise Held(held)
        await link(tx, now, created.row, said)
        await noting.created(tx, alert.id, created.row, said, by=SIRA)
    return created.row


def _asked(policy: Policy) -> dict[str, Any]:
    return tightening(policy, permissions.STAFF - {"auditor"})


def _why(alert: AlertRow, said: Recommendation | None) -> dict[str, Any]:
    """Write what stands beside an action: which alert it is for, and what SIRA says about it."""
    why: dict[str, Any] = {"alert_id": str(alert.id)}
    if said is not None:
        why["sira_recommendation_id"] = said.id
        why["sira_confidence"] = said.confidence
        why["sira_explanation"] = explanation_json(said.explanation)
    return why


async def remediate_by_hand(db: Database, watch: Watch, alert_id: UUID, actor: Actor) -> ActionRow:
    """
    Ask for what the policy of the alert's type does, because a person wants it.

    Nothing of it is decided yet: as many people vote as about any such action. Asking
    again gives the same action.

    Raises:
        AlertAbsent, AlertOver
        NoRemedy: nothing is known that would help, or people have to look first.
        TwinOpen and the others: as for any action.
    """
    async with db.transaction("remediation.look", readonly=True) as tx:
        alert = await tx.one(episodes.FIND_ALERT, id=alert_id)
        if alert is None:
            raise AlertAbsent("Check the alert's id.")
        policy = await policy_of(tx, alert.alert_type)
    if alert.is_over:
        raise AlertOver("There is nothing left to do about it.")
    made = await _by_hand(db, watch, alert, policy)
    said = None if made.advice is None else made.advice.recommendation
    request = NewAction(
        idempotency_key=f"alert-{alert.id}-manual-remediation",
        origin="ops_ui",
        origin_id=str(alert.id),
        action_type=policy.remedy_for(alert.tenant_type).action_type,
        params={**made.params, **_why(alert, said)},
        **_asked(policy),
    )
    async with db.transaction("remediation.by_hand") as tx:
        created = await _asked_for(tx, watch, request, actor)
        now = await locked_alert(tx, alert.id)
        if now.is_over:
            raise AlertOver("There is nothing left to do about it.")
        if created.is_new:
            await link(tx, now, created.row, said, is_manual=True)
            await noting.created(tx, alert.id, created.row, said, by=actor.id)
    return created.row


async def _asked_for(tx: Tx, watch: Watch, request: NewAction, actor: Actor) -> Created:
    """
    Raises:
        NoRemedy: what would be asked for cannot be done, and why.
    """
    try:
        return await engine.create_in(tx, watch.approvals, request, actor)
    except (ParamsRefused, PlanRefused) as refusal:
        raise NoRemedy(
            f"{request.action_type}: {refusal.detail}",
            action_type=request.action_type,
            cause=refusal.facts.get("cause", refusal.code),
        ) from refusal


async def _by_hand(db: Database, watch: Watch, alert: AlertRow, policy: Policy) -> Made:
    advice = None
    said: Mapping[str, object] = {}
    wanted = policy.remedy_for(alert.tenant_type).action_type
    try:
        advice = await advise(db, watch, alert)
        if advice.recommendation.recommendation_type == wanted:
            said = advice.recommendation.params
    except (AdviceRefused, Outage) as error:
        log.info("alerts.remediate_unadvised", alert=str(alert.id), why=str(error))
    if advice is not None and advice.recommendation.action == MANUAL_REVIEW:
        advice = None
    try:
        return Made(params_for(alert, policy, said), advice)
    except OutOfBounds as error:
        if wanted == MANUAL_REVIEW:
            raise NoRemedy(f"{str(error).capitalize()}.") from None
        raise NoRemedy(f"{wanted}: {error}.", action_type=wanted) from None


async def link(
    tx: Tx,
    alert: AlertRow,
    action: ActionRow,
    said: Recommendation | None = None,
    *,
    is_manual: bool = False,
) -> None:
    """Tie an action to the alert it is for, both ways; *alert* is locked."""
    await tx.run(group_store.LEAVE_GROUP, alert_id=alert.id, action_type=action.action_type)
    await tx.run(
        store.ADD_REMEDIATION,
        id=uuid7(action.created_at),
        alert_id=alert.id,
        action_id=action.id,
        action_type=action.action_type,
        target_type=action.target_tenant_type,
        target_id=action.target_tenant_id,
        is_manual=is_manual,
        is_group=False,
        confidence=None if said is None else said.confidence,
    )
    await deciding.link_action(
        tx, alert.id, action_id=action.id, moved="proposed", by=action.created_by
    )
    await tx.run(policy_store.STAMP_POLICY, alert_type=alert.alert_type)


async def recommendation_of(db: Database, watch: Watch, alert_id: UUID) -> dict[str, Any]:
    """
    Say what SIRA recommends about an alert, and let nothing follow.

    Raises:
        AlertAbsent
    """
    async with db.transaction("remediation.look", readonly=True) as tx:
        alert = await tx.one(episodes.FIND_ALERT, id=alert_id)
    if alert is None:
        raise AlertAbsent("Check the alert's id.")
    return recommendation_json((await advise(db, watch, alert)).recommendation)


async def policy_of(tx: Tx, alert_type: str) -> Policy:
    """
    Raises:
        PolicyUnknown: no policy speaks of alerts of this type.
    """
    found = await tx.one(policy_store.FIND_POLICY, alert_type=alert_type)
    if found is None:
        raise PolicyUnknown("No policy speaks of alerts of this type.", alert_type=alert_type)
    return found


async def locked_policy(tx: Tx, alert_type: str) -> Policy:
    found = await tx.one(policy_store.LOCK_POLICY, alert_type=alert_type)
    assert found is not None
    return found


async def locked_alert(tx: Tx, alert_id: UUID) -> AlertRow:
    found = await tx.one(episodes.LOCK_ALERT, id=alert_id)
    assert found is not None
    return found
