"""The statements about when and where merchants are paid, and what keeps payouts back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DestinationRow:
    currency: str
    destination: dict[str, Any]
    hold_until: datetime | None
    refused_at: datetime | None
    refused_code: str | None
    version: int
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    currency: str
    interval: str
    weekday: int
    month_day: int
    delay_days: int
    minimum: int
    next_at: datetime | None
    next_on: date | None
    last_run_at: datetime | None
    last_result: str | None
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class HoldRow:
    id: UUID
    merchant_id: str
    kind: str
    transaction_id: str
    amount: int
    currency: str
    status: str
    reason: str
    until: datetime | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PauseRow:
    id: UUID
    merchant_id: str
    reason: str | None
    until: datetime
    paused_by: str
    paused_at: datetime
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class NowRow:
    at: datetime


FIND_NOW = Query("/* payouts.find_now */ select now() as at", row=NowRow)


@dataclass(frozen=True, slots=True)
class SetRow:
    value: str


# Only until the transaction ends. Somebody's first payout may own a year of entries.
ALLOW_LONG = Query(
    """
    /* payouts.allow_long */
    select set_config('statement_timeout', '120s', true) as value
    """,
    row=SetRow,
)


@dataclass(frozen=True, slots=True)
class AdminRow:
    person_id: str


PUT_SCHEDULE = Query(
    """
    /* payouts.put_schedule */
    insert into payments.payout_schedules as s
           (merchant_id, currency, interval, weekday, month_day, delay_days, minimum, next_at, next_on, updated_by)
    values (:merchant_id, :currency, :interval, :weekday, :month_day, :delay_days, :minimum,
            :next_at::timestamptz, :next_on::date, :by)
        on conflict (merchant_id, currency) do update
       set interval = excluded.interval, weekday = excluded.weekday, month_day = excluded.month_day,
           delay_days = excluded.delay_days, minimum = excluded.minimum, next_at = excluded.next_at,
           next_on = excluded.next_on, updated_by = excluded.updated_by, updated_at = now(),
           version = s.version + 1
    """,
    row=Nothing,
    locks=Rank.PAYOUT,
)

# The dashboard's own column has one word for all currencies: that of its default one.
SET_DASHBOARD_WORD = Query(
    """
    /* payouts.set_dashboard_word */
    update merchant.merchant_dashboards
       set payout_schedule = :interval, updated_at = now()
     where merchant_id = :merchant_id and default_currency = :currency
       and payout_schedule <> :interval
    """,
    row=Nothing,
)

LIST_SCHEDULES = Query(
    """
    /* payouts.list_schedules */
    select currency, interval, weekday::int, month_day::int, delay_days::int, minimum, next_at, next_on,
           last_run_at, last_result, updated_by, updated_at
      from payments.payout_schedules
     where merchant_id = :merchant_id
     order by currency
    """,
    row=ScheduleRow,
)

LIST_DESTINATIONS = Query(
    """
    /* payouts.list_destinations */
    select currency, destination, hold_until, refused_at, refused_code, version, changed_by, changed_at
      from payments.payout_destinations
     where merchant_id = :merchant_id
     order by currency
    """,
    row=DestinationRow,
)

LOCK_DESTINATION = Query(
    """
    /* payouts.lock_destination */
    select currency, destination, hold_until, refused_at, refused_code, version, changed_by, changed_at
      from payments.payout_destinations
     where merchant_id = :merchant_id and currency = :currency
       for update
    """,
    row=DestinationRow,
    locks=Rank.PAYOUT,
)

PUT_DESTINATION = Query(
    """
    /* payouts.put_destination */
    insert into payments.payout_destinations as d
           (merchant_id, currency, destination, hold_until, changed_by)
    values (:merchant_id, :currency, :destination::jsonb,
            now() + make_interval(hours => :hold_hours), :by)
        on conflict (merchant_id, currency) do update
       set destination = excluded.destination, previous = d.destination,
           hold_until = excluded.hold_until, refused_at = null, refused_code = null,
           changed_by = excluded.changed_by, changed_at = now(), version = d.version + 1
    """,
    row=Nothing,
    locks=Rank.PAYOUT,
)

# What waits for a better account goes to the new one, after its day of waiting; what was
# made for an account that works still goes there.
REDIRECT_REFUSED = Query(
    """
    /* payouts.redirect_refused */
    update payments.payouts
       set destination = :destination::jsonb, bank_profile_id = null, treasury_account_id = null,
           updated_at = now()
     where merchant_id = :merchant_id and currency = :currency and origin = 'molam'
       and state = 'held' and held_reason = 'destination_refused'
    """,
    row=Nothing,
)

SET_REFUSED = Query(
    """
    /* payouts.set_refused */
    update payments.payout_destinations
       set refused_at = now(), refused_code = :code
     where merchant_id = :merchant_id and currency = :currency and destination = :destination::jsonb
       and refused_code is null
    """,
    row=Nothing,
)

# Whoever may change where the money goes hears of it when somebody does.
LIST_ADMINS = Query(
    """
    /* payouts.list_admins */
    select distinct g.person_id
      from tenancy.role_grants g
     where g.merchant_id = :merchant_id and g.role = 'merchant_admin' and g.revoked_at is null
     order by g.person_id
     limit 100
    """,
    row=AdminRow,
)

LOCK_HOLD = Query(
    """
    /* payouts.lock_hold */
    select id, merchant_id, kind, transaction_id, amount, currency, status, reason, until, created_by, created_at
      from payments.payout_holds
     where transaction_id = :transaction_id and status = 'active'
       and (:merchant_id::text is null or merchant_id = :merchant_id)
     order by merchant_id, kind
     limit 2
       for update
    """,
    row=HoldRow,
    locks=Rank.PAYOUT,
)

FIND_HOLD = Query(
    """
    /* payouts.find_hold */
    select id, merchant_id, kind, transaction_id, amount, currency, status, reason, until, created_by, created_at
      from payments.payout_holds
     where transaction_id = :transaction_id and status = 'active'
       and (:merchant_id::text is null or merchant_id = :merchant_id)
     order by merchant_id, kind
     limit 2
    """,
    row=HoldRow,
)

LIST_HOLDS = Query(
    """
    /* payouts.list_holds */
    select id, merchant_id, kind, transaction_id, amount, currency, status, reason, until, created_by, created_at
      from payments.payout_holds
     where merchant_id = :merchant_id and status = 'active' and (until is null or until > now())
     order by created_at, id
     limit :limit
    """,
    row=HoldRow,
)

PUT_HOLD = Query(
    """
    /* payouts.put_hold */
    insert into payments.payout_holds
           (id, merchant_id, kind, transaction_id, amount, currency, reason, until, created_by)
    values (:id, :merchant_id, :kind, :transaction_id, :amount, :currency, :reason,
            :until::timestamptz, :by)
        on conflict do nothing
    """,
    row=Nothing,
)

END_HOLD = Query(
    """
    /* payouts.end_hold */
    update payments.payout_holds
       set status = :status, ended_at = now(), ended_by = :by
     where id = :id and status = 'active'
    """,
    row=Nothing,
)

END_HOLDS = Query(
    """
    /* payouts.end_holds */
    update payments.payout_holds
       set status = 'expired', ended_at = now(), ended_by = 'molam'
     where status = 'active' and until <= now()
    """,
    row=Nothing,
)

_PAUSE = """
    select id, merchant_id, reason, until, paused_by, paused_at, now() as asked_at
      from payments.payout_pauses
     where merchant_id = :merchant_id and ended_at is null and until > now()"""

FIND_PAUSE = Query("/* payouts.find_pause */" + _PAUSE, row=PauseRow)

PUT_PAUSE = Query(
    """
    /* payouts.put_pause */
    insert into payments.payout_pauses (id, merchant_id, reason, until, paused_by, paused_at, action_id)
    values (:id, :merchant_id, :reason::text, :until, :by, :at, :action_id::text)
    """,
    row=Nothing,
)

END_PAUSE = Query(
    """
    /* payouts.end_pause */
    update payments.payout_pauses
       set ended_at = now(), ended_by = :by
     where merchant_id = :merchant_id and ended_at is null
    """,
    row=Nothing,
)

END_PAUSES = Query(
    """
    /* payouts.end_pauses */
    update payments.payout_pauses
       set ended_at = now(), ended_by = 'molam'
     where ended_at is null and until <= now()
    """,
    row=Nothing,
)
