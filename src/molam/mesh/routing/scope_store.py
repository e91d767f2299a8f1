"""Which payouts a route is about, in SQL that whatever moves or counts them shares."""

from __future__ import annotations

# A payout is paid in the country of its account; a wallet, in its merchant's. Those that
# wait are scheduled, held or pending: whatever is under way or in doubt belongs to the bank
# that has it. Parameters: region, currency, rail, min_amount, max_amount.
FROM_PAYOUTS = """
      from payments.payouts as p
      join tenancy.merchants as m on m.id = p.merchant_id
      join mesh.countries_of(:region::text) as here (country)
        on here.country = coalesce(p.destination ->> 'country', m.country::text)"""
IN_SCOPE = """
     where p.origin = 'molam' and p.state in ('scheduled', 'held', 'pending')
       and p.currency = :currency::text
       and mesh.rail_of(p.destination) = :rail::text
       and p.amount >= :min_amount::bigint
       and (:max_amount::bigint is null or p.amount <= :max_amount::bigint)"""
# Those that a proposal lists, if it lists any: each in the version that was agreed to.
LISTED = """
       and (:only::text[] is null or p.id || '/' || p.version = any(:only::text[]))"""
PAYOUTS_IN_SCOPE = FROM_PAYOUTS + IN_SCOPE
