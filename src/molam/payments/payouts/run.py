"""Making payouts from balances: whoever is due, a batch at a time, or one merchant by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, cast
from uuid import UUID

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.ids import show, uuid7, uuid8
from molam.ledger import commands as ledger
from molam.ledger.commands import Transfer
from molam.payments.banks.commands import SEND, Send
from molam.payments.payouts import (
    bank_store,
    calendar,
    metrics,
    model,
    run_store,
    settings_store,
)
from molam.payments.payouts.calendar import Interval, Place, Schedule
from molam.payments.payouts.model import State
from molam.payments.payouts.run_store import DueRow, MadeRow
from molam.payments.payouts.telling import Told, reserve_id, tell
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue, enqueue_all

BATCH = 500
ROUNDS_MAX = 100
BY_SCHEDULE = "molam"
UNROUTED = "payouts.unrouted"
_AT_ONCE_EVERY = timedelta(minutes=1)
_DELAY_DAYS = 1
"""For a schedule that nobody has written down: money of yesterday is paid today."""

Held = Literal["frozen", "paused", "destination_changed", "destination_refused"]
AskedAs = Literal["schedule", "instant", "manual"]


class Unrouted(msgspec.Struct, frozen=True):
    """Arguments of the job `UNROUTED`: payouts were made that no bank of the route may carry."""

    currency: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A payout to be made if there is enough to pay."""

    due: DueRow
    id: UUID
    asked_as: AskedAs
    cutoff: Instant
    scheduled_for: Instant
    by: str

    @property
    def payout_id(self) -> str:
        return show("po", self.id)


async def run_due(db: Database) -> int:
    """Make the payouts that are due; return how many. Safe to run anywhere, any number of times."""
    made = 0
    for _ in range(ROUNDS_MAX):
        async with db.transaction("payouts.write_schedules") as tx:
            if not await write_missing_schedules(tx):
                break
    for _ in range(ROUNDS_MAX):
        async with db.transaction("payouts.run_due") as tx:
            await tx.one(settings_store.ALLOW_LONG)
            due = await tx.all(run_store.LOCK_DUE, limit=BATCH)
            if not due:
                break
            made += await _run_batch(tx, due)
    return made


async def write_missing_schedules(tx: Tx, *, merchant_id: str | None = None) -> int:
    """Write down the schedule of those who never chose one, as their dashboard has it."""
    missing = await tx.all(run_store.LIST_UNSCHEDULED, merchant_id=merchant_id, limit=1000)
    if missing:
        written = []
        for row in missing:
            interval = cast("Interval", row.interval)
            delay_days = 0 if interval == "instant" else _DELAY_DAYS
            schedule = Schedule(interval, delay_days=delay_days)
            place = Place(row.timezone, row.country)
            # Today counts, if its hour has not come yet.
            today = calendar.local_day(row.asked_at, place)
            first = following(schedule, place, today - timedelta(days=1), now=row.asked_at)
            if first[0] is not None and first[0] <= row.asked_at and interval != "instant":
                first = following(schedule, place, today, now=row.asked_at)
            written.append(
                _json_of(row.merchant_id, row.currency, first)
                | {"interval": interval, "delay_days": delay_days}
            )
        await tx.run(run_store.PUT_SCHEDULES, schedules=json.dumps(written))
    return len(missing)


def following(
    schedule: Schedule, place: Place, after: date, *, now: Instant
) -> tuple[Instant | None, date | None]:
    """Return when the next run after the day *after* is, and on which local day."""
    if schedule.interval == "manual":
        return None, None
    if schedule.interval == "instant":
        return now + _AT_ONCE_EVERY, None
    day = calendar.next_payday(schedule, place, after)
    assert day is not None
    return calendar.at_local(day.on, calendar.RUNS_AT, place), day.on


def schedule_of(due: DueRow) -> Schedule:
    return Schedule(
        cast("Interval", due.interval), due.weekday, due.month_day, due.delay_days, due.minimum
    )


def place_of(due: DueRow) -> Place:
    return Place(due.timezone, due.country)


def wanted_of(due: DueRow, *, asked_as: AskedAs, by: str, id_: UUID) -> Wanted:
    """Say what the payout of *due* would be if it were made now."""
    schedule, place, now = schedule_of(due), place_of(due), due.asked_at
    today = calendar.local_day(now, place)
    scheduled_for = now
    if asked_as == "schedule":
        scheduled_for = max(now, calendar.at_local(today, calendar.SENDS_AT, place))
    return Wanted(due, id_, asked_as, calendar.cutoff(schedule, place, today), scheduled_for, by)


def held_of(due: DueRow) -> tuple[Held | None, Instant | None]:
    """Say what keeps a merchant's payouts from being sent now, and until when, if that is known."""
    if due.is_frozen:
        return "frozen", None
    if due.paused_until is not None:
        return "paused", due.paused_until
    if due.refused_code is not None:
        return "destination_refused", None
    if due.hold_until is not None and due.hold_until > due.asked_at:
        return "destination_changed", due.hold_until
    return None, None


