"""The statements of practice runs: begun, watched, ended, given back, judged and listed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DueRow:
    at: datetime
    is_due: bool


@dataclass(frozen=True, slots=True)
class HomeRow:
    bank_profile_id: str
    timezone: str
    country: str


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A practice that goes on, or of which something is still to be heard."""

    proposal_id: str
    mesh_region_id: str
    currency: str
    rail: str
    from_bank_id: str
    to_bank_id: str
    to_bank_name: str
    ended_at: datetime | None
    is_over: bool
    since_end_s: float | None


@dataclass(frozen=True, slots=True)
class GivenBackRow:
    payouts: int


@dataclass(frozen=True, slots=True)
class HeardRow:
    payouts: int
    value: int
    kept: int
    open: int
    paid: int
    failed: int
    fees: int
    usual_fees: int
    seconds: int | None
    usual_seconds: int
    outcomes: int
    failures: int


@dataclass(frozen=True, slots=True)
class RunRow:
    """A practice as pages show it."""

    proposal_id: str
    region_name: str
    currency: str
    rail: str
    from_bank: str
    to_bank_id: str
    to_bank: str
    share: int
    began_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    outcome: str | None
    payouts: int
    value: int
    paid: int
    failed: int
    given_back: int
    fees: int
    usual_fees: int
    seconds: int | None
    usual_seconds: int | None


# An hour less than so many days, so that each week's can begin in the same hour.
FIND_DUE = Query(
    """
    /* control.find_practice_due */
    select now() as at,
           not exists (select
                         from mesh.practice_runs as r
                        where r.mesh_region_id = :region and r.currency = :currency and r.rail = :rail
                          and (r.judged_at is null
                               or r.began_at > now() - make_interval(days => :days) + interval '1 hour'))
           and not exists (select
                             from mesh.mesh_routing_proposals as p
                            where p.mesh_region_id = :region and p.currency = :currency
                              and p.rail = :rail and p.kind = 'practice'
                              and p.created_at > now() - interval '2 hours') as is_due
    """,
    row=DueRow,
)

LIST_HOMES = Query(
    """
    /* control.list_practice_homes */
    select id as bank_profile_id, timezone, country
      from payments.bank_profiles
     where id = any(:banks::text[])
     order by id
    """,
    row=HomeRow,
)

BEGIN = Query(
    """
    /* control.begin_practice */
    with begun as (
        insert into payments.bank_practices
               (id, currency, rail, from_bank_id, to_bank_id, to_account_id, amounts, share, value_max, ends_at)
        select :proposal_id, :currency, :rail, :from_bank, :to_bank, :to_account,
               (select range_agg(int8range(nullif(u.low, 0), u.high, '[]'))
                  from unnest(:lows::bigint[], :highs::bigint[]) as u(low, high)),
               :share::int, :value_max::bigint, now() + make_interval(mins => :minutes::int)
            on conflict do nothing
     returning id, ends_at
    )
    insert into mesh.practice_runs
           (proposal_id, mesh_region_id, action_id, currency, rail, from_bank_id, to_bank_id, share,
            promise_s, ends_at)
    select b.id, :region, :action_id, :currency, :rail, :from_bank, :to_bank, :share::int,
           :promise_s::int, b.ends_at
      from begun as b
    """,
    row=Nothing,
    locks=Rank.BANK_ROUTE,
)

LIST_OPEN = Query(
    """
    /* control.list_open_practices */
    select r.proposal_id, r.mesh_region_id, r.currency, r.rail, r.from_bank_id, r.to_bank_id,
           b.name as to_bank_name, r.ended_at, r.ends_at <= now() as is_over,
           extract(epoch from now() - r.ended_at)::float8 as since_end_s
      from mesh.practice_runs as r
      join payments.bank_profiles as b on b.id = r.to_bank_id
     where r.judged_at is null and (:id::text is null or r.proposal_id = :id::text)
     order by r.began_at, r.proposal_id
     limit 200
    """,
    row=OpenRow,
)

END = Query(
    """
    /* control.end_practice */
    with ended as (
        update payments.bank_practices
           set ended_at = now()
         where id = :id and ended_at is null
    )
    update mesh.practice_runs
       set ended_at = now(), end_reason = :reason
     where proposal_id = :id and ended_at is null
    """,
    row=Nothing,
    locks=Rank.BANK_ROUTE,
)

