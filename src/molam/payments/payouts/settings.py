"""When and where a merchant is paid, and changing that."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from datetime import timedelta

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.money import MINOR_MAX
from molam.payments.banks import queries as banks
from molam.payments.banks.model import BankAccount, Destination, NoRoute, Wallet
from molam.payments.payouts import calendar, model, settings_store
from molam.payments.payouts.calendar import Payday, Place, Schedule
from molam.platform.db import Tx

CHANGE_HOLD_HOURS = 24
"""How long payouts to a new account wait, so that its owner can object."""

_WEEK = 7
_MONTH_DAYS = 31
_PREVIEWED = 3


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes a setting, and when."""

    by: str
    at: Instant


def read_schedule(word: str | None, before: Schedule | None, **wanted: int | None) -> Schedule:
    """
    Read what somebody wants instead of *before*; what is not said stays as it is.

    Raises:
        model.ScheduleMissing: it is not said how often.
        model.ScheduleInvalid: no such rhythm, or a number out of its range.
    """
    if not word:
        raise model.ScheduleMissing(f"schedule is one of {', '.join(calendar.INTERVALS)}.")
    interval = next((each for each in calendar.INTERVALS if each == word), None)
    if interval is None:
        raise model.ScheduleInvalid(
            f"schedule is one of {', '.join(calendar.INTERVALS)}.", value=word[:32]
        )
    said = {name: value for name, value in wanted.items() if value is not None}
    _check_range(said, "weekday", 1, _WEEK)
    _check_range(said, "month_day", 1, _MONTH_DAYS)
    _check_range(said, "delay_days", 0, calendar.DELAY_DAYS_MAX)
    _check_range(said, "minimum", 0, MINOR_MAX)
    kept = asdict(before or Schedule(interval))
    if "delay_days" not in said and interval == "instant":
        said["delay_days"] = 0
    return Schedule(**{**kept, **said, "interval": interval})


def preview(schedule: Schedule, place: Place, now: Instant) -> list[Payday]:
    """Return the next three days of payouts under *schedule*."""
    today = calendar.local_day(now, place)
    if now >= calendar.at_local(today, calendar.RUNS_AT, place):
        return list(itertools.islice(calendar.paydays(schedule, place, today), _PREVIEWED))
    yesterday = today - timedelta(days=1)
    return list(itertools.islice(calendar.paydays(schedule, place, yesterday), _PREVIEWED))


async def set_schedule(
    tx: Tx, *, merchant_id: str, currency: str, wanted: Schedule, place: Place, change: Change
) -> None:
    """Pay a merchant by another rhythm from now on; payouts that exist stay."""
    nearest: tuple[Instant | None, object] = (None, None)
    if wanted.interval == "instant":
        nearest = (change.at, None)
    elif wanted.interval != "manual":
        day = preview(wanted, place, change.at)[0]
        nearest = (calendar.at_local(day.on, calendar.RUNS_AT, place), day.on)
    await tx.run(
        settings_store.PUT_SCHEDULE,
        merchant_id=merchant_id,
        currency=currency,
        interval=wanted.interval,
        weekday=wanted.weekday,
        month_day=wanted.month_day,
        delay_days=wanted.delay_days,
        minimum=wanted.minimum,
        next_at=nearest[0],
        next_on=nearest[1],
        by=change.by,
    )
    await tx.run(
        settings_store.SET_DASHBOARD_WORD,
        merchant_id=merchant_id,
        currency=currency,
        interval=wanted.interval,
    )


async def schedules_of(tx: Tx, merchant_id: str) -> list[settings_store.ScheduleRow]:
    """List a merchant's schedules, one a currency, those written down only."""
    return await tx.all(settings_store.LIST_SCHEDULES, merchant_id=merchant_id)


def schedule_in(row: settings_store.ScheduleRow) -> Schedule:
    interval = next(each for each in calendar.INTERVALS if each == row.interval)
    return Schedule(interval, row.weekday, row.month_day, row.delay_days, row.minimum)


async def destinations_of(tx: Tx, merchant_id: str) -> list[settings_store.DestinationRow]:
    """List where a merchant is paid, one account a currency."""
    return await tx.all(settings_store.LIST_DESTINATIONS, merchant_id=merchant_id)


async def set_destination(
    tx: Tx, *, merchant_id: str, currency: str, wanted: Destination, by: str
) -> settings_store.DestinationRow | None:
    """
    Pay a merchant to another account, and return what was there before.

    Payouts made within the next `CHANGE_HOLD_HOURS` wait until these are over. Those that
    exist go where they were meant to, unless that account had refused them.

    Raises:
        model.DestinationRefused: it is no account, or no bank of ours reaches it.
    """
    check_destination(wanted)
    try:
        await banks.route_for(tx, currency, wanted, 1)
    except NoRoute as refusal:
        raise model.DestinationRefused(
            f"None of our banks carries {currency} to such an account.", currency=currency
        ) from refusal
    before = await tx.one(
        settings_store.LOCK_DESTINATION, merchant_id=merchant_id, currency=currency
    )
    written = msgspec.to_builtins(wanted)
    if before is not None and before.destination == written and before.refused_code is None:
        return before
    await put_destination(tx, merchant_id=merchant_id, currency=currency, written=written, by=by)
    await tx.run(
        settings_store.REDIRECT_REFUSED,
        merchant_id=merchant_id,
        currency=currency,
        destination=written,
    )
    return before


async def put_destination(
    tx: Tx,
    *,
    merchant_id: str,
    currency: str,
    written: dict[str, object],
    by: str,
    hold_hours: int = CHANGE_HOLD_HOURS,
) -> None:
    """Write down where a merchant is paid, without asking whether that can be."""
    await tx.run(
        settings_store.PUT_DESTINATION,
        merchant_id=merchant_id,
        currency=currency,
        destination=written,
        hold_hours=hold_hours,
        by=by,
    )


async def admins_of(tx: Tx, merchant_id: str) -> list[str]:
    """List who may change where a merchant is paid."""
    rows = await tx.all(settings_store.LIST_ADMINS, merchant_id=merchant_id)
    return [row.person_id for row in rows]


def check_destination(wanted: Destination) -> None:
    """
    Raises:
        model.DestinationRefused: it names no account, or one that cannot be right.
    """
    if isinstance(wanted, Wallet):
        return
    if (wanted.iban is None) == (wanted.account_number is None):
        raise model.DestinationRefused("Give either the IBAN or the account number.")
    if wanted.iban is None and wanted.bic is None:
        raise model.DestinationRefused("An account number needs the BIC of its bank.")
    if wanted.iban is not None and not is_iban(wanted.iban):
        raise model.DestinationRefused("The IBAN's check digits do not fit: look for a slip.")


def is_iban(text: str) -> bool:
    """Check an IBAN's own digits (ISO 13616: the rearranged number is 1 modulo 97)."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def masked(destination: dict[str, object]) -> str:
    """Name an account so that its owner knows it and nobody else can use it."""
    account: Destination = msgspec.convert(destination, BankAccount | Wallet)
    number = _number(account)
    return f"••••{number[-4:]}"


def _number(account: Destination) -> str:
    if isinstance(account, BankAccount):
        return account.iban or account.account_number or ""
    return account.phone


def _check_range(said: dict[str, int], name: str, low: int, high: int) -> None:
    if name in said and not low <= said[name] <= high:
        raise model.ScheduleInvalid(f"{name} lies between {low} and {high}.", field=name)
