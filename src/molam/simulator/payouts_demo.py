"""Where the demo's merchants are paid, and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7, uuid8
from molam.payments.payouts import calendar, commands, run, settings, settings_store
from molam.payments.payouts.calendar import Interval, Place, Schedule
from molam.payments.payouts.commands import Hold
from molam.payments.payouts.settings import Change
from molam.platform.db import Database, Tx
from molam.simulator.people import admin_of
from molam.simulator.profiles import PROFILES, SANDAGA, Profile

_OPERATIONS = "ibrahima.ba"
_HOLD_DAYS = 2


@dataclass(frozen=True, slots=True)
class Payee:
    """How a merchant is paid in the demo."""

    interval: Interval
    destination: dict[str, object]
    weekday: int = 1


def _wallet(provider: str, phone: str, holder: str) -> dict[str, object]:
    return {"type": "wallet", "provider": provider, "phone": phone, "holder": holder}


# The account numbers are made up; the IBAN's check digits are right.
_PAYEES = {
    "merchant-123": Payee("daily", _wallet("wave", "+221770009123", "Boutique Sandaga")),
    "merchant-cocody": Payee(
        "weekly",
        {
            "type": "bank_account",
            "holder": "Épicerie Cocody",
            "country": "CI",
            "account_number": "CI0010100100000123456",
            "bic": "SGCICIAB",
        },
        weekday=5,
    ),
    "merchant-makola": Payee("weekly", _wallet("mtn_momo", "+233240009123", "Makola Fabrics")),
    "merchant-balogun": Payee(
        "monthly",
        {
            "type": "bank_account",
            "holder": "Balogun Electronics",
            "country": "NG",
            "account_number": "0123456789",
            "bic": "FBNINGLA",
        },
    ),
    "merchant-solo": Payee("manual", _wallet("orange_money", "+221780009123", "Atelier Teranga")),
}


async def seed_payouts(db: Database, now: Instant) -> None:
    """
    Say where and when each demo merchant is paid; safe to repeat, what exists stays.

    Each gets a first payout of the trade that the ledger knows by now, on the next day of its
    schedule, except who is paid by hand. One payment of the demo's first merchant is held,
    so that there is one to release.
    """
    for profile in PROFILES:
        payee = _PAYEES.get(profile.merchant_id)
        if payee is not None:
            async with db.transaction("simulator.seed_payouts") as tx:
                await _put(tx, profile, payee, now)


async def _put(tx: Tx, profile: Profile, payee: Payee, now: Instant) -> None:
    known = await tx.all(settings_store.LIST_DESTINATIONS, merchant_id=profile.merchant_id)
    if known:
        return
    place = Place(profile.timezone, profile.country)
    by = admin_of(profile.merchant_id)
    await settings.put_destination(
        tx,
        merchant_id=profile.merchant_id,
        currency=profile.currency,
        written=payee.destination,
        by=by,
        hold_hours=0,
    )
    schedule = Schedule(payee.interval, weekday=payee.weekday)
    await settings.set_schedule(
        tx,
        merchant_id=profile.merchant_id,
        currency=profile.currency,
        wanted=schedule,
        place=place,
        change=Change(by, now),
    )
    if profile is SANDAGA:
        await _hold_one(tx, profile, now)
    await _pay_first(tx, profile, schedule, place)


async def _pay_first(tx: Tx, profile: Profile, schedule: Schedule, place: Place) -> None:
    """Make a payout of what came in before today, for the first day that the schedule names."""
    due = await commands.lock_schedule(
        tx, merchant_id=profile.merchant_id, currency=profile.currency
    )
    if due is None:
        return
    yesterday = calendar.local_day(due.asked_at, place) - timedelta(days=1)
    payday = calendar.next_payday(schedule, place, yesterday)
    if payday is None:
        return
    wanted = run.wanted_of(due, asked_as="schedule", by=run.BY_SCHEDULE, id_=uuid7(due.asked_at))
    sent_at = calendar.at_local(payday.on, calendar.SENDS_AT, place)
    await run.make(tx, [replace(wanted, scheduled_for=max(wanted.scheduled_for, sent_at))])


async def _hold_one(tx: Tx, profile: Profile, now: Instant) -> None:
    today = calendar.local_day(now, Place(profile.timezone, profile.country))
    await commands.hold(
        tx,
        Hold(
            merchant_id=profile.merchant_id,
            kind="payment",
            transaction_id="tx_123",
            amount=75_000,
            currency=profile.currency,
            reason="Unusually large for this customer; checked by operations.",
            until=now + timedelta(days=_HOLD_DAYS),
            by=_OPERATIONS,
        ),
        id_=uuid8(f"demo/hold/{profile.merchant_id}/{today}"),
    )
