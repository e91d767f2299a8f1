"""What changes a merchant's figures, alerts and settings."""

from __future__ import annotations

import json
from uuid import UUID

from molam.kernel.clock import Clock, Instant
from molam.kernel.currency import currency
from molam.kernel.ids import uuid7
from molam.kernel.money import Money
from molam.kernel.refusals import Kind, Refusal
from molam.merchant import kpi_store, store
from molam.platform import telemetry
from molam.platform.db import Database, Tx
from molam.platform.web import Caller
from molam.sira import anomaly, sentences

TOPICS = (
    "wallet_txn_created",
    "wallet_txn_succeeded",
    "refund_created",
    "payout_created",
    "dispute_created",
)


class AlertAbsent(Refusal):
    code = "alert-absent"
    kind = Kind.ABSENT
    title = "No such alert"


async def count_facts(tx: Tx, events_json: str, *, imported: bool) -> kpi_store.CountedRow:
    """
    Count a JSON array of events into buckets and cached figures, each fact once.

    Order, repetition and batch boundaries do not matter. Imported facts never
    replace live ones.
    """
    heads = await tx.all(kpi_store.TOUCH_HEADS, events=events_json)
    counted = await tx.one(
        kpi_store.COUNT_FACTS,
        events=events_json,
        imported=imported,
        merchants=[head.merchant_id for head in heads],
    )
    assert counted is not None
    return counted


async def count_imported(tx: Tx, rows_json: str) -> int:
    """Count imported history, a JSON array of event ``data`` objects; return how many are new."""
    events = json.dumps(
        [
            {
                "type": "refund_created" if row.get("type") == "refund" else "wallet_txn_created",
                "data": row,
            }
            for row in json.loads(rows_json)
        ]
    )
    counted = await count_facts(tx, events, imported=True)
    return counted.facts


class KpiWorker:
    """Counts live events, raises the alerts they warrant, and tells open dashboards."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def handle(self, tx: Tx, payloads: list[str]) -> None:
        events = f"[{','.join(payloads)}]"
        counted = await count_facts(tx, events, imported=False)
        if not counted.merchants:
            return
        now = self._clock.now()
        await raise_surges(tx, counted.merchants, now=now)
        if counted.disputes:
            await raise_disputes(tx, events, now=now)
        await tx.run(kpi_store.TELL_DASHBOARDS, merchants=counted.merchants)
        telemetry.kpi_updates_total.inc(counted.facts)


async def raise_surges(tx: Tx, merchants: list[str], *, now: Instant) -> int:
    """
    Raise one alert for each merchant and day whose sales exceed three times the day before's.

    This is the specification's rule. It stays beside the seasonal one, as a floor
    that needs no history.
    """
    surges = await tx.all(kpi_store.FIND_SURGES, merchants=merchants)
    for surge in surges:
        finding = anomaly.surge(observed=surge.sales, previous=surge.previous_sales)
        assert finding is not None
        await tx.run(
            store.APPEND_ALERT,
            id=uuid7(now),
            merchant_id=surge.merchant_id,
            alert_type="unusual_sales_volume",
            severity=finding.severity,
            title="Unusual sales volume",
            description=sentences.explain(finding, "en", currency=surge.currency),
            related_transactions=[],
            sira_score=None,
            sira_tags=["sales", "floor_rule"],
            sira_recommendations=[
                "Compare the latest payments with what you sold.",
                "Check that no price or quantity was entered wrongly.",
                "Tell support if you do not recognise these payments.",
            ],
            episode=f"{surge.currency}:{surge.day.isoformat()}",
            facts={
                "rule": "floor",
                "currency": surge.currency,
                "day": surge.day.isoformat(),
                "observed": surge.sales,
                "expected": surge.previous_sales,
            },
            expires_at=None,
        )
    return len(surges)


async def raise_disputes(tx: Tx, events: str, *, now: Instant) -> int:
    """Tell a merchant of each dispute once, by the dispute's own id."""
    disputes = await tx.all(kpi_store.FIND_NEW_DISPUTES, events=events)
    for dispute in disputes:
        await tx.run(
            store.APPEND_ALERT,
            id=uuid7(now),
            merchant_id=dispute.merchant_id,
            alert_type="dispute_created",
            severity="warning",
            title="A customer disputes a payment",
            description=f"Dispute {dispute.id} takes back "
            f"{Money(dispute.amount, currency(dispute.currency))} until it is decided.",
            related_transactions=[dispute.transaction_id] if dispute.transaction_id else [],
            sira_score=None,
            sira_tags=["dispute"],
            sira_recommendations=[],
            episode=dispute.id,
            facts={
                "rule": "dispute",
                "dispute_id": dispute.id,
                "transaction_id": dispute.transaction_id,
                "amount": dispute.amount,
                "currency": dispute.currency,
                "reason": dispute.reason,
            },
            expires_at=None,
        )
    return len(disputes)


async def acknowledge_alert(
    db: Database, *, caller: Caller, alert_id: UUID, now: Instant
) -> store.AlertRow:
    """
    Record that a person has seen an alert. Acknowledging twice changes nothing.

    Raises:
        AlertAbsent: the merchant has no such alert.
    """
    merchant_id = caller.merchant
    async with db.transaction("merchant.acknowledge_alert", merchant_id=merchant_id) as tx:
        alert = await tx.one(store.LOCK_ALERT, merchant_id=merchant_id, id=alert_id)
        if alert is None:
            raise AlertAbsent("It may have been cleared; reload the list.")
        if alert.status != "active":
            return alert
        await tx.run(
            store.SET_ACKNOWLEDGED, merchant_id=merchant_id, id=alert_id, by=caller.subject
        )
        await tx.run(
            store.APPEND_AUDIT,
            id=uuid7(now),
            merchant_id=merchant_id,
            user_id=caller.subject,
            action_type="alert_acknowledged",
            resource_type="alert",
            resource_id=str(alert_id),
            ip_address=caller.ip,
            user_agent=caller.user_agent,
            changes={"before": {"status": "active"}, "after": {"status": "acknowledged"}},
        )
        after = await tx.one(store.LOCK_ALERT, merchant_id=merchant_id, id=alert_id)
        assert after is not None
        return after


async def abandon_undecided(tx: Tx) -> int:
    """Count payments that nobody decided for 24 hours as abandoned; at most a batch."""
    found = await tx.one(kpi_store.FIND_ABANDONED, limit=1000)
    assert found is not None
    if found.events is None:
        return 0
    counted = await count_facts(tx, found.events, imported=False)
    if counted.merchants:
        await tx.run(kpi_store.TELL_DASHBOARDS, merchants=counted.merchants)
    return found.count
