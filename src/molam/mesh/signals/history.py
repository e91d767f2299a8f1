"""What was seen of a bank in a week, and what is known of the moment besides."""

from __future__ import annotations

from collections.abc import Sequence

from molam.kernel.clock import Instant
from molam.mesh.signals import prediction_store
from molam.mesh.signals.model import HealthRow
from molam.mesh.signals.prediction_store import MinuteRow
from molam.platform.db import Tx
from molam.sira.features import HISTORY_MIN, Surroundings
from molam.sira.health import RecentCounts
from molam.sira.health_stays import RECENT_MINUTES, last_minutes

HOURS_IN_MINUTES = 24
"""What is read by minutes; a service takes 2,000 rows, and a week of minutes takes long."""
_HOUR_MINUTES = 60


async def minutes_of(
    tx: Tx, row: HealthRow, now: Instant, *, hours: int = HOURS_IN_MINUTES
) -> list[MinuteRow]:
    """Read the minutes of the last *hours*, and of the one under way."""
    return await tx.all(prediction_store.LIST_MINUTES, **_named(row, now), hours=hours)


async def hours_of(tx: Tx, row: HealthRow, now: Instant) -> list[MinuteRow]:
    """Read the rest of a week, which a learned model looks back on, hour by hour."""
    return await tx.all(
        prediction_store.LIST_HOURS,
        **_named(row, now),
        from_hours=HISTORY_MIN // _HOUR_MINUTES,
        until_hours=HOURS_IN_MINUTES,
    )


def _named(row: HealthRow, now: Instant) -> dict[str, object]:
    return {"bank_id": row.bank_profile_id, "rail": row.rail, "currency": row.currency, "at": now}


async def surroundings(
    tx: Tx, row: HealthRow, now: Instant, *, rows: Sequence[MinuteRow]
) -> tuple[RecentCounts, Surroundings]:
    """Read what the belief does not say: the last of *rows* beside what is usual, and the day."""
    found = await tx.one(prediction_store.FIND_AROUND, **_named(row, now))
    assert found is not None, "a belief is about a bank"
    minutes = tuple(each.minute for each in rows)
    last = last_minutes(minutes, now.timestamp())
    answers = sum(each.latencies for each in last)
    mean_ms = sum(each.latency_sum_ms for each in last) / answers if answers else None
    usual = (found.usual_attempts or 0) * RECENT_MINUTES / _HOUR_MINUTES
    recent = RecentCounts(
        minutes=minutes,
        latency_ratio=_ratio(mean_ms, found.usual_mean_ms),
        volume_ratio=_ratio(sum(each.attempts for each in last), usual),
        overdue=found.overdue,
        is_short_of_funds=row.short_of_funds_until is not None and row.short_of_funds_until > now,
    )
    return recent, Surroundings(
        country=found.country,
        maintenance_now=row.is_announced_down,
        maintenance_soon=found.is_announced_soon,
        neighbours_p_down=found.neighbours_p_down,
    )


def _ratio(now: float | None, usual: float | None) -> float | None:
    return now / usual if now is not None and usual else None
