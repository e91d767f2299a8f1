"""Questions about payouts: the next one, those there are, what each pays, and why it waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.ledger import queries as ledger
from molam.payments.banks import queries as banks
from molam.payments.banks.attempt_store import AttemptRow
from molam.payments.payouts import calendar, model, run, run_store, settings, settings_store, store
from molam.payments.payouts.calendar import Payday, Schedule
from molam.payments.payouts.model import State
from molam.payments.payouts.run_store import DueRow, MadeRow
from molam.payments.payouts.store import PayoutRow
from molam.platform.db import Tx

UPCOMING_MAX = 200
EVENTS_MAX = 200
HOLDS_MAX = 50
BANK_SLOW_AFTER = timedelta(days=1)

END = datetime.max.replace(tzinfo=UTC)
BEGINNING = datetime.min.replace(tzinfo=UTC)
_NO_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Why:
    """One reason why money is not there yet, as a code and what its sentence needs."""

    code: str
    at: Instant | None = None
    day: date | None = None
    amount: int | None = None
    count: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """
    The next payout in one currency, as far as it is known.

    *payable* could be paid now; *amount* is what the next payout pays of what is known
    today. Both are zero where the balance is negative.
    """

    currency: str
    schedule: Schedule
    balance: int
    in_payout: int
    payable: int
    amount: int
    payday: Payday | None
    at: Instant | None
    sent_at: Instant | None
    has_destination: bool
    held: int
    why: tuple[Why, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of history begins: strictly beyond this payout, newest first."""

    occurred_at: Instant
    id: str


@dataclass(frozen=True, slots=True)
class EntryPosition:
    """Where a page of what a payout pays begins."""

    occurred_at: Instant
    transfer_id: UUID


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[PayoutRow]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Entries:
    rows: list[store.EntryRow]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Detail:
    """One payout with its timeline and its attempts at the bank, oldest first."""

    row: PayoutRow
    events: list[store.EventRow]
    attempts: list[AttemptRow]
    entries: Entries
    why: tuple[Why, ...]


async def forecasts(tx: Tx, *, merchant_id: str) -> list[Forecast]:
    """Say for each currency of a merchant what it is paid next, when, and why not sooner."""
    rows = await tx.all(run_store.FIND_SCHEDULES, merchant_id=merchant_id)
    balances = {row.currency: row for row in await ledger.balances_of(tx, merchant_id=merchant_id)}
    holds = await tx.all(settings_store.LIST_HOLDS, merchant_id=merchant_id, limit=HOLDS_MAX)
    found = []
    for due in rows:
        payday, at = _next(due)
        now, then = await _weigh(tx, due, payday)
        balance = balances.get(due.currency)
        held = sum(each.amount for each in holds if each.currency == due.currency)
        found.append(
            Forecast(
                currency=due.currency,
                schedule=run.schedule_of(due),
                balance=balance.available if balance else 0,
                in_payout=balance.in_payout if balance else 0,
                payable=max(now.payable, 0),
                amount=max(then.payable, 0),
                payday=payday,
                at=at,
                sent_at=_sent_at(due, payday),
                has_destination=due.has_destination,
                held=held,
                why=tuple(_why_next(due, payday, now=now, then=then, held=held)),
            )
        )
    return found


async def schedules_of(tx: Tx, *, merchant_id: str) -> dict[str, Schedule]:
    """Read when a merchant is paid in each of its currencies, chosen or not."""
    rows = await tx.all(run_store.FIND_SCHEDULES, merchant_id=merchant_id)
    return {row.currency: run.schedule_of(row) for row in rows}


async def upcoming(tx: Tx, *, merchant_id: str, states: Sequence[str]) -> list[PayoutRow]:
    """List the payouts that are not there yet, the next first."""
    rows = await tx.all(store.LIST_UPCOMING, merchant_id=merchant_id, limit=UPCOMING_MAX)
    return [row for row in rows if row.state in states]


async def history(
    tx: Tx,
    *,
    merchant_id: str,
    states: Sequence[str],
    beyond: Position | None,
    limit: int,
    offset: int = 0,
) -> Page:
    """List payouts that have ended, newest first."""
    rows = await tx.all(
        store.LIST_HISTORY,
        merchant_id=merchant_id,
        states=list(states),
        at=beyond.occurred_at if beyond else END,
        id=beyond.id if beyond else "",
        limit=limit + 1,
        offset=offset,
    )
    return Page(rows[:limit], len(rows) > limit)


async def detail(
    tx: Tx, *, merchant_id: str, payout_id: str, beyond: EntryPosition | None, limit: int
) -> Detail:
    """
    Read one payout of a merchant.

    Raises:
        model.PayoutAbsent: it has none of this id.
    """
    row = await tx.one(store.FIND_PAYOUT, merchant_id=merchant_id, id=payout_id)
    if row is None:
        raise model.PayoutAbsent("Check the payout's id.")
    events = await tx.all(store.LIST_EVENTS, merchant_id=merchant_id, id=row.id, limit=EVENTS_MAX)
    attempts = await banks.attempts_of(tx, kind="payout", object_id=row.id, merchant_id=merchant_id)
    entries = await entries_of(tx, row, beyond=beyond, limit=limit)
    now = await tx.one(settings_store.FIND_NOW)
    assert now is not None
    return Detail(row, events[::-1], attempts, entries, tuple(why_late(row, now.at)))


