"""The statements about payouts one by one: their rows, timelines, entries, and what holds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PayoutRow:
    merchant_id: str
    id: str
    origin: str
    asked_as: str
    state: str
    status: str
    amount: int
    currency: str
    fee: int
    occurred_at: datetime
    bank_profile_id: str | None
    treasury_account_id: str | None
    destination: dict[str, Any] | None
    scheduled_for: datetime | None
    cutoff: datetime | None
    held_reason: str | None
    held_until: datetime | None
    attempts: int
    reference_code: str | None
    provider_ref: str | None
    failure_code: str | None
    failure_reason: str | None
    in_doubt_since: datetime | None
    submitted_at: datetime | None
    ended_at: datetime | None
    retry_wanted: bool
    owns_entries: bool
    reserves: int
    recall_asked_at: datetime | None
    gross: int
    fees: int
    refunds: int
    disputes: int
    adjustments: int
    entry_count: int
    version: int
    created_by: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WaitingRow:
    merchant_id: str
    id: str
    state: str


@dataclass(frozen=True, slots=True)
class EventRow:
    id: int
    old_state: str
    new_state: str
    what: str
    actor: str
    actor_name: str | None
    """What to call a person; None for a bank or the schedule."""
    detail: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class EntryRow:
    """*customer_name* and *reference_code* are those of the sale that it belongs to."""

    transfer_id: UUID
    amount: int
    cause: str
    cause_id: str
    occurred_at: datetime
    customer_name: str | None
    reference_code: str | None


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


_COLUMNS = """p.merchant_id, p.id, p.origin, p.asked_as, p.state, p.status, p.amount, p.currency, p.fee,
           p.occurred_at, p.bank_profile_id, p.treasury_account_id, p.destination, p.scheduled_for,
           p.cutoff, p.held_reason, p.held_until, p.attempts, p.reference_code, p.provider_ref,
           p.failure_code, p.failure_reason, p.in_doubt_since, p.submitted_at, p.ended_at,
           p.retry_wanted, p.owns_entries, p.reserves, p.recall_asked_at, p.gross, p.fees, p.refunds,
           p.disputes, p.adjustments, p.entry_count, p.version, p.created_by, p.updated_at"""

LOCK_OURS = Query(
    "/* payouts.lock_ours */ select "
    + _COLUMNS
    + """
      from payments.payouts p
     where p.id = :id and p.origin = 'molam'
       for update""",
    row=PayoutRow,
    locks=Rank.PAYOUT,
)

LOCK_MERCHANTS_OWN = Query(
    "/* payouts.lock_merchants_own */ select "
    + _COLUMNS
    + """
      from payments.payouts p
     where p.merchant_id = :merchant_id and p.id = :id and p.origin = 'molam'
       for update""",
    row=PayoutRow,
    locks=Rank.PAYOUT,
)

FIND_OURS = Query(
    "/* payouts.find_ours */ select "
    + _COLUMNS
    + """
      from payments.payouts p
     where p.id = :id and p.origin = 'molam'""",
    row=PayoutRow,
)

FIND_PAYOUT = Query(
    "/* payouts.find_payout */ select "
    + _COLUMNS
    + """
      from payments.payouts p
     where p.merchant_id = :merchant_id and p.id = :id""",
    row=PayoutRow,
)

LIST_UPCOMING = Query(
    "/* payouts.list_upcoming */ select "
    + _COLUMNS
    + """
      from payments.payouts p
     where p.merchant_id = :merchant_id
       and p.state in ('scheduled', 'held', 'pending', 'in_transit')
     order by coalesce(p.scheduled_for, p.occurred_at), p.id
     limit :limit""",
    row=PayoutRow,
)

LIST_HISTORY = Query(
    "/* payouts.list_history */ select "
    + _COLUMNS
    + """
      from payments.payouts p
     where p.merchant_id = :merchant_id
       and (p.occurred_at, p.id) < (:at::timestamptz, :id::text)
       and p.state = any(:states::text[])
     order by p.occurred_at desc, p.id desc
     limit :limit offset :offset""",
    row=PayoutRow,
)

# Every column that a step may change, so that there is one way to take a step.
SET_STATE = Query(
    """
    /* payouts.set_state */
    with stepped as (
        update payments.payouts
           set state = :new,
               held_reason = :held_reason::text,
               held_until = :held_until::timestamptz,
               in_doubt_since = :in_doubt_since::timestamptz,
               provider_ref = :provider_ref::text,
               failure_code = :failure_code::text,
               failure_reason = :failure_reason::text,
               bank_profile_id = :bank_profile_id::text,
               treasury_account_id = case
                   when :bank_profile_id::text is not distinct from bank_profile_id
                   then treasury_account_id
                   else (select a.id from payments.treasury_accounts a
                          where a.bank_profile_id = :bank_profile_id::text
                            and a.currency = payouts.currency
                            and a.account_type = 'payout' and a.status = 'active') end,
               retry_wanted = :retry_wanted,
               owns_entries = :owns_entries,
               reserves = :reserves,
               attempts = :attempts,
               submitted_at = :submitted_at::timestamptz,
               ended_at = case when :new in ('paid', 'returned', 'failed', 'cancelled')
                               then coalesce(ended_at, now()) end,
               version = version + 1,
               updated_at = now()
         where merchant_id = :merchant_id and id = :id and state = :old
     returning merchant_id, id
    )
    insert into payments.payout_events (merchant_id, payout_id, old_state, new_state, what, actor, detail)
    select merchant_id, id, :old, :new, :what::text, :actor::text, :detail::jsonb
      from stepped
    """,
    row=Nothing,
)

APPEND_EVENT = Query(
    """
    /* payouts.append_event */
    insert into payments.payout_events (merchant_id, payout_id, old_state, new_state, what, actor, detail)
    select merchant_id, id, state, state, :what::text, :actor::text, :detail::jsonb
      from payments.payouts
     where merchant_id = :merchant_id and id = :id
    """,
    row=Nothing,
)

SET_RECALL = Query(
    """
    /* payouts.set_recall */
    update payments.payouts
       set recall_asked_at = coalesce(recall_asked_at, now()), updated_at = now()
     where merchant_id = :merchant_id and id = :id
    """,
    row=Nothing,
)

LIST_EVENTS = Query(
    """
    /* payouts.list_events */
    select e.id, e.old_state, e.new_state, e.what, e.actor, p.name as actor_name, e.detail, e.at
      from payments.payout_events e
      left join tenancy.people p on p.id = e.actor
     where e.merchant_id = :merchant_id and e.payout_id = :id
     order by e.id desc
     limit :limit
    """,
    row=EventRow,
)

_ENTRY_COLUMNS = """
    select e.transfer_id, e.amount, e.cause, e.cause_id, e.occurred_at,
           w.customer ->> 'name' as customer_name, w.reference_code"""

_ENTRY_PAGE = """
      left join payments.wallet_transactions w
        on w.merchant_id = e.merchant_id and w.type = 'payment' and w.id = e.cause_id
       and e.cause in ('payment', 'payment_fee')
     where e.merchant_id = :merchant_id and e.payout_id = :id
       and (e.occurred_at, e.transfer_id) > (:at::timestamptz, :after::uuid)"""

LIST_ENTRIES = Query(
    "/* payouts.list_entries */"
    + _ENTRY_COLUMNS
    + """
      from payments.payout_entries e"""
    + _ENTRY_PAGE
    + """
     order by e.occurred_at, e.transfer_id
     limit :limit""",
    row=EntryRow,
)

LIST_RELEASED = Query(
    "/* payouts.list_released */"
    + _ENTRY_COLUMNS
    + """
      from payments.payout_entries_released e"""
    + _ENTRY_PAGE
    + """
       and e.round = (select max(r.round) from payments.payout_entries_released r
                     where r.merchant_id = :merchant_id and r.payout_id = :id)
     order by e.occurred_at, e.transfer_id
     limit :limit""",
    row=EntryRow,
)

# Entries go back to the balance; the mark goes back with them, so that the next run
# looks where they are.
RELEASE_ENTRIES = Query(
    """
    /* payouts.release_entries */
    with freed as (
        delete from payments.payout_entries
         where merchant_id = :merchant_id and payout_id = :id
     returning transfer_id, amount, cause, cause_id, occurred_at, posted_at
    ),
    kept as (
        insert into payments.payout_entries_released
               (payout_id, round, transfer_id, merchant_id, amount, cause, cause_id, occurred_at)
        select :id, :round, transfer_id, :merchant_id, amount, cause, cause_id, occurred_at
          from freed
    ),
    marked as (
        insert into payments.payout_marks as k (merchant_id, currency, posted_before)
        select :merchant_id, :currency, min(posted_at)
          from freed
        having count(*) > 0
            on conflict (merchant_id, currency) do update
           set posted_before = least(k.posted_before, excluded.posted_before)
    )
    select count(*) as count from freed
    """,
    row=CountRow,
)

# Owned again by the payout that is tried once more: all of them, or (the key refuses)
# none, when another payout has them by now.
REOWN_ENTRIES = Query(
    """
    /* payouts.reown_entries */
    with owned as (
        insert into payments.payout_entries
               (transfer_id, merchant_id, payout_id, amount, cause, cause_id, occurred_at, posted_at)
        select r.transfer_id, r.merchant_id, r.payout_id, r.amount, r.cause, r.cause_id, r.occurred_at,
               t.posted_at
          from payments.payout_entries_released r
          join ledger.transfers t on t.id = r.transfer_id
         where r.merchant_id = :merchant_id and r.payout_id = :id and r.round = :round
         order by r.transfer_id
            on conflict (transfer_id) do nothing
     returning 1
    )
    select count(*) as count from owned
    """,
    row=CountRow,
)

LIST_DUE = Query(
    """
    /* payouts.list_due */
    select p.merchant_id, p.id, p.state
      from payments.payouts p
     where origin = 'molam'
       and state in ('scheduled', 'held', 'pending')
       and scheduled_for <= now()
       and (state <> 'pending' or updated_at < now() - interval '10 minutes')
       and (state <> 'held' or case held_reason
               when 'frozen' then exists (select from tenancy.merchants m
                                           where m.id = p.merchant_id and m.status = 'active')
               when 'hold' then not exists (
                    select from payments.payout_holds h
                     where h.merchant_id = p.merchant_id and h.kind = 'payout'
                       and h.transaction_id = p.id and h.status = 'active'
                       and (h.until is null or h.until > now()))
               when 'paused' then not exists (
                    select from payments.payout_pauses u
                     where u.merchant_id = p.merchant_id and u.ended_at is null and u.until > now())
               when 'destination_refused' then exists (
                    select from payments.payout_destinations d
                     where d.merchant_id = p.merchant_id and d.currency = p.currency
                       and (d.refused_code is null or d.destination <> p.destination))
               when 'no_bank_route' then updated_at < now() - interval '5 minutes' or exists (
                    select from payments.bank_profiles b
                     where b.id = p.bank_profile_id and b.enabled and b.status = 'active')
               else held_until is null or held_until <= now() end)
     order by scheduled_for, id
     limit :limit
    """,
    row=WaitingRow,
)

COUNT_LATE = Query(
    """
    /* payouts.count_late */
    select count(*) as count
      from payments.payouts
     where origin = 'molam' and state = 'in_transit' and submitted_at < now() - interval '1 day'
    """,
    row=CountRow,
)
