"""Pieces that the statements of matching share: what is ours, and what a match posts."""

from __future__ import annotations

ATTEMPT = """
    'attempt:' || a.id as expectation, a.kind, a.object_id, a.merchant_id, a.id as attempt_id,
    case when o.is_return or o.amount > 0 then 'returned' else 'sent' end as leg,
    case when o.is_return or o.amount > 0 then a.amount else -a.amount end as due,
    (a.sent_at at time zone 'UTC')::date as day, a.state as attempt_state
"""
PAYMENT = """
    'payment:' || t.merchant_id || '/' || t.id, 'collection', t.id, t.merchant_id, null::uuid, 'sent',
    t.amount, (t.occurred_at at time zone 'UTC')::date, t.state
"""
NAME_FITS = """
    ((length(payments.plain_name(%(holder)s)) >= 4
      and position(payments.plain_name(%(holder)s) in payments.plain_name(o.counterparty || ' ' || o.text)) > 0)
     or (length(%(account)s) >= 8
         and position(right(payments.plain_name(%(account)s), 9)
                      in payments.plain_name(o.counterparty || ' ' || o.text)) > 0))
"""
HOLDER = {
    "holder": "coalesce(a.destination ->> 'holder', '')",
    "account": "coalesce(a.destination ->> 'iban', a.destination ->> 'account_number', a.destination ->> 'phone', '')",
}
CUSTOMER = {
    "holder": "coalesce(t.customer ->> 'name', '')",
    "account": "coalesce(t.customer ->> 'phone', '')",
}

# Money that came in is taken from the bank's account, which stands for the world outside,
# and given to whoever owed it to us; the other way round for money that went out. What
# payouts move is posted by payouts, and what we move between our own accounts by whoever did.
POSTED = """
    posted as (
        select m.id, m.line_id, p.step, p.amount, p.counter, p.cause,
               greatest(m.booked_on, coalesce(b.closed_through + 1, m.booked_on)) as day
          from made as m
          join payments.books as b on b.bank_profile_id = :bank_profile_id and b.currency = :currency
         cross join lateral (values
               ('main', case when m.kind in ('payout', 'transfer') then 0 else m.amount - m.difference end,
                case m.kind when 'fee' then 'fees:bank:' || :bank_profile_id
                            when 'write_off' then 'suspense:bank:' || :bank_profile_id
                            else 'customers:wallet' end,
                case m.kind when 'fee' then 'bank_fee' when 'write_off' then 'bank_difference'
                            else 'bank_' || m.kind end),
               ('difference', m.difference,
                case when m.difference < 0 then 'fees:bank:' else 'suspense:bank:' end || :bank_profile_id,
                case when m.difference < 0 then 'bank_fee' else 'bank_difference' end),
               ('fee', -m.fee, 'fees:bank:' || :bank_profile_id, 'bank_fee')
               ) as p(step, amount, counter, cause)
         where p.amount <> 0
    )
    select (select count(*) from made) as matches,
           coalesce((select json_agg(json_build_object(
               'id', payments.uuid_of('statement/' || p.id || '/' || p.step),
               'source', case when p.amount > 0 then 'banks:' || :bank_profile_id else p.counter end,
               'target', case when p.amount > 0 then p.counter else 'banks:' || :bank_profile_id end,
               'amount', abs(p.amount), 'currency', :currency, 'merchant_id', null, 'cause', p.cause,
               'cause_id', 'line:' || p.line_id,
               'occurred_at', to_char(p.day, 'YYYY-MM-DD') || 'T12:00:00Z') order by p.id, p.step)
               from posted as p), '[]'::json)::text as transfers,
           (select count(*) from made where attempt_id is not null) as untold
"""
