"""Leading payouts away and back: each sweep is one statement over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from molam.mesh.routing.scope_store import LISTED, PAYOUTS_IN_SCOPE, TERMS
from molam.platform.db import Query, Rank


@dataclass(frozen=True, slots=True)
class SweptRow:
    """What one sweep did. *first* to *third* are what each bank of the sequence was given."""

    payouts: int
    value: int
    ids: list[str]
    first_payouts: int
    first_value: int
    second_payouts: int
    second_value: int
    third_payouts: int
    third_value: int
    left_payouts: int
    left_value: int


@dataclass(frozen=True, slots=True)
class StayingRow:
    payouts: int
    value: int


@dataclass(frozen=True, slots=True)
class DueRow:
    id: str
    is_held: bool


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A payout that people listed; *why* it does not move, if it does not."""

    id: str
    amount: int | None
    why: str | None


@dataclass(frozen=True, slots=True)
class RestoredRow:
    payouts: int
    value: int
    ids: list[str]
    kept: int
    reasons: list[dict[str, Any]]


# Note [One sweep]
#
# Everything happens to one snapshot of rows that are locked in the order of their ids,
# in one statement: payouts, timelines and reconciliations can never disagree, and ten
# thousand cost what a few hundred cost row by row. Payouts are given out smallest first,
# so that as many as possible find room; a running sum makes each bank's limit hold for
# the whole batch and not payout by payout. What has been handed to a bank once, or is
# under way or in doubt, is that bank's and never moves.

_CANDIDATES = (
    """
    with candidates as materialized (
        select p.merchant_id, p.id, p.amount, p.version, p.state, p.bank_profile_id,
               p.treasury_account_id, greatest(now(), p.scheduled_for) as starts_at"""
    + PAYOUTS_IN_SCOPE
    + LISTED
    + """
           and p.attempts = 0
           and (p.bank_profile_id = any(:from_banks::text[]) or p.bank_profile_id is null)
           and (:share::int = 100 or abs(hashtextextended(p.id, 0) % 100) < :share::int)
         order by p.id
           for update of p"""
)

_MOVE = """
    ),
    sorted as materialized (
        select c.*, sum(c.amount) over (order by c.amount, c.id)::bigint as upto
          from candidates as c
         where :each_max::bigint is null or c.amount <= :each_max::bigint
    ),
    first as materialized (
        select coalesce((select max(s.upto) from sorted as s
                          where s.upto <= least((:rooms::bigint[])[1], :value_max::bigint)
                            and s.amount <= (:largest::bigint[])[1]), 0) as until
    ),
    second as materialized (
        select coalesce((select max(s.upto) from sorted as s
                          where s.upto > f.until and s.upto <= :value_max::bigint
                            and s.upto - f.until <= (:rooms::bigint[])[2]
                            and s.amount <= (:largest::bigint[])[2]), f.until) as until
          from first as f
    ),
    third as materialized (
        select coalesce((select max(s.upto) from sorted as s
                          where s.upto > n.until and s.upto <= :value_max::bigint
                            and s.upto - n.until <= (:rooms::bigint[])[3]
                            and s.amount <= (:largest::bigint[])[3]), n.until) as until
          from second as n
    ),
    placed as (
        select s.*, case when s.upto <= f.until then 1 when s.upto <= n.until then 2 else 3 end as step
          from sorted as s
         cross join first as f
         cross join second as n
         cross join third as t
         where s.upto <= t.until
    ),
    moved as (
        update payments.payouts as p
           set bank_profile_id = (:banks::text[])[t.step],
               treasury_account_id = (:accounts::text[])[t.step],
               version = p.version + 1,
               updated_at = now()
          from placed as t
         where p.merchant_id = t.merchant_id and p.id = t.id and p.version = t.version
     returning p.merchant_id, p.id, p.amount, p.currency, p.state, p.version, p.bank_profile_id,
               p.treasury_account_id, t.step, t.starts_at, t.version as version_before,
               t.bank_profile_id as old_bank, t.treasury_account_id as old_account
    ),
    told as (
        insert into payments.payout_events
               (merchant_id, payout_id, old_state, new_state, what, actor, detail)
        select merchant_id, id, state, state, 'rerouted', :actor::text,
               jsonb_build_object('bank_profile_id', bank_profile_id, 'from_bank_profile_id', old_bank,
                                  'proposal_id', :proposal_id::text)
          from moved
    ),
    kept as (
        insert into mesh.mesh_reconciliations
               (id, payout_id, merchant_id, mesh_region_id, original_bank_profile_id,
                original_treasury_account_id, rerouted_bank_profile_id, rerouted_treasury_account_id,
                routing_proposal_id, action_log_id, original_amount, original_currency, rerouted_amount,
                rerouted_currency, original_estimated_cost, rerouted_estimated_cost,
                original_estimated_settlement, promised_settlement, version_before, version_after)
        select 'mr_' || replace(gen_random_uuid()::text, '-', ''), m.id, m.merchant_id, :region::text, m.old_bank,
               m.old_account, m.bank_profile_id, m.treasury_account_id, :proposal_id::text,
               :action_id::text, m.amount, m.currency, m.amount, m.currency,
               payments.bank_fee(o.fees, o.flat_fee, o.percent_fee, m.amount),
               payments.bank_fee(n.fees, n.flat_fee, n.percent_fee, m.amount),
               m.starts_at + make_interval(secs => o.avg_delay_sec),
               m.starts_at + make_interval(secs => (:promises::int[])[m.step]),
               m.version_before, m.version
          from moved as m
          join payments.bank_profiles as n on n.id = m.bank_profile_id
          left join payments.bank_profiles as o on o.id = m.old_bank
    )
    select count(*)::int as payouts, coalesce(sum(m.amount), 0)::bigint as value,
           coalesce((array_agg(m.id order by m.id))[1:100000], '{}') as ids,
           (count(*) filter (where m.step = 1))::int as first_payouts,
           coalesce(sum(m.amount) filter (where m.step = 1), 0)::bigint as first_value,
           (count(*) filter (where m.step = 2))::int as second_payouts,
           coalesce(sum(m.amount) filter (where m.step = 2), 0)::bigint as second_value,
           (count(*) filter (where m.step = 3))::int as third_payouts,
           coalesce(sum(m.amount) filter (where m.step = 3), 0)::bigint as third_value,
           ((select count(*) from candidates) - count(*))::int as left_payouts,
           ((select coalesce(sum(c.amount), 0) from candidates as c)
             - coalesce(sum(m.amount), 0))::bigint as left_value
      from moved as m
    """