# What was given away when it was made has its row, and its line in the timeline, a moment later.
FOLLOW = Query(
    """
    /* control.follow_practice */
    with taken as materialized (
        select p.merchant_id, p.id, p.state, p.amount, p.currency, p.version, p.scheduled_for,
               t.original_bank_id, t.original_account_id, n.to_bank_id, n.to_account_id,
               r.mesh_region_id, r.action_id, r.promise_s
          from payments.practice_payouts as t
          join payments.bank_practices as n on n.id = t.practice_id
          join mesh.practice_runs as r on r.proposal_id = t.practice_id
          join payments.payouts as p on p.id = t.payout_id
         where t.practice_id = :id
           and not exists (select
                             from mesh.mesh_reconciliations as k
                            where k.routing_proposal_id = :id and k.payout_id = t.payout_id)
         order by p.id
    ),
    told as (
        insert into payments.payout_events
               (merchant_id, payout_id, old_state, new_state, what, actor, detail)
        select merchant_id, id, state, state, 'rerouted', 'mesh-controller',
               jsonb_build_object('bank_profile_id', to_bank_id, 'from_bank_profile_id', original_bank_id,
                                  'proposal_id', :id::text)
          from taken
    )
    insert into mesh.mesh_reconciliations
           (id, payout_id, merchant_id, mesh_region_id, original_bank_profile_id,
            original_treasury_account_id, rerouted_bank_profile_id, rerouted_treasury_account_id,
            routing_proposal_id, action_log_id, original_amount, original_currency, rerouted_amount,
            rerouted_currency, original_estimated_cost, rerouted_estimated_cost,
            original_estimated_settlement, promised_settlement, version_before, version_after)
    select 'mr_' || replace(gen_random_uuid()::text, '-', ''), t.id, t.merchant_id, t.mesh_region_id,
           t.original_bank_id, t.original_account_id, t.to_bank_id, t.to_account_id, :id::text,
           t.action_id, t.amount, t.currency, t.amount, t.currency,
           payments.bank_fee(o.fees, o.flat_fee, o.percent_fee, t.amount),
           payments.bank_fee(n.fees, n.flat_fee, n.percent_fee, t.amount),
           t.scheduled_for + make_interval(secs => o.avg_delay_sec),
           t.scheduled_for + make_interval(secs => t.promise_s), t.version, t.version
      from taken as t
      join payments.bank_profiles as o on o.id = t.original_bank_id
      join payments.bank_profiles as n on n.id = t.to_bank_id
    """,
    row=Nothing,
)

# Not to a bank that was left meanwhile: what waits is better off where it is.
GIVE_BACK = Query(
    """
    /* control.give_back_practice */
    with locked as materialized (
        select p.merchant_id, p.id, p.version, p.state, t.original_bank_id, t.original_account_id
          from payments.practice_payouts as t
          join payments.bank_practices as n on n.id = t.practice_id and n.ended_at is not null
          join payments.payouts as p on p.id = t.payout_id
         where t.practice_id = :id
           and p.attempts = 0 and p.state in ('scheduled', 'held', 'pending')
           and p.bank_profile_id = n.to_bank_id
           and not exists (select
                             from payments.bank_gates as g
                            where g.bank_profile_id = t.original_bank_id and g.rail = n.rail
                              and g.currency = n.currency
                              and (g.held_until > now() or (not g.is_open and g.closed_for @> p.amount)))
         order by p.id
           for update of p skip locked
    ),
    restored as (
        update payments.payouts as p
           set bank_profile_id = l.original_bank_id, treasury_account_id = l.original_account_id,
               version = p.version + 1, updated_at = now()
          from locked as l
         where p.merchant_id = l.merchant_id and p.id = l.id and p.version = l.version
     returning p.merchant_id, p.id, p.state, p.bank_profile_id
    ),
    told as (
        insert into payments.payout_events
               (merchant_id, payout_id, old_state, new_state, what, actor, detail)
        select merchant_id, id, state, state, 'rerouting_undone', 'mesh-controller',
               jsonb_build_object('bank_profile_id', bank_profile_id, 'proposal_id', :id::text)
          from restored
    ),
    closed as (
        update mesh.mesh_reconciliations as r
           set reconciliation_status = 'resolved', outcome = 'rolled_back', reconciled_at = now()
          from restored as d
         where r.routing_proposal_id = :id and r.payout_id = d.id
    ),
    counted as (
        update mesh.practice_runs
           set given_back = given_back + (select count(*) from restored)::int
         where proposal_id = :id and exists (select from restored)
    )
    select count(*)::int as payouts from restored
    """,
    row=GivenBackRow,
    locks=Rank.PAYOUT,
)

