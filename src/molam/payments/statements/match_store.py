"""Finds out by tiers what the lines of a bank are."""

from __future__ import annotations

from dataclasses import dataclass

from molam.payments.statements.match_sql_store import (
    POSTED,
)
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class SettingRow:
    state: str


@dataclass(frozen=True, slots=True)
class MadeRow:
    matches: int
    transfers: str
    """A JSON array, as the ledger posts it."""
    untold: int


# Note [Statistics come late]
#
# A statement is matched in the moment it was stored, when PostgreSQL still takes its
# 200,000 lines for a handful and would compare each with everything of ours in turn. So
# nested loops are switched off for this one statement; what has an index is found by
# `any(array(...))`, which needs no join, and whatever is left is joined by hashing.
HASH_ONLY = Query(
    """
    /* statements.hash_only */
    select set_config('statement_timeout', '30s', true) as state
      from set_config('enable_nestloop', :state, true)
    """,
    row=SettingRow,
)

_OPEN = """
    open as materialized (
        select l.id, l.statement_id, l.booked_on, l.amount, l.fee, l.bank_ref, l.end_to_end_id, l.named_key,
               l.is_return, l.is_fee, payments.plain_name(l.counterparty || ' ' || l.text) as names
          from payments.statement_lines as l
         where l.bank_profile_id = :bank_profile_id and l.currency = :currency
           and l.state in ('posted', 'mismatched')
    )
"""
_OURS = """
    rules as materialized (
        select coalesce(max(tolerance_minor), 100) as tolerance_minor,
               coalesce(max(tolerance_basis_points), 50) as basis_points,
               coalesce(max(window_days), 2) as window_days,
               coalesce((select collects from payments.statement_rules
                          where bank_profile_id = :bank_profile_id), '{}') as collects
          from payments.statement_rules
         where bank_profile_id = :bank_profile_id
    ),
    keys as materialized (
        select id as line_id, end_to_end_id as key, 1 as sort from open where end_to_end_id <> ''
         union all
        select id, bank_ref, 2 from open where bank_ref <> ''
         union all
        select id, named_key, 3 from open where named_key <> ''
    ),
    attempts as materialized (
        select 'attempt:' || a.id as expectation, a.kind, a.object_id, a.merchant_id, a.id as attempt_id, a.amount,
               a.outward_key, a.wire_key, coalesce(a.provider_ref, '') as provider_ref, a.state,
               (a.sent_at at time zone 'UTC')::date as day,
               payments.plain_name(coalesce(a.destination ->> 'holder', '')) as holder,
               payments.plain_name(coalesce(a.destination ->> 'iban', a.destination ->> 'account_number',
                                            a.destination ->> 'phone', '')) as account
          from payments.bank_attempts as a
         where a.bank_profile_id = :bank_profile_id and a.currency = :currency and a.state <> 'rejected'
           and (a.sent_at >= (select min(booked_on) - 31 from open)::timestamp at time zone 'UTC'
                and a.sent_at < (select max(booked_on) + 32 from open)::timestamp at time zone 'UTC'
                or a.outward_key = any(array(select key from keys)))
    ),
    payments_due as materialized (
        select 'payment:' || t.merchant_id || '/' || t.id as expectation, t.id as object_id, t.merchant_id, t.amount,
               (t.occurred_at at time zone 'UTC')::date as day, t.state,
               payments.plain_name(coalesce(t.customer ->> 'name', '')) as holder,
               payments.plain_name(coalesce(t.customer ->> 'phone', '')) as account
          from payments.wallet_transactions as t
         where t.type = 'payment' and t.state = 'succeeded' and not t.imported and t.currency = :currency
           and t.provider = any(array(select unnest(collects) from rules))
           and (t.occurred_at >= (select min(booked_on) - 31 from open)::timestamp at time zone 'UTC'
                and t.occurred_at < (select max(booked_on) + 32 from open)::timestamp at time zone 'UTC'
                or t.id = any(array(select key from keys)))
    )
"""
_ATTEMPT = """
    a.expectation, a.kind, a.object_id, a.merchant_id, a.attempt_id,
    case when o.is_return or o.amount > 0 then 'returned' else 'sent' end as leg,
    case when o.is_return or o.amount > 0 then a.amount else -a.amount end as due, a.day, a.state as attempt_state
"""
_PAYMENT = "t.expectation, 'collection', t.object_id, t.merchant_id, null::uuid, 'sent', t.amount, t.day, t.state"
# A name of four letters or an account's last nine digits somewhere in what the bank says.
_FITS = """
    ((length(%(ours)s.holder) >= 4 and position(%(ours)s.holder in o.names) > 0)
     or (length(%(ours)s.account) >= 8 and position(right(%(ours)s.account, 9) in o.names) > 0))
"""

