"""The statements of applying, rolling back and remembering what was done."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class LockedRow:
    is_locked: bool


@dataclass(frozen=True, slots=True)
class StandingRow:
    """What of a proposal the database's clock decides."""

    status: str
    shift_share: int
    is_expired: bool
    is_late_to_undo: bool


@dataclass(frozen=True, slots=True)
class RoomRow:
    """How much one bank may still be given today, and from which account it would pay."""

    bank_profile_id: str
    account_id: str
    sent_today: int
    waiting: int
    has_books: bool
    balance: int
    reserved: int
    busiest_hour: int


@dataclass(frozen=True, slots=True)
class BankRow:
    bank_profile_id: str


@dataclass(frozen=True, slots=True)
class ValueRow:
    value: int


@dataclass(frozen=True, slots=True)
class InForceRow:
    id: int
    min_amount: int
    max_amount: int | None
    bank_profile_ids: list[str]
    cause: str


@dataclass(frozen=True, slots=True)
class ChainRow:
    """A later route of the same payouts, if there is one."""

    id: str


@dataclass(frozen=True, slots=True)
class RegionNameRow:
    name: str


# One row of the log may be written under a key, and it is written last: so whoever comes
# with the same key waits here for the first to end, and then reads what it wrote.
LOCK_KEY = Query(
    """
    /* control.lock_key */
    select pg_advisory_xact_lock(hashtextextended('mesh.key/' || :key::text, 0)) is not null as is_locked
    """,
    row=LockedRow,
    locks=Rank.BANK_ROUTE,
)

# A bank's room is shared by all regions and rails of a currency.
LOCK_SCOPE = Query(
    """
    /* control.lock_scope */
    select pg_advisory_xact_lock(hashtextextended('mesh.apply/' || :currency::text, 0)) is not null as is_locked
    """,
    row=LockedRow,
    locks=Rank.BANK_ROUTE,
)

LOCK_PROPOSAL = Query(
    """
    /* control.lock_proposal */
    select p.status, p.shift_share, p.expires_at <= now() as is_expired,
           coalesce(p.applied_at <= now() - make_interval(hours => :window_h), false) as is_late_to_undo
      from mesh.mesh_routing_proposals as p
     where p.id = :id
       for update
    """,
    row=StandingRow,
    locks=Rank.BANK_ROUTE,
)

# Cover is known where a statement has begun the account's books; elsewhere the bank alone
# knows what is on it. What waits for a bank counts against its day like what it was sent.
FIND_ROOMS = Query(
    """
    /* control.find_rooms */
    select b.id as bank_profile_id, t.id as account_id,
           coalesce((select sum(a.amount) from payments.bank_attempts as a
                      where a.bank_profile_id = b.id and a.currency = :currency
                        and a.state not in ('rejected', 'returned')
                        and a.created_at >= date_trunc('day', now() at time zone b.timezone)
                                            at time zone b.timezone), 0)::bigint as sent_today,
           coalesce((select sum(p.amount) from payments.payouts as p
                      where p.bank_profile_id = b.id and p.currency = :currency
                        and p.origin = 'molam'
                        and p.state in ('scheduled', 'held', 'pending')), 0)::bigint as waiting,
           exists (select from payments.books as k
                    where k.bank_profile_id = b.id and k.currency = :currency) as has_books,
           v.balance, v.reserved,
           coalesce((select percentile_disc(0.95) within group (order by h.volume)
                       from (select sum(l.volume) as volume
                               from mesh.bank_health_logs as l
                              where l.bank_profile_id = b.id and l.currency = :currency
                                and l.checked_at > now() - interval '7 days' and l.volume > 0
                              group by date_trunc('hour', l.checked_at)) as h), 0)::bigint as busiest_hour
      from payments.bank_profiles as b
     cross join lateral (
           select a.id
             from payments.treasury_accounts as a
            where a.bank_profile_id = b.id and a.currency = :currency and a.status = 'active'
            order by a.account_type = 'payout' desc, a.account_type = 'operational' desc, a.id
            limit 1) as t
      join payments.treasury_balances as v on v.id = t.id
     where b.id = any(:banks::text[])
    """,
    row=RoomRow,
)

# Whom the payouts of a scope are with, where a proposal names nobody to leave.
LIST_HOLDERS = Query(
    """
    /* control.list_holders */
    select distinct p.bank_profile_id
      from payments.payouts as p
     where p.origin = 'molam' and p.state in ('scheduled', 'held', 'pending') and p.attempts = 0
       and p.currency = :currency and mesh.rail_of(p.destination) = :rail
       and p.bank_profile_id is not null and p.bank_profile_id <> all(:but::text[])
     order by 1
    """,
    row=BankRow,
)

# All that routes decide about: what waits, and has been handed to nobody.
SUM_WAITING = Query(
    """
    /* control.sum_waiting */
    select coalesce(sum(p.amount), 0)::bigint as value
      from payments.payouts as p
     where p.origin = 'molam' and p.state in ('scheduled', 'held', 'pending') and p.attempts = 0
       and p.currency = :currency and mesh.rail_of(p.destination) = :rail
    """,
    row=ValueRow,
)

LOCK_ROUTES = Query(
    """
    /* control.lock_routes */
    select id, min_amount, max_amount, bank_profile_ids, cause
      from payments.bank_routes
     where currency = :currency and rail = :rail and replaced_at is null
     order by id
       for update
    """,
    row=InForceRow,
    locks=Rank.BANK_ROUTE,
)

