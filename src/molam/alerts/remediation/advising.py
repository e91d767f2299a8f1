"""What SIRA is told about an alert, and what it answers: signed, or not believed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import structlog

from molam.alerts.episodes.model import AlertRow
from molam.alerts.remediation import evidence_store
from molam.alerts.rules.model import Rule, exact
from molam.alerts.runtime import Watch
from molam.kernel.refusals import Outage
from molam.ledger import floats
from molam.platform.db import Database, Tx
from molam.sira import recommending, recommending_client
from molam.sira.recommending import Bank, Evidence, Recommendation, Situation
from molam.sira.recommending_messages import Recommended, RecommendRequest

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Advice:
    """What is recommended. *is_fallback*: SIRA could not be heard, so people should look."""

    recommendation: Recommendation
    is_fallback: bool = False
    why: str | None = None


async def asked_of(tx: Tx, watch: Watch, alert: AlertRow) -> RecommendRequest:
    """Put together what SIRA is asked: the alert, its rule's levels, and our own data."""
    rule = await rule_of(tx, watch, alert)
    value = exact(alert.metric.get("value", 0))
    situation = Situation(
        alert_id=str(alert.id),
        alert_type=alert.alert_type,
        severity=alert.severity,
        tenant_type=alert.tenant_type,
        tenant_id=alert.tenant_id,
        currency=alert.currency,
        metric=str(alert.metric.get("metric", alert.alert_type)),
        value=value,
        fire_at=value if rule is None else rule.fire_at,
        clear_at=value if rule is None else rule.clear_at,
        critical_at=None if rule is None else rule.critical_at,
    )
    is_below = rule is not None and rule.comparison == "below"
    return RecommendRequest(_settled(situation), await _evidence(tx, alert, is_below=is_below))


def _settled(situation: Situation) -> Situation:
    """Write numbers as JSON has them: what is signed goes over the wire and back."""
    levels: dict[str, Any] = {}
    for name in ("value", "fire_at", "clear_at", "critical_at"):
        level: Decimal | None = getattr(situation, name)
        levels[name] = None if level is None else exact(level)
    return msgspec.structs.replace(situation, **levels)


async def rule_of(tx: Tx, watch: Watch, alert: AlertRow) -> Rule | None:
    """Find the rule that judges what the alert is about now, or else the one that opened it."""
    rules = await watch.rules.current(tx)
    metric = str(alert.metric.get("metric", ""))
    family = (alert.alert_type, metric, alert.tenant_type)
    found = rules.judge_of(family, alert.tenant_id, alert.currency)
    return found or (None if alert.rule_id is None else rules.by_id(alert.rule_id))


async def _evidence(tx: Tx, alert: AlertRow, *, is_below: bool) -> Evidence:
    if alert.alert_type == "float_low" and alert.tenant_id and alert.currency:
        rows = await tx.all(
            evidence_store.DAILY_OUTFLOWS,
            agent_id=alert.tenant_id,
            account_id=floats.account_of(alert.tenant_id, alert.currency),
        )
        return Evidence(daily_outflows=tuple(row.amount for row in rows))
    if alert.alert_type == "payout_fail_rate" and alert.tenant_id:
        found = await tx.all(evidence_store.OTHER_BANKS, bank_profile_id=alert.tenant_id)
        banks = [Bank(row.bank_profile_id, row.belief) for row in found]
        return Evidence(
            bank=next((each for each in banks if each.bank_profile_id == alert.tenant_id), None),
            banks=tuple(each for each in banks if each.bank_profile_id != alert.tenant_id),
        )
    highs = await tx.all(
        evidence_store.EARLIER_WORST,
        below=is_below,
        metric=str(alert.metric.get("metric", "")),
        tenant_type=alert.tenant_type,
        tenant_id=alert.tenant_id or "",
        currency=alert.currency or "",
        before=alert.fired_at,
    )
    return Evidence(earlier=tuple(exact(row.value) for row in highs))


async def advise(db: Database, watch: Watch, alert: AlertRow) -> Advice:
    """
    Ask SIRA what *alert* calls for. No transaction is open.

    Raises:
        AdviceRefused: the answer is not SIRA's, or about something else.
        Outage: SIRA cannot be heard, and nothing may stand in for it.
    """
    async with db.transaction("remediation.ask", readonly=True) as tx:
        asked = await asked_of(tx, watch, alert)
    try:
        said = await _answer(watch, asked)
    except Outage as outage:
        if not watch.fallback_enabled:
            raise
        log.warning("alerts.sira_unheard", alert=str(alert.id), why=str(outage))
        return Advice(recommending.by_people(asked.alert), is_fallback=True, why=str(outage))
    return Advice(
        recommending_client.believed(asked, said, key=watch.signing_key, clock=watch.clock)
    )


async def _answer(watch: Watch, asked: RecommendRequest) -> Recommended:
    if not watch.sira_url:
        return recommending_client.here(asked, key=watch.signing_key, clock=watch.clock)
    return await recommending_client.there(
        watch.sira_url, asked, api_key=watch.sira_api_key, timeout_s=watch.sira_timeout_s
    )