# Whatever a line might be, best tier first. The reference that we gave alone decides the
# first tier; the second goes by what the bank or its text says, with the amount; the last
# by amount, day and name, and only where nothing else would fit as well.
_PAIRS = f"""
    pairs as materialized (
        select o.id as line_id, {_ATTEMPT}, 'exact_ref' as tier, 1.0 as score
          from open as o
          join attempts as a on a.outward_key = o.end_to_end_id
         union all
        select o.id, {_ATTEMPT}, 'exact_ref', 1.0
          from open as o
          join attempts as a on a.wire_key = o.end_to_end_id
         where a.wire_key <> a.outward_key
         union all
        select o.id, {_ATTEMPT}, 'provider_ref', 0.95
          from open as o
          join keys as k on k.line_id = o.id and k.sort < 3
          join attempts as a on a.provider_ref = k.key
         union all
        select o.id, {_ATTEMPT}, 'provider_ref', 0.92
          from open as o
          join attempts as a on a.outward_key = o.named_key
         union all
        select o.id, {_PAYMENT}, 'provider_ref', 0.95
          from open as o
          join keys as k on k.line_id = o.id and k.sort < 3
          join payments_due as t on t.object_id = k.key
         where o.amount > 0
         union all
        select o.id, {_ATTEMPT}, 'fuzzy_amount_date', 0.9 - 0.01 * abs(o.booked_on - a.day)
          from open as o
          join attempts as a on a.amount = abs(o.amount)
         where not o.is_fee and o.end_to_end_id not like 'payout-%' and o.end_to_end_id not like 'refund-%'
           and abs(o.booked_on - a.day) <= (select window_days from rules) and {_FITS % {"ours": "a"}}
         union all
        select o.id, {_PAYMENT}, 'fuzzy_amount_date', 0.9 - 0.01 * abs(o.booked_on - t.day)
          from open as o
          join payments_due as t on t.amount = o.amount
         where not o.is_fee
           and abs(o.booked_on - t.day) <= (select window_days from rules) and {_FITS % {"ours": "t"}}
    ),
    taken as materialized (
        select m.expectation, m.leg
          from payments.statement_matches as m
         where m.expectation = any(array(select expectation from pairs)) and m.undone_at is null
    )
"""

# A line takes the best that fits it, an expectation the best of the lines that want it; a
# pair is made where both choose each other, and what is left over waits for another round.
_CHOSEN = """
    fitting as (
        select p.*, o.statement_id, o.amount, o.fee, o.booked_on, o.amount - p.due as difference,
               row_number() over (partition by p.line_id order by p.score desc, p.day, p.expectation) as of_line,
               row_number() over (partition by p.expectation, p.leg
                                  order by p.score desc, o.booked_on, p.line_id) as of_ours,
               count(*) over (partition by p.line_id, p.tier) as rivals_of_line,
               count(*) over (partition by p.expectation, p.leg, p.tier) as rivals_of_ours
          from pairs as p
          join open as o on o.id = p.line_id
         where (o.amount = p.due
                or (o.amount < p.due
                    and p.due - o.amount <= least((select tolerance_minor from rules),
                                                  abs(p.due) * (select basis_points from rules) / 10000)))
           and not exists (select from taken as k where k.expectation = p.expectation and k.leg = p.leg)
           -- What did not leave by this bank's own word cannot come back.
           and (p.leg = 'sent' or p.attempt_state <> 'sending')
    ),
    chosen as (
        select c.line_id, c.statement_id, c.booked_on, c.kind, c.expectation, c.leg, c.attempt_id, c.object_id,
               c.merchant_id, c.amount, c.fee, c.difference, c.tier, c.score,
               jsonb_build_object(
               'en', case c.tier
                     when 'exact_ref' then 'The bank gives the reference that we sent with it'
                     when 'provider_ref' then 'The bank\u2019s own reference and the amount are the same'
                     else format('Same amount, same name, %s days apart, and nothing else fits',
                                 abs(c.booked_on - c.day)) end
                     || case when c.difference < 0 then format('; the bank kept back %s', -c.difference) else '' end
                     || case when c.leg = 'returned' then '; it brings the money back.' else '.' end,
               'fr', case c.tier
                     when 'exact_ref' then 'La banque donne la référence envoyée avec le paiement'
                     when 'provider_ref' then 'La référence de la banque et le montant sont les mêmes'
                     else format('Même montant, même nom, %s jours d\u2019écart, et rien d\u2019autre ne convient',
                                 abs(c.booked_on - c.day)) end
                     || case when c.difference < 0 then format('\u202f; la banque a retenu %s', -c.difference) else '' end
                     || case when c.leg = 'returned' then '\u202f; elle rend l\u2019argent.' else '.' end
               ) as explanation
          from fitting as c
         where c.of_line = 1 and c.of_ours = 1
           and (c.tier <> 'fuzzy_amount_date' or (c.rivals_of_line = 1 and c.rivals_of_ours = 1))
         union all
        select o.id, o.statement_id, o.booked_on, 'fee', null, 'sent', null, null, null, o.amount, o.fee, 0, 'fee', 1.0,
               jsonb_build_object('en', 'The bank\u2019s own charge; it stands in the books as a fee.',
                                  'fr', 'Frais propres de la banque\u202f; ils sont comptés comme frais.')
          from open as o
         where o.is_fee and o.amount < 0
    )
"""

