"""The wire shapes of payouts, their schedule and their destination, and how rows become them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from molam.kernel.money import MINOR_MAX
from molam.merchant.payout_words import sentence
from molam.payments.banks.model import BankAccount, Wallet
from molam.payments.payouts import model, settings
from molam.payments.payouts.calendar import Payday, Place, Schedule
from molam.payments.payouts.queries import Detail, Forecast, Why
from molam.payments.payouts.settings_store import DestinationRow
from molam.payments.payouts.store import EntryRow, EventRow, PayoutRow
from molam.platform.web.wire import CurrencyCode, PageLimit

PAGE_MAX = 500

# Either vocabulary filters: the specification's words, and ours.
STATUSES: Mapping[str, tuple[model.State, ...]] = MappingProxyType(
    {
        **{state.value: (state,) for state in model.State},
        "processing": (model.State.IN_TRANSIT,),
        "settled": (model.State.PAID,),
        "reversed": (model.State.RETURNED,),
    }
)
StatusWord = Literal[
    "scheduled", "held", "pending", "in_transit", "paid", "returned", "failed", "cancelled",
    "processing", "settled", "reversed",
]  # fmt: skip
assert frozenset(get_args(StatusWord)) == STATUSES.keys()

Positive = Annotated[
    int, Meta(ge=1, le=MINOR_MAX, description="Minor units of the currency, a whole number")
]


class PayoutsQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: StatusWord | None = None
    limit: PageLimit = 50
    page: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 1
    """Of the history; a cursor reaches further and stays in place."""
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class PayoutQuery(msgspec.Struct, forbid_unknown_fields=True):
    limit: PageLimit = 100
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    """The next page of what the payout pays."""


class PayoutRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    currency: CurrencyCode | None = None
    """The merchant's own currency, if not given."""
    expected_amount: Positive | None = None
    """What you were shown: more is paid out, and less is refused."""


class ScheduleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is not said stays as it is."""

    schedule: Annotated[str, Meta(max_length=32)] | None = None
    """daily, weekly, monthly, instant or manual."""
    weekday: int | None = None
    """1 (Monday) to 7."""
    month_day: int | None = None
    """1 to 31; the last day in shorter months."""
    delay_days: int | None = None
    minimum: int | None = None
    """In minor units; what is less waits for the next payout."""
    currency: CurrencyCode | None = None


class DestinationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    destination: BankAccount | Wallet
    currency: CurrencyCode | None = None


class CurrencyQuery(msgspec.Struct, forbid_unknown_fields=True):
    currency: CurrencyCode | None = None


class CompositionView(msgspec.Struct):
    """In minor units; together they are the payout's amount. What is taken is below zero."""

    gross: int
    fees: int
    refunds: int
    disputes: int
    adjustments: int
    entries: int


class DestinationView(msgspec.Struct, omit_defaults=True):
    type: str
    holder: str
    account: str
    """Its last four characters."""
    provider: str | None = None
    country: str | None = None


class WhyView(msgspec.Struct, omit_defaults=True):
    code: str
    sentence: str
    until: datetime | None = None


class PayoutView(msgspec.Struct):
    id: str
    reference: str | None
    state: str
    status: str
    amount: int
    currency: str
    fee: int
    origin: str
    asked_as: str
    composition: CompositionView | None
    destination: DestinationView | None
    bank_profile_id: str | None
    scheduled_for: datetime | None
    cutoff: datetime | None
    """Money that came in before then."""
    occurred_at: datetime
    submitted_at: datetime | None
    ended_at: datetime | None
    attempts: int
    provider_ref: str | None
    failure_code: str | None
    failure_reason: str | None
    in_doubt_since: datetime | None
    may_cancel: bool
    version: int


class ForecastView(msgspec.Struct):
    """*amount* is what the next payout pays of what is known now; *payable* could go at once."""

    currency: str
    schedule: str
    amount: int
    payable: int
    balance: int
    in_payout: int
    held: int
    day: date | None = msgspec.field(name="date")
    planned_date: date | None
    scheduled_for: datetime | None
    why: list[WhyView]


class PayoutsView(msgspec.Struct):
    ok: bool
    forecast: list[ForecastView]
    upcoming: list[PayoutView]
    history: list[PayoutView]
    page: int
    limit: int
    has_more: bool
    next_cursor: str | None


class LineView(msgspec.Struct):
    transfer_id: str
    part: str
    cause: str
    cause_id: str
    amount: int
    occurred_at: datetime


class StepView(msgspec.Struct):
    at: datetime
    what: str
    from_state: str
    to_state: str
    by: str
    detail: dict[str, Any]


class AttemptView(msgspec.Struct):
    number: int
    bank_profile_id: str
    state: str
    provider_ref: str | None
    code: str | None
    reason: str | None
    confirmed_by: str | None
    sent_at: datetime


class PayoutDetailView(msgspec.Struct):
    ok: bool
    payout: PayoutView
    why: list[WhyView]
    timeline: list[StepView]
    bank_attempts: list[AttemptView]
    lines: list[LineView]
    lines_has_more: bool
    lines_next_cursor: str | None


class PayoutAnswer(msgspec.Struct):
    ok: bool
    payout: PayoutView


