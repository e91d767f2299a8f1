"""Writing down what was decided about alerts, and telling people what only they can do."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from molam.alerts.episodes.model import AlertRow
from molam.alerts.remediation import group_store, store
from molam.alerts.remediation.advising import Advice
from molam.alerts.remediation.group_model import GATHER_S, GROUP, GROUPED, GroupJob
from molam.alerts.remediation.limits import Held
from molam.alerts.remediation.model import SIRA, Decider, Decision, Policy
from molam.alerts.runtime import Watch
from molam.approvals.store import ActionRow
from molam.kernel.clock import Instant
from molam.notices import commands as notices
from molam.notices.model import Kind, Notice
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue
from molam.sira.recommending import Recommendation
from molam.sira.recommending_messages import recommendation_json
from molam.tenancy import queries as tenancy

_TOLD = ["ops_admin"]
_FOR_PEOPLE = frozenset({"breaker", "blast_radius"})


async def note(tx: Tx, alert_id: UUID, decision: Decision) -> None:
    await tx.run(store.ADD_DECISION, alert_id=alert_id, decision=decision.as_json())
    await tx.one(store.TELL, alert_id=str(alert_id))


async def skip(db: Database, alert_id: UUID, reason: str, **details: object) -> None:
    """Say that nothing is asked for, and why."""
    plain = {
        name: float(each) if isinstance(each, Decimal) else each for name, each in details.items()
    }
    async with db.transaction("remediation.skip") as tx:
        await note(tx, alert_id, Decision("system", "skip", {"reason": reason, **plain}))


async def suggest(db: Database, alert_id: UUID, advice: Advice) -> None:
    """Keep what SIRA recommends."""
    details: dict[str, object] = {"sira_rec": recommendation_json(advice.recommendation)}
    if advice.is_fallback:
        details |= {"fallback": True, "why": advice.why}
    async with db.transaction("remediation.suggest") as tx:
        await note(tx, alert_id, Decision("sira", "suggest", details))


async def error(db: Database, alert_id: UUID, why: str, *, code: str | None) -> None:
    """Say that it went wrong, and how; people have to look."""
    async with db.transaction("remediation.error") as tx:
        details = {"error": why[:500], "code": code}
        await note(tx, alert_id, Decision("system", "error", details))


async def created(
    tx: Tx, alert_id: UUID, action: ActionRow, said: Recommendation | None, *, by: str
) -> None:
    """Say which action was asked for."""
    details = {
        "ops_action_id": str(action.id),
        "action_type": action.action_type,
        "by": by,
        "sira_rec": None if said is None else recommendation_json(said),
    }
    decider: Decider = "system" if by == SIRA else "user"
    await note(tx, alert_id, Decision(decider, "create_ops_action", details))


async def held(db: Database, watch: Watch, alert: AlertRow, policy: Policy, *, hold: Held) -> None:
    """Say what held it back; of what only people can decide they are told, once an hour."""
    details = {
        "reason": hold.reason,
        "action_type": policy.remedy_for(alert.tenant_type).action_type,
        **hold.details,
    }
    async with db.transaction("remediation.held") as tx:
        if hold.reason not in _FOR_PEOPLE:
            await note(tx, alert.id, Decision("system", "skip", details))
            return
        await note(tx, alert.id, Decision("system", "require_approval", details))
        if hold.action is not None and hold.action.action_type in GROUPED:
            await _keep_for_all(tx, alert, hold.action)
        await page(tx, policy.alert_type, hold.reason, alert, at=watch.clock.now())


async def _keep_for_all(tx: Tx, alert: AlertRow, action: ActionRow) -> None:
    """Keep what would have been asked for, and soon ask for it together with the others."""
    await tx.run(
        group_store.HOLD,
        alert_id=alert.id,
        alert_type=alert.alert_type,
        action_type=action.action_type,
        target_type=action.target_tenant_type,
        target_id=action.target_tenant_id,
        params=action.params,
        confidence=action.context.get("sira_confidence"),
    )
    job = GroupJob(alert.alert_type, action.action_type)
    once = f"{GROUP}/{alert.alert_type}/{action.action_type}"
    await enqueue(tx, GROUP, job, delay_s=GATHER_S, once=once)


async def page(tx: Tx, alert_type: str, why: str, alert: AlertRow, *, at: Instant) -> None:
    """Tell the operations' administrators that people are needed: one notice for the hour."""
    people = [each.person_id for each in await tenancy.electors_of(tx, _TOLD)]
    group = alert.id if why == "ineffective" else f"{at:%Y-%m-%dT%H}"
    await notices.tell(
        tx,
        Notice(
            kind=Kind.REMEDIATION_HELD,
            key=f"remediation/{alert_type}/{why}/{group}",
            people=sorted(people),
            subject=str(alert.id),
            link="/alerts",
            facts={"title": _WORDS[why], "target": alert.tenant_id or alert.tenant_type},
            urgent=True,
        ),
    )


_WORDS = {
    "blast_radius": {
        "en": "more targets alert than may be acted on in an hour",
        "fr": "plus de cibles en alerte que le nombre permis par heure",
    },
    "breaker": {
        "en": "the same action was without effect twice",
        "fr": "la même action est restée deux fois sans effet",
    },
    "ineffective": {
        "en": "an action was carried out twice without effect",
        "fr": "une action exécutée deux fois est restée sans effet",
    },
}
"""Why people are needed, in either language."""