END_ROUTES = Query(
    """
    /* control.end_routes */
    update payments.bank_routes
       set replaced_at = now()
     where id = any(:ids::bigint[]) and replaced_at is null
    """,
    row=Nothing,
)

ADD_ROUTE = Query(
    """
    /* control.add_route */
    insert into payments.bank_routes (currency, rail, min_amount, max_amount, bank_profile_ids, cause)
    values (:currency, :rail, :min_amount, :max_amount, :banks::text[], :cause)
    """,
    row=Nothing,
)

SET_APPLIED = Query(
    """
    /* control.set_applied */
    update mesh.mesh_routing_proposals
       set status = 'applied',
           applied_at = coalesce(applied_at, now()),
           reviewed_by = coalesce(reviewed_by, :by),
           reviewed_at = coalesce(reviewed_at, now()),
           shift_share = :share::int,
           shift_due_at = case when :share::int < 100 then now() + make_interval(mins => :step_minutes) end,
           last_failure = null
     where id = :id
    """,
    row=Nothing,
)

SET_ROLLED_BACK = Query(
    """
    /* control.set_rolled_back */
    update mesh.mesh_routing_proposals
       set status = 'rolled_back', rolled_back_at = now(), rollback_reason = :reason,
           shift_due_at = null
     where id = :id and status = 'applied'
    """,
    row=Nothing,
)

SET_FAILURE = Query(
    """
    /* control.set_failure */
    update mesh.mesh_routing_proposals
       set last_failure = :failure
     where id = :id and status in ('proposed', 'simulated', 'approved', 'applied')
    """,
    row=Nothing,
)

FIND_LATER = Query(
    """
    /* control.find_later */
    select l.id
      from mesh.mesh_routing_proposals as l
      join mesh.mesh_routing_proposals as p on p.id = :id
     where l.id <> p.id and l.status = 'applied' and l.applied_at > p.applied_at
       and l.kind <> 'practice'
       and l.currency = p.currency and l.rail = p.rail
       -- What moved some payouts only decided nothing for others.
       and not l.proposal ? 'payouts' and not p.proposal ? 'payouts'
       and l.min_amount <= coalesce(p.max_amount, l.min_amount)
       and p.min_amount <= coalesce(l.max_amount, p.min_amount)
     order by l.applied_at desc
     limit 1
    """,
    row=ChainRow,
)

# The places of banks in the controller's eyes; a bank nobody has heard of has none.
SET_LEFT = Query(
    """
    /* control.set_left */
    update mesh.member_health
       set mode = 'left', left_at = now(), better_since = null, strikes = 0,
           penalty = penalty * power(0.5, extract(epoch from now() - penalty_at) / :half_life_s::float8)
                     + :flap_penalty::float8,
           penalty_at = now(),
           suppressed_since = coalesce(suppressed_since, case when
               penalty * power(0.5, extract(epoch from now() - penalty_at) / :half_life_s::float8)
               + :flap_penalty::float8 >= :suppress_at::float8 then now() end)
     where bank_profile_id = any(:banks::text[]) and rail = :rail and currency = :currency
       and mode = 'serving'
    """,
    row=Nothing,
    locks=Rank.MEMBER_HEALTH,
)

SET_SERVING = Query(
    """
    /* control.set_serving */
    update mesh.member_health
       set mode = 'serving', left_at = null, better_since = null, strikes = 0
     where bank_profile_id = any(:banks::text[]) and rail = :rail and currency = :currency
       and mode = 'left'
    """,
    row=Nothing,
    locks=Rank.MEMBER_HEALTH,
)

# What people took back is theirs to decide about for a while.
SET_SUPPRESSED = Query(
    """
    /* control.set_suppressed */
    update mesh.member_health
       set penalty = greatest(penalty, :suppress_at::float8), penalty_at = now(),
           suppressed_since = coalesce(suppressed_since, now())
     where bank_profile_id = any(:banks::text[]) and rail = :rail and currency = :currency
    """,
    row=Nothing,
    locks=Rank.MEMBER_HEALTH,
)

SET_AWAY = Query(
    """
    /* control.set_away */
    update mesh.member_health
       set mode = 'left', left_at = now(), better_since = null, strikes = 0
     where bank_profile_id = any(:banks::text[]) and rail = :rail and currency = :currency
       and mode = 'serving'
    """,
    row=Nothing,
    locks=Rank.MEMBER_HEALTH,
)

FIND_REGION_OF_BANK = Query(
    """
    /* control.find_region_of_bank */
    select r.name
      from payments.bank_profiles as b
      join mesh.mesh_regions as r on b.country = any(r.countries) or cardinality(r.countries) = 0
     where b.id = :bank_id
     order by cardinality(r.countries) = 0, r.id
     limit 1
    """,
    row=RegionNameRow,
)

BEGIN_STEP = Query(
    """
    /* control.begin_step */
    insert into mesh.shift_steps (proposal_id, share)
    values (:proposal_id, :share::int)
        on conflict (proposal_id, share) do nothing
    """,
    row=Nothing,
)

WAIT_AT_MOST = Query(
    """
    /* control.wait_at_most */
    select set_config('lock_timeout', :lock_ms::text, true) is not null
           and set_config('statement_timeout', :statement_ms::text, true) is not null as is_locked
    """,
    row=LockedRow,
)

TELL_PAGES = Query(
    """
    /* control.tell_pages */
    select pg_notify('mesh', '')
    """,
    row=Nothing,
)
