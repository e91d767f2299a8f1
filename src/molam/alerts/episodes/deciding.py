"""What people and other parts of the product decide about one alert."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from molam.alerts.episodes import asking, metrics, quieting, store
from molam.alerts.episodes.commands import apply, lock_board
from molam.alerts.episodes.model import (
    REASON_LENGTH_MAX,
    REASON_LENGTH_MIN,
    SILENCE_MAX,
    AlertAbsent,
    AlertOver,
    AlertRow,
    AlertTaken,
    NewAlert,
    SilenceMalformed,
)
from molam.alerts.episodes.moves import Moves
from molam.alerts.rules import commands as rules
from molam.alerts.rules import folding, tenants
from molam.alerts.rules.model import MetricMalformed, Sample, exact, fingerprint, is_in_range
from molam.alerts.runtime import Watch
from molam.kernel.clock import Instant
from molam.kernel.currency import currency as known_currency
from molam.platform.db import Database, Tx


async def create_alert(tx: Tx, watch: Watch, asked: NewAlert) -> AlertRow:
    """
    Raise an alert because somebody says so; the one that is open already is returned.

    Raises:
        MetricMalformed: *asked* names no metric, or a value that is no number, or is of a
            float in a currency that its agent has none in.
        RuleAbsent: nothing says when such a value is an alert.
        UnknownCurrency
    """
    now = watch.clock.now()
    sample = _sample(asked, now)
    await tenants.check_floats(tx, [sample])
    (sample,) = await tenants.with_currency(tx, [sample])
    folding.check_unit(sample, await watch.rules.current(tx))
    opened = await rules.open_episode(
        tx, asked.alert_type, sample, severity=asked.severity, now=now, book=watch.rules
    )
    if opened is not None:
        rows = await apply(tx, watch, [opened])
        return next(row for row in rows if row.fingerprint == opened.fingerprint)
    name = fingerprint(
        asked.alert_type,
        sample.metric,
        sample.tenant_type,
        sample.tenant_id,
        currency=sample.currency,
    )
    (row,) = await tx.all(store.LOCK_OPEN, fingerprints=[name])
    return row


async def acknowledge(
    db: Database, alert_id: UUID, *, by: str, note: str | None = None
) -> AlertRow:
    """
    Take an alert on: nobody else is called for it any more. Safe to repeat.

    Raises:
        AlertAbsent, AlertOver, AlertTaken
    """
    async with db.transaction("alerts.acknowledge") as tx:
        await lock_board(tx)
        alert = await lock_open(tx, alert_id)
        if alert.acknowledged_by not in {None, by}:
            raise AlertTaken(f"{alert.acknowledged_by} has taken it on.")
        if alert.acknowledged_by == by:
            return alert
        await tx.run(store.SET_ACKNOWLEDGED, id=alert_id, by=by, note=note)
        return await _noted(tx, alert_id, "acknowledged", by, note=note)


async def annotate(db: Database, alert_id: UUID, *, by: str, note: str) -> AlertRow:
    """
    Write down what is known of an alert; it may be over.

    Raises:
        AlertAbsent
    """
    async with db.transaction("alerts.annotate") as tx:
        await lock_board(tx)
        await _lock(tx, alert_id)
        await tx.run(store.SET_NOTE, id=alert_id, note=note)
        return await _noted(tx, alert_id, "noted", by, note=note)


async def resolve(
    db: Database, watch: Watch, alert_id: UUID, *, by: str, note: str | None = None
) -> AlertRow:
    """
    End an alert. If its value is still bad, the next measurement opens another.

    Raises:
        AlertAbsent, AlertOver
    """
    async with db.transaction("alerts.resolve") as tx:
        named = await tx.one(store.FIND_FINGERPRINT, id=alert_id)
        if named is None:
            raise AlertAbsent("Check the alert's id.")
        # The series comes first in the order of locks.
        await rules.end_episode(tx, named.fingerprint, episode=named.episode, now=watch.clock.now())
        now = await lock_board(tx)
        alert = await lock_open(tx, alert_id)
        return await _ended(tx, alert, by=by, note=note, now=now)


async def remediated(
    tx: Tx, watch: Watch, alert_id: UUID, *, action_id: UUID, by: str
) -> AlertRow | None:
    """
    Record that an action was found to have helped; None if a person ended the alert before.

    One that its values have ended already becomes remediated: the action is why they did.

    Raises:
        AlertAbsent
    """
    named = await tx.one(store.FIND_FINGERPRINT, id=alert_id)
    if named is None:
        raise AlertAbsent("Check the alert's id.")
    await rules.end_episode(tx, named.fingerprint, episode=named.episode, now=watch.clock.now())
    now = await lock_board(tx)
    alert = await _lock(tx, alert_id)
    if alert.state == "remediated":
        return alert
    if alert.is_over and alert.resolved_by != "system":
        return None
    return await _ended(tx, alert, by=by, action_id=action_id, now=now)


async def silence(
    db: Database, alert_id: UUID, *, by: str, until: Instant, reason: str
) -> AlertRow:
    """
    Keep one alert quiet for a while; should it become critical, it speaks again.

    Raises:
        AlertAbsent, AlertOver
        SilenceMalformed: it would last too long, or nobody says why.
    """
    async with db.transaction("alerts.silence") as tx:
        now = await lock_board(tx)
        await lock_open(tx, alert_id)
        check_silence(reason, starts_at=now, ends_at=until, now=now)
        await tx.run(store.SET_SUPPRESSED, id=alert_id, until=until, reason=reason.strip())
        moves = Moves()
        await quieting.reflag(tx, moves, now=now, by=by)
        if alert_id not in moves.alert_ids:  # It was quiet already, by something else.
            moves.add(alert_id, "silenced", by)
        await moves.write(tx)
        await asking.to_reflag(tx, at=until, now=now)
        return await _lock(tx, alert_id)


def check_silence(reason: str, *, starts_at: Instant, ends_at: Instant, now: Instant) -> None:
    """
    Raises:
        SilenceMalformed: see `silence`.
    """
    if not REASON_LENGTH_MIN <= len(reason.strip()) <= REASON_LENGTH_MAX:
        raise SilenceMalformed(
            f"Say why, in {REASON_LENGTH_MIN} to {REASON_LENGTH_MAX} characters."
        )
    if ends_at <= max(now, starts_at):
        raise SilenceMalformed("It would be over before it began.")
    if ends_at - starts_at > SILENCE_MAX:
        raise SilenceMalformed("It may last seven days at most.")
    if starts_at > now + timedelta(days=90):
        raise SilenceMalformed("It may begin within 90 days.")


async def link_action(tx: Tx, alert_id: UUID, *, action_id: UUID, moved: str, by: str) -> None:
    """Link the action that an alert led to: *moved* is ``proposed`` or ``acted``."""
    await tx.run(store.LINK_ACTION, id=alert_id, action_id=action_id)
    await note_move(tx, alert_id, moved, by=by, details={"action_id": str(action_id)})


async def note_move(
    tx: Tx, alert_id: UUID, moved: str, *, by: str, details: dict[str, object] | None = None
) -> None:
    """Write a move of an alert that its caller has locked."""
    moves = Moves()
    moves.add(alert_id, moved, by, details)
    await moves.write(tx)


async def lock_open(tx: Tx, alert_id: UUID) -> AlertRow:
    """
    Raises:
        AlertAbsent, AlertOver
    """
    alert = await _lock(tx, alert_id)
    if alert.is_over:
        raise AlertOver("It has ended; if the trouble comes back, a new alert opens.")
    return alert


async def _lock(tx: Tx, alert_id: UUID) -> AlertRow:
    alert = await tx.one(store.LOCK_ALERT, id=alert_id)
    if alert is None:
        raise AlertAbsent("Check the alert's id.")
    return alert


async def _ended(
    tx: Tx,
    alert: AlertRow,
    *,
    by: str,
    now: Instant,
    note: str | None = None,
    action_id: UUID | None = None,
) -> AlertRow:
    state = "resolved" if action_id is None else "remediated"
    await tx.run(
        store.SET_ENDED,
        id=alert.id,
        state=state,
        at=None,
        by=by,
        note=note,
        action_id=action_id,
    )
    if not alert.is_over:
        metrics.RESOLVED.labels(alert.alert_type).inc()
    moves = Moves()
    details: dict[str, object] = {} if note is None else {"note": note}
    if action_id is not None:
        details["action_id"] = str(action_id)
    moves.add(alert.id, state, by, details)
    if action_id is None:
        await asking.to_let_go(tx, alert)
    await quieting.reflag(tx, moves, now=now)
    await moves.write(tx)
    await asking.to_tell(tx, alert.group_key, at=now + timedelta(seconds=10), now=now)
    return await _lock(tx, alert.id)


async def _noted(tx: Tx, alert_id: UUID, moved: str, by: str, *, note: str | None) -> AlertRow:
    await note_move(tx, alert_id, moved, by=by, details={} if note is None else {"note": note})
    return await _lock(tx, alert_id)


def _sample(asked: NewAlert, now: Instant) -> Sample:
    metric, value = asked.metric.get("metric"), asked.metric.get("value")
    if not isinstance(metric, str):
        raise MetricMalformed("Name the metric.")
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        raise MetricMalformed("Its value is a number.")
    if not is_in_range(value):
        raise MetricMalformed("Its value is out of range.")
    beside = {
        name: float(each) if isinstance(each, Decimal) else each
        for name, each in asked.metric.items()
        if name not in {"metric", "value", "currency"}
    }
    said = asked.metric.get("currency")
    currency = asked.currency or (said if isinstance(said, str) else None)
    if currency is not None:
        known_currency(currency)
    return Sample(
        metric=metric,
        value=exact(value),
        tenant_type=asked.tenant_type,
        tenant_id=asked.tenant_id,
        currency=currency,
        at=now,
        context=beside,
    )
