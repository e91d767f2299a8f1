"""When people are told of an alert, and of its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from molam.alerts.episodes.model import AlertRow, how_bad
from molam.alerts.rules.model import Severity
from molam.kernel.clock import Instant

GROUP_WAIT = timedelta(seconds=10)
"""Trouble seldom comes alone: what follows within this time is told with it."""
INTERVAL = timedelta(minutes=5)
REPEAT = timedelta(hours=4)
FLOOR = timedelta(minutes=5)
"""Of one trouble of one tenant people hear no more often than this, whatever came between."""

Target = tuple[str, str, str | None]
Floors = Mapping[Target, tuple[Instant, Severity]]


@dataclass(frozen=True, slots=True)
class Due:
    """What to tell now, and when to look again."""

    opened: Sequence[AlertRow]
    ended: Sequence[AlertRow]
    next_at: Instant | None


def due(
    alerts: Sequence[AlertRow], *, last_told: Instant | None, floors: Floors, now: Instant
) -> Due:
    """Say what of one group is told at *now*; what is early waits, but goes with the others."""
    opening = [
        (at, each) for each in alerts if (at := opening_at(each, last_told, floors)) is not None
    ]
    ending = [(at, each) for each in alerts if (at := ending_at(each)) is not None]
    opened: list[AlertRow] = []
    if any(at <= now for at, _ in opening):
        # Together with them go those that only wait for company.
        opened = [each for at, each in opening if at <= now or not _is_held(each, floors, now)]
    ended = [each for _, each in ending] if any(at <= now for at, _ in ending) else []
    told = {each.id for each in (*opened, *ended)}
    later = [at for at, each in (*opening, *ending) if each.id not in told]
    return Due(opened, ended, min(later, default=None))


def opening_at(alert: AlertRow, last_told: Instant | None, floors: Floors) -> Instant | None:
    """Say when people are told that it is there, or there still; None: not as things are."""
    if alert.is_over or alert.is_quiet:
        return None
    if how_bad(alert.told_severity) >= how_bad(alert.severity):
        if alert.state != "open" or alert.notified_at is None:
            return None
        return alert.notified_at + REPEAT
    is_critical = alert.severity == "critical"
    at = alert.created_at if is_critical else alert.created_at + GROUP_WAIT
    if last_told is not None:
        at = max(at, last_told + (GROUP_WAIT if is_critical else INTERVAL))
    held_until = _held_until(alert, floors)
    return at if held_until is None else max(at, held_until)


def ending_at(alert: AlertRow) -> Instant | None:
    """Say when people are told that it is over, if they were told that it was there."""
    if alert.resolved_at is None or alert.notified_at is None or alert.is_flapping:
        return None
    if alert.resolution_notified_at is not None:
        return None
    return alert.resolved_at + GROUP_WAIT


def target_of(alert: AlertRow) -> Target:
    return alert.alert_type, alert.tenant_type, alert.tenant_id


def _held_until(alert: AlertRow, floors: Floors) -> Instant | None:
    """A floor holds back what is no worse than what was told."""
    floor = floors.get(target_of(alert))
    if floor is None or how_bad(alert.severity) > how_bad(floor[1]):
        return None
    return floor[0] + FLOOR


def _is_held(alert: AlertRow, floors: Floors, now: Instant) -> bool:
    if how_bad(alert.told_severity) >= how_bad(alert.severity):
        return True
    held_until = _held_until(alert, floors)
    return held_until is not None and held_until > now
