"""What a merchant does to its payouts, each with its line in the merchant's audit trail."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.currency import currency as currency_of
from molam.merchant import payout_views as views
from molam.merchant import trail
from molam.notices import commands as notices
from molam.notices.model import Kind, Notice
from molam.payments.banks.model import BankAccount, Wallet
from molam.payments.payouts import commands, run, settings
from molam.payments.payouts.calendar import Place, Schedule
from molam.payments.payouts.settings import Change
from molam.payments.payouts.store import PayoutRow
from molam.platform.db import Tx
from molam.platform.web import Caller
from molam.tenancy import standing


async def request(
    tx: Tx, caller: Caller, asked: views.PayoutRequest, *, default: str, now: Instant
) -> PayoutRow:
    """
    Pay out what can be paid now.

    Raises:
        standing.MerchantFrozen, model.NoDestination, model.NothingToPay,
        model.PayoutAmountChanged
    """
    merchant_id = caller.merchant
    await standing.ensure_may_change(tx, merchant_id, now=now)
    code = currency_of(asked.currency or default).code
    made = await commands.request(
        tx,
        merchant_id=merchant_id,
        currency=code,
        expected_amount=asked.expected_amount,
        by=caller.subject,
    )
    await _record(
        tx,
        caller,
        "payout_requested",
        made.id,
        before={},
        after={"amount": made.amount, "currency": made.currency, "state": made.state},
    )
    return made


async def cancel(tx: Tx, caller: Caller, payout_id: str, *, now: Instant) -> PayoutRow:
    """
    Cancel a payout that no bank has heard of.

    Raises:
        standing.MerchantFrozen, model.PayoutAbsent, model.PayoutNotInState
    """
    merchant_id = caller.merchant
    await standing.ensure_may_change(tx, merchant_id, now=now)
    before, row = await commands.cancel(
        tx, merchant_id=merchant_id, payout_id=payout_id, by=caller.subject, at=now
    )
    await _record(
        tx,
        caller,
        "payout_cancelled",
        row.id,
        before=_standing(before),
        after=_standing(row),
    )
    return row


def _standing(row: PayoutRow) -> dict[str, object]:
    return {"amount": row.amount, "currency": row.currency, "state": row.state}


async def set_schedule(
    tx: Tx,
    caller: Caller,
    asked: views.ScheduleRequest,
    *,
    place: Place,
    default: str,
    now: Instant,
) -> tuple[str, Schedule]:
    """
    Change when the merchant is paid; the caller has proved who they are.

    Raises:
        standing.MerchantFrozen, model.ScheduleMissing, model.ScheduleInvalid
    """
    merchant_id = caller.merchant
    await standing.ensure_may_change(tx, merchant_id, now=now)
    code = currency_of(asked.currency or default).code
    due = await commands.lock_schedule(tx, merchant_id=merchant_id, currency=code)
    before = None if due is None else run.schedule_of(due)
    wanted = settings.read_schedule(
        asked.schedule,
        before,
        weekday=asked.weekday,
        month_day=asked.month_day,
        delay_days=asked.delay_days,
        minimum=asked.minimum,
    )
    await settings.set_schedule(
        tx,
        merchant_id=merchant_id,
        currency=code,
        wanted=wanted,
        place=place,
        change=Change(caller.subject, now),
    )
    await trail.record(
        tx,
        caller,
        action_type="payout_schedule_changed",
        resource_type="settings",
        resource_id=f"payout-schedule/{code}",
        before={} if before is None else _written(before),
        after=_written(wanted),
        requires_2fa=True,
    )
    return code, wanted


async def set_destination(
    tx: Tx, caller: Caller, wanted: BankAccount | Wallet, *, code: str, now: Instant
) -> None:
    """
    Change where the merchant is paid; the caller has proved who they are.

    Raises:
        standing.MerchantFrozen, model.DestinationRefused
    """
    merchant_id = caller.merchant
    await standing.ensure_may_change(tx, merchant_id, now=now)
    written = msgspec.to_builtins(wanted)
    before = await settings.set_destination(
        tx, merchant_id=merchant_id, currency=code, wanted=wanted, by=caller.subject
    )
    await trail.record(
        tx,
        caller,
        action_type="payout_destination_changed",
        resource_type="settings",
        resource_id=f"payout-destination/{code}",
        before={} if before is None else _shown(before.destination),
        after=_shown(written),
        requires_2fa=True,
    )
    if before is None or before.destination != written:
        await _tell_admins(tx, caller, written, code=code, now=now)


async def _tell_admins(
    tx: Tx, caller: Caller, written: Mapping[str, object], *, code: str, now: Instant
) -> None:
    shown = views.destination_view(written)
    title = f"{shown.holder}, {shown.provider or shown.country} {shown.account} ({code})"
    await notices.tell(
        tx,
        Notice(
            kind=Kind.PAYOUT_DESTINATION_CHANGED,
            key=f"payout-destination/{caller.merchant}/{code}/{now.isoformat()}",
            people=await settings.admins_of(tx, caller.merchant),
            subject=f"payout-destination/{caller.merchant}",
            link="/settings/payouts",
            facts={"title": {"fr": title, "en": title}, "by": caller.name},
            urgent=True,
        ),
    )


def _shown(destination: Mapping[str, object]) -> dict[str, object]:
    # The trail is read by people who must not learn whole account numbers from it.
    found = msgspec.to_builtins(views.destination_view(destination))
    assert isinstance(found, dict)
    return found


def _written(schedule: Schedule) -> dict[str, object]:
    return {
        "schedule": schedule.interval,
        "weekday": schedule.weekday,
        "month_day": schedule.month_day,
        "delay_days": schedule.delay_days,
        "minimum": schedule.minimum,
    }


async def _record(
    tx: Tx,
    caller: Caller,
    action_type: str,
    payout_id: str,
    *,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> None:
    await trail.record(
        tx,
        caller,
        action_type=action_type,
        resource_type="payout",
        resource_id=payout_id,
        before=before,
        after=after,
    )
