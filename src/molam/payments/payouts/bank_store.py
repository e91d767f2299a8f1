"""The statement that gives new payouts their banks."""

from __future__ import annotations

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing

# Each new payout gets the bank that the route in force gives it, and our account there.
# One without a route keeps none, and gets one when its time comes, or is held then. While a
# bank practises, a share of what would go elsewhere goes to it, as far as it has room; how
# likely each was to go there, or to stay, is noted.
SET_BANKS = Query(
    """
    /* payouts.set_banks */
    with chosen as materialized (
            select distinct on (w.merchant_id, w.id)
                   w.merchant_id, w.id, w.amount, w.currency, r.rail, b.id as bank_profile_id,
                   a.id::text as treasury_account_id
              from payments.payouts w
              join payments.bank_routes r
                on r.replaced_at is null and r.currency = w.currency
               and r.rail = case w.destination ->> 'type'
                            when 'wallet' then 'wallet:' || (w.destination ->> 'provider')
                            else 'bank' end
               and r.min_amount <= w.amount and (r.max_amount is null or r.max_amount >= w.amount)
             cross join lateral unnest(r.bank_profile_ids) with ordinality as step(bank_id, place)
              join payments.bank_profiles b
                on b.id = step.bank_id and b.enabled and b.status = 'active'
               and w.currency = any(b.currency_codes) and r.rail = any(b.rails)
               and not exists (select from payments.bank_gates g
                                where g.bank_profile_id = b.id and g.rail = r.rail
                                  and g.currency = r.currency
                                  and (g.held_until > now()
                                       or (not g.is_open and g.closed_for @> w.amount)))
              left join payments.treasury_accounts a
                on a.bank_profile_id = b.id and a.currency = w.currency
               and a.account_type = 'payout' and a.status = 'active'
             where w.id = any(:ids::text[]) and w.origin = 'molam'
             order by w.merchant_id, w.id, r.min_amount desc, step.place
    ),
    drawn as materialized (
            select c.id, c.amount, c.bank_profile_id, t.id as practice_id, t.to_bank_id, t.to_account_id,
                   t.value_max, t.share, abs(hashtextextended(c.id, 0) % 100) < t.share as is_drawn,
                   (select coalesce(sum(n.amount), 0)
                      from payments.practice_payouts n
                     where n.practice_id = t.id) as before
              from chosen c
              join payments.bank_practices t
                on t.currency = c.currency and t.rail = c.rail and t.from_bank_id = c.bank_profile_id
               and t.ended_at is null and t.ends_at > clock_timestamp() and t.amounts @> c.amount
              join payments.bank_profiles b
                on b.id = t.to_bank_id and b.enabled and b.status = 'active'
             where not exists (select from payments.bank_gates g
                                where g.bank_profile_id = t.to_bank_id and g.rail = t.rail
                                  and g.currency = t.currency
                                  and (g.held_until > now()
                                       or (not g.is_open and g.closed_for @> c.amount)))
    ),
    practising as materialized (
            select d.*, sum(d.amount) over (partition by d.practice_id order by d.amount, d.id) + d.before as upto
              from drawn d
             where d.is_drawn
    ),
    noted as (
            insert into payments.bank_choices (payout_id, bank_profile_id, propensity)
            select d.id, case when d.is_drawn then d.to_bank_id else d.bank_profile_id end,
                   case when d.is_drawn then d.share else 100 - d.share end / 100.0
              from drawn d
              left join practising t on t.id = d.id
             where coalesce(t.upto, d.before + d.amount) <= d.value_max
                on conflict (payout_id) do nothing
    ),
    given as (
            insert into payments.practice_payouts
                   (payout_id, practice_id, original_bank_id, original_account_id, amount)
            select c.id, t.practice_id, c.bank_profile_id, c.treasury_account_id, c.amount
              from practising t
              join chosen c on c.id = t.id
             where t.upto <= t.value_max
    )
    update payments.payouts p
       set bank_profile_id = coalesce(t.to_bank_id, c.bank_profile_id),
           treasury_account_id = coalesce(t.to_account_id, c.treasury_account_id)
      from chosen c
      left join practising t on t.id = c.id and t.upto <= t.value_max
     where p.merchant_id = c.merchant_id and p.id = c.id
    """,
    row=Nothing,
)
