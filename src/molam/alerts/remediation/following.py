"""Finding out whether what was done about an alert helped: only its metric can say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import structlog

from molam.alerts.episodes import commands as episodes_commands
from molam.alerts.episodes import deciding
from molam.alerts.episodes import store as episodes
from molam.alerts.episodes.model import AlertRow
from molam.alerts.remediation import (
    evidence_store,
    group_store,
    metrics,
    noting,
    settling,
    store,
)
from molam.alerts.remediation.advising import rule_of
from molam.alerts.remediation.commands import link, locked_alert, locked_policy, policy_of
from molam.alerts.remediation.evidence_store import PointRow
from molam.alerts.remediation.group_store import ResultRow
from molam.alerts.remediation.model import LOOK, Decision, LookJob
from molam.alerts.remediation.store import RemediationRow
from molam.alerts.rules import commands as rules
from molam.alerts.rules.model import Rule, Sample
from molam.alerts.runtime import Watch
from molam.approvals import store as actions
from molam.approvals.lifecycle import State
from molam.approvals.locked import ended_in_vain
from molam.approvals.store import ActionRow
from molam.kernel.clock import Instant
from molam.ledger import floats
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue

log = structlog.get_logger()

SYSTEM = "system"
BATCH = 200
_DONE = frozenset({State.EXECUTED, State.VERIFIED, State.INEFFECTIVE})
_INEFFECTIVE_MAX = 2
"""So many without effect within four hours, and the breaker opens."""

# Note [Only the metric says]
#
# That an action was carried out says nothing: a remediation is over once the value that
# raised the alert is back beyond its clearing level, and stays there for as long as the
# policy wants. What we can measure ourselves is measured at once; all else comes with the
# next measurement. An alert whose values ended it while an action was being verified was
# remediated by it, in whatever order the two are written down.


async def follow(db: Database, watch: Watch) -> int:
    """Look after everything that is not settled, and return how much that was."""
    for found in await db.read(store.LIST_UNLINKED, limit=BATCH):
        await follow_action(db, watch, found.id)
    rows = await db.read(store.LIST_UNSETTLED, limit=BATCH)
    for row in rows:
        await look(db, watch, row.id)
    return len(rows)


async def follow_action(db: Database, watch: Watch, action_id: UUID) -> None:
    """Hear what became of an action that names an alert. Safe to repeat."""
    found = await db.read(store.FIND_OF_ACTION, action_id=action_id)
    for row in found:
        await look(db, watch, row.id)
    if found:
        return
    adopted = await _adopt(db, action_id)
    if adopted is not None:
        await look(db, watch, adopted)


async def follow_alert(db: Database, watch: Watch, alert_id: UUID) -> None:
    """Hear that an alert is over: what waits for it is not carried out any more."""
    for row in await db.read(store.LIST_ASKED_OF_ALERT, alert_id=alert_id):
        await look(db, watch, row.id)


async def _adopt(db: Database, action_id: UUID) -> UUID | None:
    """Take an action for a remedy that others asked for, if it is one for the alert it names."""
    async with db.transaction("remediation.adopt") as tx:
        action = await tx.one(actions.FIND_ACTION, id=action_id)
        if action is None or State(action.state) not in _DONE:
            return None
        named = _read_id(action.context.get("alert_id"))
        if named is None:
            return None
        alert = await tx.one(episodes.FIND_ALERT, id=named)
        if alert is None or not await _is_for(tx, action, alert):
            return None
        await locked_policy(tx, alert.alert_type)
        await link(tx, await locked_alert(tx, alert.id), action, is_manual=True)
        [linked] = await tx.all(store.FIND_OF_ACTION, action_id=action_id)
    return linked.id


async def _is_for(tx: Tx, action: ActionRow, alert: AlertRow) -> bool:
    """Whether what it does to whom is what this alert's policy speaks of."""
    policy = await policy_of(tx, alert.alert_type)
    target = (action.target_tenant_type, action.target_tenant_id)
    return (
        action.action_type in {policy.action_type, *policy.bounds}
        and target == (alert.tenant_type, alert.tenant_id)
        and not alert.is_over
    )