async def entries_of(
    tx: Tx, row: PayoutRow, *, beyond: EntryPosition | None, limit: int
) -> Entries:
    """List what a payout pays, or would have paid, oldest first."""
    statement = store.LIST_ENTRIES if row.owns_entries else store.LIST_RELEASED
    rows = await tx.all(
        statement,
        merchant_id=row.merchant_id,
        id=row.id,
        at=beyond.occurred_at if beyond else BEGINNING,
        after=beyond.transfer_id if beyond else _NO_ID,
        limit=limit + 1,
    )
    return Entries(rows[:limit], len(rows) > limit)


def why_late(row: PayoutRow, now: Instant) -> list[Why]:
    """Say why a payout is not there yet, or will not come; nothing when it is there."""
    state = State(row.state)
    if state is State.IN_TRANSIT:
        return [_why_under_way(row, now)]
    said = row.failure_reason or row.failure_code
    found = {
        State.SCHEDULED: Why("waits_for_hour", at=row.scheduled_for),
        State.HELD: Why(f"held_{row.held_reason}", at=row.held_until),
        State.PENDING: Why("about_to_be_sent"),
        State.FAILED: Why("refused_by_bank", text=said),
        State.RETURNED: Why("came_back", at=row.ended_at, text=said),
        State.CANCELLED: Why("cancelled", at=row.ended_at),
    }.get(state)
    return [] if found is None else [found]


def _why_under_way(row: PayoutRow, now: Instant) -> Why:
    if row.in_doubt_since is not None:
        return Why("in_doubt", at=row.in_doubt_since)
    slow = row.submitted_at is not None and now - row.submitted_at > BANK_SLOW_AFTER
    return Why("bank_slow" if slow else "with_bank", at=row.submitted_at)


def _next(due: DueRow) -> tuple[Payday | None, Instant | None]:
    schedule, place = run.schedule_of(due), run.place_of(due)
    if schedule.interval == "manual":
        return None, None
    if schedule.interval == "instant":
        return None, due.asked_at
    if due.next_on is None or due.next_at is None:
        payday = settings.preview(schedule, place, due.asked_at)[0]
    else:
        payday = _named(schedule, due)
    return payday, calendar.at_local(payday.on, calendar.RUNS_AT, place)


def _named(schedule: Schedule, due: DueRow) -> Payday:
    """Find which day of the rhythm the stored one is, to say why it is not that day."""
    assert due.next_on is not None
    place = run.place_of(due)
    for payday in calendar.paydays(schedule, place, due.next_on - timedelta(days=1)):
        if payday.on == due.next_on:
            return payday
        break
    return Payday(due.next_on, due.next_on)


def _sent_at(due: DueRow, payday: Payday | None) -> Instant | None:
    if payday is None:
        return None
    return calendar.at_local(payday.on, calendar.SENDS_AT, run.place_of(due))


async def _weigh(tx: Tx, due: DueRow, payday: Payday | None) -> tuple[MadeRow, MadeRow]:
    """Add up what could be paid now, and what of it all the next payout will pay."""
    schedule, place = run.schedule_of(due), run.place_of(due)
    today = calendar.local_day(due.asked_at, place)
    days = {"now": today, "then": today if payday is None else max(payday.on, today)}
    weighed = []
    for day in days.values():
        wanted = run.Wanted(
            due,
            uuid7(due.asked_at),
            "manual",
            calendar.cutoff(schedule, place, day),
            due.asked_at,
            "",
        )
        row = await tx.one(run_store.WEIGH, wanted=run.wanted_json([wanted]))
        assert row is not None
        weighed.append(row)
    return weighed[0], weighed[1]


def _why_next(
    due: DueRow, payday: Payday | None, *, now: MadeRow, then: MadeRow, held: int
) -> list[Why]:
    why = []
    if not due.has_destination:
        why.append(Why("no_destination"))
    reason, until = run.held_of(due)
    if reason is not None:
        why.append(Why(f"held_{reason}", at=until))
    if payday is not None and payday.is_shifted:
        code = "weekend" if payday.holiday is None else "holiday"
        why.append(Why(code, day=payday.planned, text=payday.holiday))
    if then.payable > now.payable and due.delay_days:
        why.append(Why("delay", count=due.delay_days, amount=then.payable - now.payable))
    if then.payable < 0:
        why.append(Why("negative", amount=-then.payable))
    elif then.payable < max(due.minimum, 1):
        why.append(Why("below_minimum" if due.minimum else "nothing_yet", amount=due.minimum))
    if held:
        why.append(Why("holds", amount=held))
    if due.interval == "manual":
        why.append(Why("by_hand"))
    return why