# The account's books are locked, so nothing else can match these lines meanwhile.
MATCH_LINES = Query(
    f"""
    /* statements.match_lines */
    with {_OPEN}, {_OURS}, {_PAIRS}, {_CHOSEN},
    inserted as (
        insert into payments.statement_matches
               (line_id, statement_id, bank_profile_id, currency, kind, expectation, leg, attempt_id, object_id,
                merchant_id, amount, fee, difference, tier, score, explanation, matched_by)
        select line_id, statement_id, :bank_profile_id::text, :currency::text, kind, expectation, leg, attempt_id,
               object_id, merchant_id, amount, fee, difference, tier, score, explanation, 'system'
          from chosen
            on conflict do nothing
     returning id, line_id, kind, attempt_id, amount, fee, difference
    ),
    marked as (
        update payments.statement_lines as l
           set state = 'matched', mismatch = null
         where l.id = any(array(select line_id from inserted))
     returning l.id, l.booked_on
    ),
    made as (select n.*, k.booked_on from inserted as n join marked as k on k.id = n.line_id),
    {POSTED}
    """,
    row=MadeRow,
)

# What is left and names something of ours: why it was not taken for that.
SET_MISMATCHED = Query(
    f"""
    /* statements.set_mismatched */
    with {_OPEN},
    keys as materialized (
        select id as line_id, end_to_end_id as key from open
         where end_to_end_id like 'payout-%' or end_to_end_id like 'refund-%'
         union
        select id, named_key from open where named_key <> ''
    ),
    meant as materialized (
        select a.id, a.outward_key, a.state, a.bank_profile_id, a.currency, a.amount
          from payments.bank_attempts as a
         where a.outward_key = any(array(select key from keys))
    ),
    taken as materialized (
        select m.attempt_id, m.leg
          from payments.statement_matches as m
         where m.expectation = any(array(select 'attempt:' || id from meant)) and m.undone_at is null
    ),
    named as (
        select o.id, a.state as attempt_state, a.bank_profile_id as their_bank, a.currency as their_currency,
               a.amount = abs(o.amount) as same_amount, t.attempt_id is not null as taken,
               o.amount > 0 and a.state in ('sending', 'rejected') as wrong_way
          from open as o
          join keys as k on k.line_id = o.id
          join meant as a on a.outward_key = k.key
          left join taken as t on t.attempt_id = a.id
           and t.leg = case when o.is_return or o.amount > 0 then 'returned' else 'sent' end
    ),
    said as (
        select id, min(case when their_bank <> :bank_profile_id then 6
                            when their_currency <> :currency then 5
                            when taken then 4
                            when wrong_way then 3
                            when attempt_state = 'rejected' then 2
                            when not same_amount then 1 end) as why
          from named
         group by id
    )
    update payments.statement_lines as l
       set state = 'mismatched',
           mismatch = (array['amount', 'refused', 'direction', 'duplicate', 'currency', 'other_bank'])[s.why]
      from said as s
     where l.id = s.id and l.id = any(array(select id from said)) and s.why is not null
       and (l.state <> 'mismatched'
            or l.mismatch is distinct from
               (array['amount', 'refused', 'direction', 'duplicate', 'currency', 'other_bank'])[s.why])
    """,
    row=Nothing,
)