def _read_id(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


async def look(db: Database, watch: Watch, remediation_id: UUID) -> None:
    """Move one remediation on, as far as it can go now. Safe to repeat."""
    async with db.transaction("remediation.look", readonly=True) as tx:
        row = await tx.one(store.FIND_REMEDIATION, id=remediation_id)
        if row is None or row.state not in {"asked", "verifying"}:
            return
        action = await tx.one(actions.FIND_ACTION, id=row.action_id)
        alert = await tx.one(episodes.FIND_ALERT, id=row.alert_id)
        assert action is not None
        assert alert is not None
    if row.state == "asked" and not await _is_begun(db, row, action, alert):
        return
    await _measure(db, watch, alert)
    await _judge(db, watch, row.id, alert)


async def _is_begun(db: Database, row: RemediationRow, action: ActionRow, alert: AlertRow) -> bool:
    """Find out what became of what was asked for; True if it was done, and is verified now."""
    is_executed, is_vain = State(action.state) in _DONE, ended_in_vain(action)
    turn = None
    if row.is_group:
        turn = await _turn_of(db, row)
    if turn is not None and not (is_executed or is_vain):
        return False  # It had its turn, and others have not.
    if is_executed if turn is None else turn.is_done:
        await _begin(db, row, action, alert)
        return True
    if turn is not None:
        await _give_up(db, row, str(turn.said.get("reason")))
    elif is_vain:
        await _give_up(db, row, f"action_{action.state}")
    elif alert.is_over:
        await _go_stale(db, row)
    return False


async def _turn_of(db: Database, row: RemediationRow) -> ResultRow | None:
    found = await db.read(group_store.FIND_RESULT, action_id=row.action_id, alert_id=row.alert_id)
    return found[0] if found else None


async def _begin(db: Database, row: RemediationRow, action: ActionRow, alert: AlertRow) -> None:
    executed_at = action.executed_at or action.updated_at
    async with db.transaction("remediation.verify") as tx:
        policy = await policy_of(tx, alert.alert_type)
        within = max(policy.verify_within_s, policy.verify_hold_s)
        begun = await tx.run(
            store.SET_VERIFYING, id=row.id, executed_at=executed_at, within_s=within
        )
        if not begun:
            return
        await locked_alert(tx, alert.id)
        await deciding.note_move(
            tx,
            alert.id,
            "acted",
            by=action.executed_by or SYSTEM,
            details={"action_id": str(action.id)},
        )
        for wait_s in sorted({policy.verify_hold_s + 6, within + 1}):
            job = LookJob(str(row.id))
            await enqueue(tx, LOOK, job, delay_s=wait_s, once=f"{LOOK}/{row.id}/{wait_s}")
    metrics.EXECUTED.labels(row.action_type).inc()
    metrics.LATENCY.observe(max(0.0, (executed_at - alert.fired_at).total_seconds()))


async def _give_up(db: Database, row: RemediationRow, reason: str) -> None:
    """Let go of an action that came to nothing: the alert is for people again."""
    async with db.transaction("remediation.give_up") as tx:
        if not await settling.settle(tx, row, "ended"):
            return
        await locked_alert(tx, row.alert_id)
        await tx.run(store.SET_REOPENED, id=row.alert_id)
        details = {"reason": reason, "ops_action_id": str(row.action_id)}
        await noting.note(tx, row.alert_id, Decision("system", "skip", details))


async def _go_stale(db: Database, row: RemediationRow) -> None:
    """End an action whose alert is over: what nobody needs must not be carried out."""
    async with db.transaction("remediation.stale") as tx:
        if await settling.leave(tx, row):
            details = {"reason": "alert_over", "ops_action_id": str(row.action_id)}
            await noting.note(tx, row.alert_id, Decision("system", "skip", details))


async def _measure(db: Database, watch: Watch, alert: AlertRow) -> None:
    """Measure again what we can measure ourselves: an agent's float."""
    metric = str(alert.metric.get("metric", ""))
    if metric != "float_available" or alert.tenant_id is None or alert.currency is None:
        return
    async with db.transaction("remediation.measure") as tx:
        sample = Sample(
            metric=metric,
            value=Decimal(await floats.balance_of(tx, alert.tenant_id, alert.currency)),
            tenant_type=alert.tenant_type,
            tenant_id=alert.tenant_id,
            currency=alert.currency,
            at=watch.clock.now(),
            context={"source": "verification"},
        )
        moved = await rules.take_in(
            tx, [sample], now=watch.clock.now(), settle=True, book=watch.rules
        )
        await episodes_commands.apply(tx, watch, moved)


async def _judge(db: Database, watch: Watch, remediation_id: UUID, alert: AlertRow) -> None:
    async with db.transaction("remediation.judge") as tx:
        row = await tx.one(store.FIND_REMEDIATION, id=remediation_id)
        if row is None or row.state != "verifying":
            return
        policy = await policy_of(tx, alert.alert_type)
        rule = await rule_of(tx, watch, alert)
        assert row.executed_at is not None
        points = await tx.all(
            evidence_store.POINTS_SINCE,
            metric=str(alert.metric.get("metric", "")),
            tenant_type=alert.tenant_type,
            tenant_id=alert.tenant_id or "",
            currency=alert.currency or "",
            since=row.executed_at,
        )
        held = rule is not None and holds(
            rule, points, hold=timedelta(seconds=policy.verify_hold_s), now=watch.clock.now()
        )
        if held:
            await _settle_well(tx, watch, row)
            return
        due = await tx.one(store.IS_DUE, id=row.id)
        assert due is not None
        if due.count:
            await _settle_ill(tx, watch, row, alert)


def holds(rule: Rule, points: Sequence[PointRow], *, hold: timedelta, now: Instant) -> bool:
    """Tell whether the value is back beyond its clearing level, and has been for *hold*."""
    since: Instant | None = None
    for point in points:
        worst = point.low if rule.comparison == "below" else point.high
        # Earlier in its minute the value may still have been what it was before the action.
        value = point.last_value if since is None else worst
        if not rule.clears(value):
            since = point.last_at if rule.clears(point.last_value) and since is not None else None
        elif since is None:
            since = point.last_at
    return since is not None and now - since >= hold


async def _settle_well(tx: Tx, watch: Watch, row: RemediationRow) -> None:
    if not await settling.settle(tx, row, "verified"):
        return  # Somebody else looked while we waited for the action.
    await deciding.remediated(tx, watch, row.alert_id, action_id=row.action_id, by=SYSTEM)
    await deciding.note_move(
        tx, row.alert_id, "verified", by=SYSTEM, details={"action_id": str(row.action_id)}
    )
    details = {"ops_action_id": str(row.action_id), "verified": True}
    await noting.note(tx, row.alert_id, Decision("system", "execute", details))


async def _settle_ill(tx: Tx, watch: Watch, row: RemediationRow, alert: AlertRow) -> None:
    """Say that it was without effect; the second time nothing more is proposed by itself."""
    if not await settling.settle(tx, row, "ineffective"):
        return
    await locked_policy(tx, alert.alert_type)
    now = await locked_alert(tx, alert.id)
    await tx.run(store.SET_REOPENED, id=row.alert_id)
    await deciding.note_move(
        tx, row.alert_id, "ineffective", by=SYSTEM, details={"action_id": str(row.action_id)}
    )
    details = {"ops_action_id": str(row.action_id), "verified": False}
    await noting.note(tx, row.alert_id, Decision("system", "execute", details))
    target = {
        "action_type": row.action_type,
        "target_type": row.target_type,
        "target_id": row.target_id,
    }
    found = await tx.one(store.COUNT_INEFFECTIVE, **target)
    assert found is not None
    if found.count >= _INEFFECTIVE_MAX and await tx.run(store.OPEN_BREAKER, **target):
        await noting.page(tx, alert.alert_type, "ineffective", now, at=watch.clock.now())