class PaydayView(msgspec.Struct):
    day: date = msgspec.field(name="date")
    planned_date: date
    holiday: str | None


class ScheduleView(msgspec.Struct):
    currency: str
    schedule: str
    weekday: int
    month_day: int
    delay_days: int
    minimum: int
    timezone: str
    next_dates: list[PaydayView]


class SchedulesView(msgspec.Struct):
    ok: bool
    schedules: list[ScheduleView]


class ScheduleAnswer(msgspec.Struct):
    ok: bool
    schedule: ScheduleView


class DestinationSettingView(msgspec.Struct):
    currency: str
    destination: DestinationView
    changed_at: datetime
    changed_by: str
    payouts_wait_until: datetime | None
    refused_code: str | None


class DestinationsView(msgspec.Struct):
    ok: bool
    destinations: list[DestinationSettingView]


class DestinationAnswer(msgspec.Struct):
    ok: bool
    destination: DestinationSettingView


def payout_view(row: PayoutRow) -> PayoutView:
    ours = row.origin == "molam"
    return PayoutView(
        id=row.id,
        reference=row.reference_code,
        state=row.state,
        status=row.status,
        amount=row.amount,
        currency=row.currency,
        fee=row.fee,
        origin=row.origin,
        asked_as=row.asked_as,
        composition=composition_view(row) if ours else None,
        destination=None if row.destination is None else destination_view(row.destination),
        bank_profile_id=row.bank_profile_id,
        scheduled_for=row.scheduled_for,
        cutoff=row.cutoff,
        occurred_at=row.occurred_at,
        submitted_at=row.submitted_at,
        ended_at=row.ended_at,
        attempts=row.attempts,
        provider_ref=row.provider_ref,
        failure_code=row.failure_code,
        failure_reason=row.failure_reason,
        in_doubt_since=row.in_doubt_since,
        may_cancel=may_cancel(row),
        version=row.version,
    )


def may_cancel(row: PayoutRow) -> bool:
    """Tell whether a payout is one of ours that no bank has heard of yet."""
    return row.origin == "molam" and row.state in model.WAITING and row.attempts == 0


def composition_view(row: PayoutRow) -> CompositionView:
    return CompositionView(
        gross=row.gross,
        fees=row.fees,
        refunds=row.refunds,
        disputes=row.disputes,
        adjustments=row.adjustments,
        entries=row.entry_count,
    )


def destination_view(stored: Mapping[str, object]) -> DestinationView:
    """Show an account so that its owner knows it and nobody else can use it."""
    account: BankAccount | Wallet = msgspec.convert(dict(stored), BankAccount | Wallet)
    masked = settings.masked(dict(stored))
    if isinstance(account, Wallet):
        return DestinationView("wallet", account.holder, masked, provider=account.provider)
    return DestinationView("bank_account", account.holder, masked, country=account.country)


def forecast_view(found: Forecast) -> ForecastView:
    return ForecastView(
        currency=found.currency,
        schedule=found.schedule.interval,
        amount=found.amount,
        payable=found.payable,
        balance=found.balance,
        in_payout=found.in_payout,
        held=found.held,
        day=found.payday.on if found.payday else None,
        planned_date=found.payday.planned if found.payday else None,
        scheduled_for=found.sent_at,
        why=[why_view(each) for each in found.why],
    )


def detail_view(found: Detail, *, next_cursor: str | None) -> PayoutDetailView:
    return PayoutDetailView(
        ok=True,
        payout=payout_view(found.row),
        why=[why_view(each) for each in found.why],
        timeline=[step_view(each) for each in found.events],
        bank_attempts=[
            AttemptView(
                each.attempt_no,
                each.bank_profile_id,
                each.state,
                each.provider_ref,
                each.code,
                each.reason,
                each.confirmed_by,
                each.sent_at,
            )
            for each in found.attempts
        ],
        lines=[line_view(each) for each in found.entries.rows],
        lines_has_more=found.entries.has_more,
        lines_next_cursor=next_cursor,
    )


def line_view(row: EntryRow) -> LineView:
    part = model.part_of(row.cause)
    return LineView(row.transfer_id.hex, part, row.cause, row.cause_id, row.amount, row.occurred_at)


def step_view(row: EventRow) -> StepView:
    return StepView(row.at, row.what, row.old_state, row.new_state, row.actor, row.detail)


def schedule_view(
    currency: str, schedule: Schedule, place: Place, next_dates: list[Payday]
) -> ScheduleView:
    return ScheduleView(
        currency=currency,
        schedule=schedule.interval,
        weekday=schedule.weekday,
        month_day=schedule.month_day,
        delay_days=schedule.delay_days,
        minimum=schedule.minimum,
        timezone=place.timezone,
        next_dates=[PaydayView(each.on, each.planned, each.holiday) for each in next_dates],
    )


def setting_view(row: DestinationRow, now: datetime) -> DestinationSettingView:
    waits = row.hold_until is not None and row.hold_until > now
    return DestinationSettingView(
        currency=row.currency,
        destination=destination_view(row.destination),
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        payouts_wait_until=row.hold_until if waits else None,
        refused_code=row.refused_code,
    )


def why_view(why: Why) -> WhyView:
    return WhyView(why.code, sentence(why), why.at)
