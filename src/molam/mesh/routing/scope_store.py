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
# Note [What people agree to]
#
# Whoever lists payouts agrees to pay so much to that account from this one of ours. A
# payout that merely falls due or is held for a while is still that payout, although its
# version is another; one with another amount, payee or bank is not. A digest binds it:
# the payee's account number is nobody's to read in a proposal.
TERMS = """
       left(encode(sha256(convert_to(jsonb_build_array(p.id, p.amount, p.currency, p.destination,
                p.bank_profile_id, p.treasury_account_id)::text, 'UTF8')), 'hex'), 32)"""
# Those that a proposal lists, if it lists any: each on the terms that were agreed to. The
# first condition finds them, the second is about those alone.
LISTED = f"""
       and (:only::text[] is null or p.id = any(:only::text[])
            and (p.id, {TERMS}) in (select * from unnest(:only::text[], :terms::text[])))"""
PAYOUTS_IN_SCOPE = FROM_PAYOUTS + IN_SCOPE
