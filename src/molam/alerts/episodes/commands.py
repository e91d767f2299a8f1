"""Episodes begin, worsen and end by what is measured; people take them on and end them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from molam.alerts.episodes import asking, metrics, opening, quieting, store
from molam.alerts.episodes.model import SYSTEM, AlertRow, how_bad
from molam.alerts.episodes.moves import Moves
from molam.alerts.rules.model import Transition
from molam.alerts.runtime import Watch
from molam.approvals.binding import instant_text
from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.platform.db import Tx

# Note [One alert an episode]
#
# Alerts follow in the transaction that moved the series: both happen or neither. The
# fingerprint and the number of the episode name an alert, and at most one of a fingerprint
# is open; so a transition that comes again changes nothing, and ten thousand equal
# measurements are one alert.


async def apply(tx: Tx, watch: Watch, transitions: Sequence[Transition]) -> list[AlertRow]:
    """
    Let alerts follow what became true, and return those that changed.

    Part of the caller's transaction, which holds the series. People are told, and
    remedies looked for, by jobs once it commits.
    """
    del watch
    if not transitions:
        return []
    now = await lock_board(tx)
    names = await opening.names_of(tx, transitions)
    rows = await tx.all(
        store.LOCK_OPEN, fingerprints=sorted({each.fingerprint for each in transitions})
    )
    board = _Board(tx, now, names, {row.fingerprint: row for row in rows})
    for transition in transitions:
        await board.follow(transition)
    await quieting.reflag(tx, board.moves, now=now)
    touched = board.moves.alert_ids
    await board.moves.write(tx)
    found = await tx.all(store.LIST_BY_IDS, ids=sorted(touched))
    await asking.to_remedy(tx, board.to_remedy)
    await _ask(tx, found, now=now)
    return found


async def lock_board(tx: Tx) -> Instant:
    """Lock what judges alerts by each other, and return the time by which this is done."""
    row = await tx.one(store.LOCK_BOARD)
    assert row is not None
    return row.at


async def _ask(tx: Tx, alerts: Sequence[AlertRow], *, now: Instant) -> None:
    groups: dict[str, Instant] = {}
    for alert in alerts:
        wait_s = 0 if alert.severity == "critical" and not alert.is_over else 10
        at = now + timedelta(seconds=wait_s)
        groups[alert.group_key] = min(at, groups.get(alert.group_key, at))
    for key, at in groups.items():
        await asking.to_tell(tx, key, at=at, now=now)
    dues = [each.escalate_at for each in alerts if each.escalate_at is not None]
    if dues:
        await asking.to_escalate(tx, at=min(dues), now=now)


class _Board:
    """What one transaction makes of the alerts it found open."""

    def __init__(
        self,
        tx: Tx,
        now: Instant,
        names: dict[opening.Tenant, str],
        alerts: dict[bytes, AlertRow],
    ) -> None:
        self._tx = tx
        self._now = now
        self._names = names
        self._alerts = alerts
        self.moves = Moves()
        self.to_remedy: list[UUID] = []

    async def follow(self, transition: Transition) -> None:
        alert = self._alerts.get(transition.fingerprint)
        match transition.moved:
            case "flapping" | "steady":
                await self._flap(transition, alert)
            case "opened":
                await self._open(transition, alert)
            case "no_data" if alert is None:
                await self._open(transition, alert)
            case "no_data":
                assert alert is not None
                self.moves.add(alert.id, "noted", SYSTEM, {"no_data": True})
            case "worsened" | "eased" if alert is not None:
                await self._change(transition, alert)
            case "resolved" if alert is not None:
                await self._end(transition, alert)

    async def _open(self, transition: Transition, open_: AlertRow | None) -> None:
        if open_ is not None:
            if open_.episode == transition.episode:
                return
            await self._end(transition, open_)
        id_ = uuid7(self._now)
        name = self._names.get((transition.tenant_type, transition.tenant_id))
        facts = opening.facts_of(transition, name)
        title, description = opening.words_of(transition, facts, now=self._now)
        written = await self._tx.run(
            store.INSERT_ALERT,
            id=id_,
            alert_type=transition.alert_type,
            tenant_type=transition.tenant_type,
            tenant_id=transition.tenant_id,
            severity=transition.severity,
            metric=opening.metric_of(transition),
            title=title,
            description=description,
            facts=facts,
            rule_id=transition.rule.id,
            fingerprint=transition.fingerprint,
            episode=transition.episode,
            currency=transition.currency,
            fired_at=transition.at,
            now=self._now,
            is_flapping=transition.is_flapping,
            group_key=opening.group_key_of(transition),
            notify_roles=list(transition.rule.notify_roles),
            escalation=opening.chain_of(transition),
        )
        if not written:
            return
        metrics.CREATED.labels(transition.alert_type, transition.severity).inc()
        self.moves.add(id_, "opened", SYSTEM, _measured(transition))
        await self._again(transition.fingerprint, id_)
        self.to_remedy.append(id_)

    async def _change(self, transition: Transition, alert: AlertRow) -> None:
        facts = opening.facts_of(
            transition, alert.facts.get("name"), since=alert.facts.get("since")
        )
        _, description = opening.words_of(transition, facts, now=self._now)
        worse = how_bad(transition.severity) > how_bad(alert.severity)
        await self._tx.run(
            store.SET_VALUE,
            id=alert.id,
            severity=transition.severity,
            metric=opening.metric_of(transition),
            facts=facts,
            description=description,
            # Whoever silenced a warning has not silenced a disaster.
            wakes=worse and transition.severity == "critical",
        )
        self.moves.add(alert.id, transition.moved, SYSTEM, _measured(transition))
        await self._again(transition.fingerprint, alert.id)
        if worse:
            self.to_remedy.append(alert.id)

    async def _end(self, transition: Transition, alert: AlertRow) -> None:
        await self._tx.run(
            store.SET_ENDED,
            id=alert.id,
            state="resolved",
            at=transition.at,
            by=SYSTEM,
            note=None,
            action_id=None,
        )
        metrics.RESOLVED.labels(alert.alert_type).inc()
        self.moves.add(alert.id, "resolved", SYSTEM, _measured(transition))
        await asking.to_let_go(self._tx, alert)
        del self._alerts[alert.fingerprint]

    async def _flap(self, transition: Transition, alert: AlertRow | None) -> None:
        await self._tx.run(
            store.SET_FLAPPING,
            fingerprint=transition.fingerprint,
            is_flapping=transition.moved == "flapping",
        )
        if alert is not None:
            self.moves.add(alert.id, transition.moved, SYSTEM)

    async def _again(self, fingerprint: bytes, id_: UUID) -> None:
        row = await self._tx.one(store.LOCK_ALERT, id=id_)
        assert row is not None
        self._alerts[fingerprint] = row


def _measured(transition: Transition) -> dict[str, object]:
    return {
        "at": instant_text(transition.at),
        "severity": transition.severity,
        "cause": transition.cause,
        **{
            name: value
            for name, value in opening.metric_of(transition).items()
            if name in {"value", "threshold"}
        },
    }