# The first sweep waits for nobody.
SWEEP_FREE = Query(
    "/* control.sweep_free */" + _CANDIDATES + " skip locked" + _MOVE,
    row=SweptRow,
    locks=Rank.PAYOUT,
)

# The second waits, but not for long: somebody's lock is no reason to hold everybody's.
SWEEP_REST = Query(
    "/* control.sweep_rest */" + _CANDIDATES + _MOVE,
    row=SweptRow,
    locks=Rank.PAYOUT,
)

COUNT_STAYING = Query(
    "/* control.count_staying */"
    " select count(*)::int as payouts, coalesce(sum(p.amount), 0)::bigint as value"
    + PAYOUTS_IN_SCOPE
    + """
       and p.attempts = 0 and p.bank_profile_id = any(:from_banks::text[])""",
    row=StayingRow,
)

RESTORE = Query(
    """
    /* control.restore */
    with kept as materialized (
        select r.id as reconciliation_id, r.merchant_id, r.payout_id, r.original_bank_profile_id,
               r.original_treasury_account_id, r.rerouted_bank_profile_id, r.rerouted_treasury_account_id,
               r.rerouted_amount, r.rerouted_currency,
               exists (select from mesh.mesh_reconciliations as later
                        where later.payout_id = r.payout_id and later.version_after > r.version_after
                          and later.outcome is distinct from 'rolled_back') as is_moved_since
          from mesh.mesh_reconciliations as r
         where r.routing_proposal_id = :proposal_id and r.outcome is distinct from 'rolled_back'
    ),
    locked as materialized (
        select p.merchant_id, p.id, p.amount, p.version, p.state, k.reconciliation_id,
               k.original_bank_profile_id, k.original_treasury_account_id,
               case when p.attempts > 0 or p.state = 'in_transit' then 'sent'
                    when p.state not in ('scheduled', 'held', 'pending') then 'ended'
                    when (p.bank_profile_id, p.treasury_account_id)
                         is distinct from (k.rerouted_bank_profile_id, k.rerouted_treasury_account_id)
                      or k.is_moved_since then 'moved_again'
                    when (p.amount, p.currency) is distinct from (k.rerouted_amount, k.rerouted_currency)
                         then 'changed' end as why
          from payments.payouts as p
          join kept as k on k.merchant_id = p.merchant_id and k.payout_id = p.id
         order by p.id
           for update of p
    ),
    restored as (
        update payments.payouts as p
           set bank_profile_id = l.original_bank_profile_id,
               treasury_account_id = l.original_treasury_account_id,
               version = p.version + 1,
               updated_at = now()
          from locked as l
         where p.merchant_id = l.merchant_id and p.id = l.id and p.version = l.version and l.why is null
     returning p.merchant_id, p.id, p.amount, p.state, p.bank_profile_id, l.reconciliation_id
    ),
    told as (
        insert into payments.payout_events
               (merchant_id, payout_id, old_state, new_state, what, actor, detail)
        select merchant_id, id, state, state, 'rerouting_undone', :actor::text,
               jsonb_build_object('bank_profile_id', bank_profile_id, 'proposal_id', :proposal_id::text)
          from restored
    ),
    closed as (
        update mesh.mesh_reconciliations as r
           set reconciliation_status = 'resolved', outcome = 'rolled_back', reconciled_at = now()
          from restored as d
         where r.id = d.reconciliation_id
    )
    select count(*)::int as payouts, coalesce(sum(d.amount), 0)::bigint as value,
           coalesce((array_agg(d.id order by d.id))[1:100000], '{}') as ids,
           (select count(*) from locked as l where l.why is not null)::int as kept,
           coalesce((select array_agg(jsonb_build_object('payout_id', w.id, 'why', w.why) order by w.id)
                       from (select l.id, l.why from locked as l where l.why is not null
                              order by l.id limit 1000) as w), '{}') as reasons
      from restored as d
    """,
    row=RestoredRow,
    locks=Rank.PAYOUT,
)

