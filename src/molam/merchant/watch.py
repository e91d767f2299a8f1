"""The seasonal watch: each hour of each merchant against what that hour usually brings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.merchant import store, unusual, upkeep_store
from molam.platform.db import Database
from molam.sira import anomaly, sentences
from molam.sira.finding import Finding, Kind

HISTORY_DAYS = 56

_TITLES = {
    "unusual_sales_volume": "Unusual sales volume",
    "velocity_exceeded": "More payments than usual",
    "unusual_refund_pattern": "More refunds than usual",
    "high_chargeback_rate": "More disputes than usual",
    "sira_anomaly": "Something unusual",
}


@dataclass(frozen=True, slots=True)
class _Weighed:
    """One test of the last hour, of one merchant or (None) of all together."""

    merchant: upkeep_store.LiveMerchantRow | None
    finding: Finding
    quiet: timedelta = timedelta(0)

    @property
    def scope(self) -> tuple[str, str] | None:
        return (self.merchant.merchant_id, self.merchant.currency) if self.merchant else None


async def watch_seasons(db: Database, *, now: Instant) -> int:
    """
    Judge the last complete hour of every live merchant; return how many alerts that raised.

    Nothing is judged while counting is behind: an hour that has not been counted
    yet looks silent, and its silence would be news. What is found is believed only if
    it stands out among all that was tested, so that many merchants have no more chance
    findings than few.
    """
    behind = await db.read(upkeep_store.FIND_BEHIND, before=_hour_start(now))
    if behind[0].behind:
        return 0
    weighed: list[_Weighed] = []
    platform = unusual.Everybody(_hour_start(now))
    for merchant in await db.read(upkeep_store.LIST_LIVE):
        history, first_hour_of_week = await _history(db, merchant, now)
        platform.add(history)
        quiet = anomaly.refractory(len(history))
        weighed.extend(
            _Weighed(merchant, finding, quiet)
            for finding in anomaly.weigh(history, first_hour_of_week=first_hour_of_week)
        )
    weighed.extend(_Weighed(None, finding) for finding in platform.weigh())
    known = await db.read(
        upkeep_store.LIST_INCIDENTS,
        but=Kind.JOINT_UNUSUAL.value,
        refractory=anomaly.refractory(24 * HISTORY_DAYS),
    )
    kept = anomaly.believed(
        [(each.scope, each.finding) for each in weighed],
        {(row.merchant_id, row.currency) for row in known},
    )
    raised = 0
    for place in sorted(kept):
        each = weighed[place]
        if each.merchant is not None:
            raised += await _raise(db, each.merchant, each.finding, quiet=each.quiet, now=now)
    judged = [
        unusual.Judged(
            each.finding,
            each.merchant.merchant_id if each.merchant else None,
            is_kept=place in kept,
        )
        for place, each in enumerate(weighed)
    ]
    await unusual.tell_of(db, judged, now=now)
    return raised


def _hour_start(now: Instant) -> Instant:
    return now.replace(minute=0, second=0, microsecond=0)


async def _history(
    db: Database, merchant: upkeep_store.LiveMerchantRow, now: Instant
) -> tuple[list[anomaly.Hour], int]:
    zone = ZoneInfo(merchant.timezone)
    end = now.astimezone(zone).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    first = (end - timedelta(days=HISTORY_DAYS)).date()
    rows = await db.read(
        upkeep_store.LIST_HOURLY_COUNTS,
        merchant_id=merchant.merchant_id,
        currency=merchant.currency,
        since=first,
    )
    if not rows:
        return [], 0
    known = {(row.day, row.hour): row for row in rows}
    at = datetime.combine(rows[0].day, datetime.min.time())
    hour_of_week = at.weekday() * 24
    history = []
    while at < end:
        row = known.get((at.date(), at.hour))
        history.append(
            anomaly.Hour()
            if row is None
            else anomaly.Hour(
                created=row.created_count,
                payments=row.payment_count,
                sales=row.sales,
                refunds=row.refund_count,
                disputes=row.dispute_count,
                fees=row.fees,
            )
        )
        at += timedelta(hours=1)
    return history, hour_of_week


def _days(
    merchant: upkeep_store.LiveMerchantRow, finding: Finding, now: Instant
) -> dict[str, object]:
    """Return the local days whose rows are behind *finding*."""
    end = _hour_start(now).astimezone(ZoneInfo(merchant.timezone))
    first, last = end - timedelta(hours=finding.hours), end - timedelta(hours=1)
    return {"from_day": first.date().isoformat(), "to_day": last.date().isoformat()}


async def _raise(
    db: Database,
    merchant: upkeep_store.LiveMerchantRow,
    finding: Finding,
    *,
    quiet: timedelta,
    now: Instant,
) -> int:
    alert_type = finding.kind.alert_type
    async with db.transaction("merchant.raise_finding") as tx:
        # What goes on is one incident: until some time passes without a finding of
        # its kind, a further one is not news, and only marks that it still goes on.
        recent = await tx.all(
            upkeep_store.MARK_RECENT_FINDING,
            merchant_id=merchant.merchant_id,
            finding=finding.kind.value,
            currency=merchant.currency,
            refractory=quiet,
        )
        if recent:
            return 0
        return await tx.run(
            store.APPEND_ALERT,
            id=uuid7(now),
            merchant_id=merchant.merchant_id,
            alert_type=alert_type,
            severity=finding.severity,
            title=_TITLES[alert_type],
            description=sentences.explain(finding, "en", currency=merchant.currency),
            related_transactions=[],
            sira_score=finding.confidence,
            sira_tags=[finding.kind.value, "seasonal_rule"],
            sira_recommendations=[],
            episode=f"{finding.kind.value}:{merchant.currency}:{now:%Y-%m-%dT%H}",
            facts={
                "rule": "seasonal",
                "currency": merchant.currency,
                "severity": finding.severity,
                **_days(merchant, finding, now),
                **sentences.facts_of(finding),
            },
            expires_at=None,
        )
