"""Silences and maintenance: whom not to tell for a while, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from molam.alerts.episodes import asking, quiet_store, quieting, store
from molam.alerts.episodes.commands import lock_board
from molam.alerts.episodes.deciding import check_silence
from molam.alerts.episodes.flags import fits
from molam.alerts.episodes.model import (
    AlertRow,
    Matcher,
    SilenceAbsent,
    SilenceKind,
    SilenceMalformed,
    SilenceOver,
    SilenceRow,
)
from molam.alerts.episodes.moves import Moves
from molam.approvals.model import Actor
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.ids import uuid7
from molam.platform.db import Database, Tx

CHAIN = "alerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSilence:
    """*starts_at* None is now."""

    matcher: Matcher
    reason: str
    ends_at: Instant
    starts_at: Instant | None = None
    kind: SilenceKind = "silence"


async def begin(db: Database, asked: NewSilence, *, by: Actor) -> SilenceRow:
    """
    Keep quiet what fits, in the record. That alerts are over is still told.

    Raises:
        SilenceMalformed: it names nothing, lasts too long, or nobody says why.
    """
    async with db.transaction("alerts.begin_silence") as tx:
        now = await lock_board(tx)
        starts_at = max(now, asked.starts_at or now)
        check_named(asked.matcher)
        check_silence(asked.reason, starts_at=starts_at, ends_at=asked.ends_at, now=now)
        row = await tx.one(
            quiet_store.INSERT_SILENCE,
            id=uuid7(now),
            kind=asked.kind,
            matcher=asked.matcher.named(),
            reason=asked.reason.strip(),
            starts_at=starts_at,
            ends_at=asked.ends_at,
            by=by.id,
        )
        assert row is not None
        await _reflag(tx, by=by, now=now)
        await _record(tx, row, "silence.begun", by=by, now=now)
    return row


async def end(db: Database, silence_id: UUID, *, by: Actor) -> SilenceRow:
    """
    Let those speak again who were silenced, before its time. Anybody who may silence may.

    The id of an alert ends that alert's own silence.

    Raises:
        SilenceAbsent, SilenceOver
    """
    async with db.transaction("alerts.end_silence") as tx:
        now = await lock_board(tx)
        row = await tx.one(quiet_store.LOCK_SILENCE, id=silence_id)
        if row is None:
            return await _end_own(tx, silence_id, by=by, now=now)
        if not row.is_open:
            raise SilenceOver("It ended already.")
        ended = await tx.one(quiet_store.END_SILENCE, id=silence_id, by=by.id)
        assert ended is not None
        await _reflag(tx, by=by, now=now)
        await _record(tx, ended, "silence.ended", by=by, now=now)
    return ended


async def _end_own(tx: Tx, alert_id: UUID, *, by: Actor, now: Instant) -> SilenceRow:
    """
    Raises:
        SilenceAbsent, SilenceOver
    """
    alert = await tx.one(store.LOCK_ALERT, id=alert_id)
    if alert is None:
        raise SilenceAbsent("Check the silence's id.")
    until = alert.suppressed_until
    if alert.is_over or until is None or until <= now:
        raise SilenceOver("It ended already.")
    rows = await tx.all(quiet_store.LIST_SILENCES, with_over=False, rows_max=None)
    row = next(each for each in rows if each.id == alert_id)
    await tx.run(store.SET_SUPPRESSED, id=alert_id, until=None, reason=None)
    await _reflag(tx, by=by, now=now)
    ended = replace(row, ended_at=now, ended_by=by.id, is_in_force=False, is_open=False)
    await _record(tx, ended, "silence.ended", by=by, now=now)
    return ended


async def reflag(db: Database) -> int:
    """Judge the flags of all open alerts anew, as time has passed; return how many changed."""
    async with db.transaction("alerts.reflag") as tx:
        now = await lock_board(tx)
        moves = Moves()
        changed = await quieting.reflag(tx, moves, now=now)
        await moves.write(tx)
        await _ask_for_next(tx, now=now)
    return len(changed)


async def would_quiet(db: Database, matcher: Matcher) -> list[AlertRow]:
    """
    List the open alerts that a silence would keep quiet, and change nothing.

    Raises:
        SilenceMalformed: it names nothing.
    """
    check_named(matcher)
    alerts = await db.read(quiet_store.LIST_OPEN)
    return [each for each in alerts if fits(matcher.named(), each.labels)]


def check_named(matcher: Matcher) -> None:
    """
    Raises:
        SilenceMalformed: *matcher* would fit everything.
        UnknownCurrency: it would fit nothing.
    """
    if matcher.currency is not None:
        currency(matcher.currency)
    if not matcher.named():
        raise SilenceMalformed("Name what to keep quiet: everything at once is not possible.")


async def _reflag(tx: Tx, *, by: Actor, now: Instant) -> None:
    moves = Moves()
    await quieting.reflag(tx, moves, now=now, by=by.id)
    await moves.write(tx)
    await _ask_for_next(tx, now=now)


async def _ask_for_next(tx: Tx, *, now: Instant) -> None:
    following = await tx.one(quiet_store.NEXT_CHANGE, now=now)
    if following is not None and following.at is not None:
        await asking.to_reflag(tx, at=following.at, now=now)


async def _record(tx: Tx, row: SilenceRow, event: str, *, by: Actor, now: Instant) -> None:
    fact = Fact(
        event=event,
        actor_kind=by.kind,
        actor_id=by.id,
        data={
            "silence": str(row.id),
            "kind": row.kind,
            "matcher": row.matcher,
            "reason": row.reason,
            "ends_at": row.ends_at.isoformat(),
        },
    )
    await append_to(tx, CHAIN, [fact], at=now)
