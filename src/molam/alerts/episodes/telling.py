"""Telling people of alerts, in groups, no more often than it helps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from molam.alerts.episodes import asking, metrics, sentences, telling_store
from molam.alerts.episodes.commands import lock_board
from molam.alerts.episodes.due import GROUP_WAIT, REPEAT, Floors, due
from molam.alerts.episodes.model import SYSTEM, AlertRow, how_bad
from molam.alerts.episodes.moves import Moves
from molam.kernel.clock import Instant
from molam.notices import commands as notices
from molam.notices.model import Kind, Notice
from molam.platform.db import Database, Tx
from molam.platform.web.l10n import LANGUAGES, Language
from molam.tenancy import queries as tenancy

_AT_ONCE_MAX = 500
_GROUPS_MAX = 500


async def tell(db: Database, group_key: str) -> int:
    """Tell what is due of one group, in one notice; return of how many alerts that was."""
    async with db.transaction("alerts.tell") as tx:
        return await tell_in(tx, group_key)


async def tell_in(tx: Tx, group_key: str) -> int:
    now = await lock_board(tx)
    alerts = await tx.all(
        telling_store.LOCK_OF_GROUP,
        group_key=group_key,
        repeat_s=REPEAT.total_seconds(),
        rows_max=_AT_ONCE_MAX,
    )
    if not alerts:
        return 0
    group = await tx.one(telling_store.LOCK_GROUP, group_key=group_key)
    assert group is not None
    floors = await _floors(tx, alerts, now=now)
    found = due(alerts, last_told=group.last_notified_at, floors=floors, now=now)
    count = group.notices
    if found.opened:
        count += 1
        await _opened(tx, group_key, found.opened, number=count, now=now)
    if found.ended:
        count += 1
        await _ended(tx, group_key, found.ended, number=count, now=now)
    if count != group.notices:
        await tx.run(
            telling_store.SET_GROUP_TOLD,
            group_key=group_key,
            opened=bool(found.opened),
            notices=count,
            waits_until=found.next_at,
            now=now,
        )
    if len(alerts) == _AT_ONCE_MAX:
        # There are more: those that were told make room.
        await asking.to_tell(tx, group_key, at=now + GROUP_WAIT, now=now)
    if found.next_at is not None:
        await asking.to_tell(tx, group_key, at=found.next_at, now=now)
    return len(found.opened) + len(found.ended)


async def sweep(db: Database) -> int:
    """Tell whatever is due of any group: what no job came for, and what is still open."""
    groups = await db.read(
        telling_store.LIST_GROUPS_DUE, repeat_s=REPEAT.total_seconds(), groups_max=_GROUPS_MAX
    )
    told = 0
    for group in groups:
        told += await tell(db, group.group_key)
    return told


async def _floors(tx: Tx, alerts: Sequence[AlertRow], *, now: Instant) -> Floors:
    tenants = sorted({(each.tenant_type, each.tenant_id or "") for each in alerts})
    rows = await tx.all(
        telling_store.LIST_FLOORS,
        tenant_types=[kind for kind, _ in tenants],
        tenant_ids=[tenant_id or None for _, tenant_id in tenants],
        now=now,
    )
    return {
        (row.alert_type, row.tenant_type, row.tenant_id): (row.at, row.severity) for row in rows
    }


async def _opened(
    tx: Tx, group_key: str, alerts: Sequence[AlertRow], *, number: int, now: Instant
) -> None:
    ordered = sorted(alerts, key=lambda each: (-how_bad(each.severity), each.created_at, each.id))
    people = await _people(tx, alerts)
    await tx.run(telling_store.SET_TOLD, ids=[each.id for each in alerts], now=now)
    await notices.tell(
        tx,
        _notice(
            Kind.ALERT_OPENED,
            _key(group_key, number),
            ordered,
            people=people,
            title={language: _said(ordered, language, now) for language in LANGUAGES},
            urgent=any(each.severity == "critical" for each in alerts),
        ),
    )
    moves = Moves()
    for each in alerts:
        moves.add(each.id, "told", SYSTEM, {"people": len(people), "of": len(alerts)})
    await moves.write(tx)
    metrics.TOLD.labels("opened").inc()


async def _ended(
    tx: Tx, group_key: str, alerts: Sequence[AlertRow], *, number: int, now: Instant
) -> None:
    await tx.run(telling_store.SET_END_TOLD, ids=[each.id for each in alerts], now=now)
    title = {
        language: _and_more(
            sentences.subject(alerts[0].alert_type, alerts[0].facts, language), alerts, language
        )
        for language in LANGUAGES
    }
    people = await _people(tx, alerts)
    await notices.tell(
        tx,
        _notice(
            Kind.ALERT_ENDED,
            _key(group_key, number),
            alerts,
            people=people,
            title=title,
            urgent=False,
        ),
    )
    metrics.TOLD.labels("ended").inc()


async def _people(tx: Tx, alerts: Sequence[AlertRow]) -> list[str]:
    """List who is told: whoever holds the roles the rule named, and who took one on."""
    roles = sorted({role for each in alerts for role in each.notify_roles})
    holders = await tenancy.electors_of(tx, roles)
    taken = {each.acknowledged_by for each in alerts if each.acknowledged_by is not None}
    return sorted({each.person_id for each in holders} | taken)


def _notice(
    kind: Kind,
    key: str,
    alerts: Sequence[AlertRow],
    *,
    people: Sequence[str],
    title: dict[Language, str],
    urgent: bool,
) -> Notice:
    first = alerts[0]
    one = len(alerts) == 1
    return Notice(
        kind=kind,
        key=key,
        people=people,
        subject=f"alert/{first.id}" if one else f"alerts/{first.group_key}"[:200],
        link=f"/alerts/{first.id}" if one else f"/alerts?type={first.alert_type}",
        facts={"title": title},
        urgent=urgent,
    )


def _key(group_key: str, number: int) -> str:
    return f"alerts/{hashlib.sha256(group_key.encode()).hexdigest()[:32]}/{number}"


def _said(alerts: Sequence[AlertRow], language: Language, now: Instant) -> str:
    first = alerts[0]
    said = sentences.sentence(first.alert_type, first.facts, language, now=now)
    return _and_more(said, alerts, language)


def _and_more(said: str, alerts: Sequence[AlertRow], language: Language) -> str:
    others = len(alerts) - 1
    if not others:
        return said
    if language == "fr":
        return f"{said}, et {others} autre{'s' if others > 1 else ''}"
    return f"{said}, and {others} more"