# What a route moved or brought back, and what waited for a gate to open; all that could go
# now. What was held for want of a bank has one.
LIST_TO_SEND = Query(
    """
    /* control.list_to_send */
    select p.id, p.state = 'held' as is_held
      from (select r.merchant_id, r.payout_id
              from mesh.mesh_reconciliations as r
             where r.routing_proposal_id = :proposal_id
             union
            select w.merchant_id, w.id
              from payments.payouts as w
             where w.bank_profile_id = :opened::text and w.state in ('scheduled', 'held', 'pending')
               and w.currency = :currency and mesh.rail_of(w.destination) = :rail) as moved (merchant_id, id)
      join payments.payouts as p on p.merchant_id = moved.merchant_id and p.id = moved.id
     where p.origin = 'molam' and p.attempts = 0 and p.scheduled_for <= now()
       and (p.state = 'pending' or (p.state = 'held' and p.held_reason = 'no_bank_route'))
     order by p.scheduled_for, p.id
    """,
    row=DueRow,
)

# Of the payouts that are listed, which may move or were moved by this action, and why others
# may not. What nothing speaks against waits for whoever holds it, or for room.
_LISTED_NOW = f"""
    select w.id, p.amount,
           case when p.id is null then 'absent'
                when p.attempts > 0 or p.state = 'in_transit' then 'sent'
                when p.state not in ('scheduled', 'held', 'pending') then 'ended'
                when p.currency <> :currency::text or mesh.rail_of(p.destination) <> :rail::text
                  or not exists (select from tenancy.merchants as m
                                   join mesh.countries_of(:region::text) as here (country)
                                     on here.country = coalesce(p.destination ->> 'country', m.country::text)
                                  where m.id = p.merchant_id) then 'other_lane'
                when p.bank_profile_id <> :from_bank::text then 'elsewhere'
                when {TERMS} <> w.terms then 'changed'"""
_LISTED_IDS = """
      from unnest(:ids::text[], :terms::text[]) as w (id, terms)
      left join payments.payouts as p on p.id = w.id and p.origin = 'molam'"""

LIST_LISTED = Query(
    "/* control.list_listed */"
    + _LISTED_NOW
    + """ end as why"""
    + _LISTED_IDS
    + """
     order by w.id
    """,
    row=ListedRow,
)

LIST_NOT_MOVED = Query(
    "/* control.list_not_moved */"
    + _LISTED_NOW
    + """
                else 'no_room' end as why"""
    + _LISTED_IDS
    + """
     where not exists (select from mesh.mesh_reconciliations as r
                        where r.payout_id = w.id and r.action_log_id = :action_id::text)
     order by w.id
    """,
    row=ListedRow,
)


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A payout as somebody sees it who wants it elsewhere."""

    id: str
    terms: str
    currency: str
    rail: str
    bank_profile_id: str | None


LIST_SEEN = Query(
    f"""
    /* control.list_seen */
    select p.id, {TERMS} as terms, p.currency, mesh.rail_of(p.destination) as rail, p.bank_profile_id
      from payments.payouts as p
     where p.id = any(:ids::text[]) and p.origin = 'molam'
     order by p.id
    """,
    row=SeenRow,
)