SUM_HEARD = Query(
    """
    /* control.sum_practice */
    select count(p.id)::int as payouts, coalesce(sum(p.amount), 0)::bigint as value,
           (count(*) filter (where p.attempts > 0 and p.is_there))::int as kept,
           (count(*) filter (where p.is_there
                               and p.state in ('scheduled', 'held', 'pending', 'in_transit')))::int as open,
           (count(*) filter (where p.state = 'paid' and p.is_there))::int as paid,
           (count(*) filter (where p.state in ('failed', 'returned') and p.is_there))::int as failed,
           coalesce(sum(payments.bank_fee(b.fees, b.flat_fee, b.percent_fee, p.amount))
                    filter (where p.attempts > 0 and p.is_there), 0)::bigint as fees,
           coalesce(sum(payments.bank_fee(o.fees, o.flat_fee, o.percent_fee, p.amount))
                    filter (where p.attempts > 0 and p.is_there), 0)::bigint as usual_fees,
           (avg(extract(epoch from p.ended_at - p.submitted_at))
            filter (where p.state = 'paid' and p.is_there))::int as seconds,
           o.avg_delay_sec as usual_seconds,
           coalesce(h.outcomes, 0)::int as outcomes, coalesce(h.failures, 0)::int as failures
      from mesh.practice_runs as r
      join payments.bank_profiles as b on b.id = r.to_bank_id
      join payments.bank_profiles as o on o.id = r.from_bank_id
      left join lateral (
           select sum(l.attempts) as outcomes, sum(l.failures) as failures
             from mesh.bank_health_logs as l
            where l.bank_profile_id = r.to_bank_id and l.rail = r.rail and l.currency = r.currency
              and l.checked_at >= r.began_at) as h on true
      left join lateral (
           select w.id, w.amount, w.state, w.attempts, w.ended_at, w.submitted_at,
                  w.bank_profile_id = r.to_bank_id as is_there
             from payments.practice_payouts as t
             join payments.payouts as w on w.id = t.payout_id
            where t.practice_id = r.proposal_id) as p on true
     where r.proposal_id = :id
     group by b.id, o.id, h.outcomes, h.failures
    """,
    row=HeardRow,
)

SET_HEARD = Query(
    """
    /* control.set_practice_heard */
    update mesh.practice_runs
       set payouts = :payouts, value = :value, paid = :paid, failed = :failed, fees = :fees,
           usual_fees = :usual_fees, seconds = :seconds, usual_seconds = :usual_seconds,
           outcome = :outcome::text, judged_at = case when :outcome::text is not null then now() end
     where proposal_id = :id and judged_at is null
    """,
    row=Nothing,
)

LIST_RUNS = Query(
    """
    /* control.list_practice_runs */
    select r.proposal_id, g.name as region_name, r.currency, r.rail, f.name as from_bank, r.to_bank_id,
           t.name as to_bank, r.share::int as share, r.began_at, r.ends_at, r.ended_at, r.end_reason,
           r.outcome, r.payouts, r.value, r.paid, r.failed, r.given_back, r.fees, r.usual_fees,
           r.seconds, r.usual_seconds
      from mesh.practice_runs as r
      join mesh.mesh_regions as g on g.id = r.mesh_region_id
      join payments.bank_profiles as f on f.id = r.from_bank_id
      join payments.bank_profiles as t on t.id = r.to_bank_id
     where (:region::text is null or r.mesh_region_id = :region::text)
       and (:bank::text is null or r.to_bank_id = :bank::text)
     order by r.began_at desc, r.proposal_id
     limit :limit
    """,
    row=RunRow,
)