async def make(tx: Tx, wanted: Sequence[Wanted]) -> list[MadeRow]:
    """
    Make each of *wanted* that has enough to pay, whose schedules *tx* has locked.

    All of them take a number of statements that does not grow with how many they are.
    """
    if not wanted:
        return []
    accounts = [_account(each.due) for each in wanted]
    await tx.all(run_store.LOCK_BALANCES, ids=accounts)
    rows = await tx.all(run_store.MAKE, wanted=wanted_json(wanted))
    made = [row for row in rows if row.made]
    if not made:
        return rows
    by_id = {each.payout_id: each for each in wanted}
    at = wanted[0].due.asked_at
    given = await tx.run(bank_store.SET_BANKS, ids=[row.payout_id for row in made])
    if given < len(made):
        # A route that leads elsewhere may carry them; whoever keeps such routes looks now.
        for currency in sorted({row.currency for row in made}):
            await enqueue(tx, UNROUTED, Unrouted(currency))
    moved = await ledger.post(tx, [_reserve(row, at) for row in made])
    assert moved == len(made), "a payout is reserved once"
    await tell(tx, [_told(row, by_id[row.payout_id]) for row in made], at=at)
    ready = [row for row in made if row.state == State.PENDING]
    await enqueue_all(tx, [(SEND, Send("payout", row.payout_id)) for row in ready])
    for row in made:
        metrics.MADE.labels(by_id[row.payout_id].asked_as).inc()
    return rows


async def _run_batch(tx: Tx, due: Sequence[DueRow]) -> int:
    payable = [row for row in due if row.has_destination]
    wanted = [
        wanted_of(
            row,
            asked_as="instant" if row.interval == "instant" else "schedule",
            by=BY_SCHEDULE,
            id_=uuid7(row.asked_at),
        )
        for row in payable
    ]
    # In the order in which others lock them.
    wanted.sort(key=lambda each: _account(each.due))
    made = await make(tx, wanted)
    results = {(row.merchant_id, row.currency): _result(row) for row in made}
    await tx.run(run_store.SET_RUN, runs=json.dumps([_ran(row, results) for row in due]))
    return sum(row.made for row in made)


def _ran(due: DueRow, results: Mapping[tuple[str, str], str]) -> dict[str, str | None]:
    schedule, place = schedule_of(due), place_of(due)
    today = calendar.local_day(due.asked_at, place)
    nearest = following(schedule, place, today, now=due.asked_at)
    result = results.get((due.merchant_id, due.currency), "no_destination")
    return {**_json_of(due.merchant_id, due.currency, nearest), "result": result}


def _result(row: MadeRow) -> str:
    if row.made:
        return "made"
    return "below_minimum" if row.payable > 0 else "nothing"


def wanted_json(wanted: Iterable[Wanted]) -> str:
    """Write *wanted* as the statements read it."""
    return json.dumps([_wanted_json(each) for each in wanted])


def _wanted_json(wanted: Wanted) -> dict[str, object]:
    due = wanted.due
    reason, until = held_of(due)
    waits = wanted.scheduled_for > due.asked_at
    state = State.HELD if reason else State.SCHEDULED if waits else State.PENDING
    return {
        "merchant_id": due.merchant_id,
        "currency": due.currency,
        "payout_id": wanted.payout_id,
        "cutoff": wanted.cutoff.isoformat(),
        "minimum": 0 if wanted.asked_as == "manual" else due.minimum,
        "asked_as": wanted.asked_as,
        "state": state.value,
        "held_reason": reason,
        "held_until": None if until is None else until.isoformat(),
        "scheduled_for": wanted.scheduled_for.isoformat(),
        "reference_code": reference_code(wanted.id, due.asked_at),
        "created_by": wanted.by,
    }


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_REFERENCE_LETTERS = 8


def reference_code(id_: UUID, at: Instant) -> str:
    """Name a payout as its beneficiary's bank statement will: ``PAYOUT-20261116-7QK3MZ2P``."""
    bits = id_.int & (2**62 - 1)
    letters = "".join(_ALPHABET[bits >> (5 * n) & 31] for n in range(_REFERENCE_LETTERS))
    return f"PAYOUT-{at:%Y%m%d}-{letters}"


def _reserve(row: MadeRow, at: Instant) -> Transfer:
    return Transfer(
        id=uuid8(reserve_id(row.payout_id, 1)),
        source=ledger.available(row.merchant_id),
        target=ledger.in_payout(row.merchant_id),
        amount=row.payable,
        currency=row.currency,
        merchant_id=row.merchant_id,
        cause="payout_reserved",
        cause_id=row.payout_id,
        occurred_at=at,
    )


def _told(row: MadeRow, wanted: Wanted) -> Told:
    assert row.state is not None
    assert row.version is not None
    assert row.occurred_at is not None
    return Told(
        id=row.payout_id,
        merchant_id=row.merchant_id,
        state=model.State(row.state),
        amount=row.payable,
        currency=row.currency,
        version=row.version,
        occurred_at=row.occurred_at,
        reference_code=reference_code(wanted.id, wanted.due.asked_at),
        scheduled_for=wanted.scheduled_for,
        is_new=True,
    )


def _account(due: DueRow) -> str:
    return f"{ledger.available(due.merchant_id)}:{due.currency}"


def _json_of(
    merchant_id: str, currency: str, nearest: tuple[Instant | None, date | None]
) -> dict[str, str | None]:
    at, on = nearest
    return {
        "merchant_id": merchant_id,
        "currency": currency,
        "next_at": None if at is None else at.isoformat(),
        "next_on": None if on is None else on.isoformat(),
    }
