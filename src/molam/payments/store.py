"""The statements that take in what wallets report; list_store.py has those that show it."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What one batch changed; *transfers* is JSON text for the ledger, None when empty."""

    rows: int
    transfers: str | None
    refunded: str | None
    merchants: list[str] | None


@dataclass(frozen=True, slots=True)
class TopicsRow:
    topics: list[str | None]


@dataclass(frozen=True, slots=True)
class EventsRow:
    events: str | None
    count: int


# Two consumers of one batch each could otherwise insert the same new fact at once
# (created and succeeded travel on different topics). 256 stripes bound the locks
# a batch holds; they are taken in order, so two batches cannot deadlock.
LOCK_MERCHANTS = Query(
    """
    /* payments.lock_merchants */
    with told as materialized (
        select e.type, hashtext(e.data ->> 'merchant_id') & 255 as stripe
          from json_to_recordset(:events::json) as e(type text, data json)
    ),
    locked as materialized (
        select pg_advisory_xact_lock(1886217588, stripe)
          from (select distinct stripe from told where stripe is not null order by 1) as stripes
    )
    select coalesce(array_agg(distinct t.type), '{}') as topics
      from told t, (select count(*) from locked) as held
    """,
    row=TopicsRow,
    locks=Rank.PAYMENT,
)

# Note [Read before you write]
#
# A statement that compares old rows with new reads the old ones in a CTE that
# locks them. PostgreSQL evaluates a CTE when it is first needed, and a lock on a
# row that the same statement has already changed yields nothing; so the insert
# joins that CTE (its last ordering column), which makes it come first.

# What a fact has posted is compared with what it should have posted, and the
# difference is moved, once for each step the fact takes: what decides between two
# reports of it also names the transfer, so that a second correction of the same
# version moves money of its own.
STORE_TRANSACTIONS = Query(
    """
    /* payments.store_transactions */
    with latest as materialized (
        select distinct on (merchant_id, kind, id)
               merchant_id, kind, id, version, state, rank, amount, fee, currency, ledger_transfer_id,
               min(occurred_at) over fact as first_at,
               max(reference_code) over fact as reference_code,
               max(provider) over fact as provider,
               coalesce(max(nullif(channel, 'wallet')) over fact, channel) as channel,
               max(reason) over fact as reason,
               max(original_id) over fact as original_id,
               payments.merged(customer) over fact as customer,
               payments.merged(metadata) over fact as metadata
          from payments.facts_in(:events::json) as f
         where kind in ('payment', 'refund') or kind is null
        window fact as (partition by merchant_id, kind, id)
         order by merchant_id, kind, id, version desc, rank desc, amount desc, fee desc, currency desc
    ),
    before as materialized (
        select w.merchant_id, w.type, w.id, w.currency, w.posted_amount, w.posted_fee,
               w.state, w.amount
          from payments.wallet_transactions w
          join latest l on w.merchant_id = l.merchant_id and w.type = l.kind and w.id = l.id
           for update of w
    ),
    written as (
        insert into payments.wallet_transactions as w
               (merchant_id, id, type, state, amount, currency, fee_molam, reference_code, channel,
                provider, occurred_at, customer, metadata, reason, original_id, version, imported,
                refunded_amount, posted_amount, posted_fee)
        select l.merchant_id, l.id, l.kind, l.state, l.amount, l.currency, l.fee, l.reference_code,
               l.channel, l.provider, l.first_at, l.customer, l.metadata, l.reason, l.original_id,
               l.version, false,
               case l.kind when 'payment' then coalesce(
                   (select sum(r.amount)
                      from payments.wallet_transactions r
                     where r.merchant_id = l.merchant_id and r.type = 'refund'
                       and r.original_id = l.id and r.state = 'succeeded'), 0) else 0 end,
               case when l.state = 'succeeded' and l.ledger_transfer_id is null then l.amount else 0 end,
               case when l.state = 'succeeded' and l.ledger_transfer_id is null then l.fee else 0 end
          from latest l
          left join before b on b.merchant_id = l.merchant_id and b.type = l.kind and b.id = l.id
         order by l.merchant_id, l.kind, l.id, b.id
            on conflict (merchant_id, type, id) do update
           set (state, amount, currency, fee_molam, version, posted_amount, posted_fee, imported) = (
                   select case when wins then excluded.state else w.state end,
                          case when wins then excluded.amount else w.amount end,
                          case when wins then excluded.currency else w.currency end,
                          case when wins then excluded.fee_molam else w.fee_molam end,
                          case when wins then excluded.version else w.version end,
                          case when wins then excluded.posted_amount else w.posted_amount end,
                          case when wins then excluded.posted_fee else w.posted_fee end,
                          case when wins then false else w.imported end
                     from (select (excluded.version, payments.state_rank(excluded.state), excluded.amount,
                                   excluded.fee_molam, excluded.currency)
                                > (w.version, payments.state_rank(w.state), w.amount,
                                   w.fee_molam, w.currency) as wins) as decided),
               occurred_at = least(w.occurred_at, excluded.occurred_at),
               reference_code = greatest(w.reference_code, excluded.reference_code),
               provider = greatest(w.provider, excluded.provider),
               channel = case when w.channel = 'wallet' then excluded.channel
                              when excluded.channel = 'wallet' then w.channel
                              else greatest(w.channel, excluded.channel) end,
               reason = greatest(w.reason, excluded.reason),
               original_id = greatest(w.original_id, excluded.original_id),
               customer = excluded.customer || w.customer,
               metadata = excluded.metadata || w.metadata,
               updated_at = now()
         where (excluded.version, payments.state_rank(excluded.state), excluded.amount,
                excluded.fee_molam, excluded.currency)
             > (w.version, payments.state_rank(w.state), w.amount, w.fee_molam, w.currency)
            or excluded.occurred_at < w.occurred_at
            or not w.customer @> excluded.customer
            or not w.metadata @> excluded.metadata
            or (w.reference_code, w.provider, w.reason, w.original_id) is distinct from
               (greatest(w.reference_code, excluded.reference_code), greatest(w.provider, excluded.provider),
                greatest(w.reason, excluded.reason), greatest(w.original_id, excluded.original_id))
     returning merchant_id, type, id, currency, posted_amount, posted_fee, occurred_at, original_id,
               concat_ws('|', version, state, amount, fee_molam, currency) as step
    ),
    owed as (
        select merchant_id, type, id, currency, step, occurred_at,
               posted_amount as amount, posted_fee as fee
          from written
         union all
        select b.merchant_id, b.type, b.id, b.currency, w.step, w.occurred_at,
               -b.posted_amount, -b.posted_fee
          from before b join written w using (merchant_id, type, id)
    ),
    movement as (
        select merchant_id, type, id, currency, step, max(occurred_at) as occurred_at,
               sum(amount)::bigint as amount, sum(fee)::bigint as fee
          from owed
         group by merchant_id, type, id, currency, step
        having sum(amount) <> 0 or sum(fee) <> 0
    ),
    transfer as (
        select md5(concat_ws('|', merchant_id, type, id, step, currency, 'amount'))::uuid as id,
               merchant_id, type, id as cause_id, currency, occurred_at, amount, 'customers:wallet' as outside,
               case type when 'payment' then amount else -amount end as inward
          from movement where amount <> 0
         union all
        select md5(concat_ws('|', merchant_id, type, id, step, currency, 'fee'))::uuid,
               merchant_id, type || '_fee', id, currency, occurred_at, fee, 'molam:fees', -fee
          from movement where fee <> 0
    )
    select (select count(*) from written) as rows,
           (select json_agg(json_build_object(
                       'id', id,
                       'source', case when inward > 0 then outside else 'available' end,
                       'target', case when inward > 0 then 'available' else outside end,
                       'amount', abs(amount), 'currency', currency, 'merchant_id', merchant_id,
                       'cause', type, 'cause_id', cause_id, 'occurred_at', occurred_at))
              from transfer)::text as transfers,
           (select json_agg(json_build_object('merchant_id', merchant_id, 'id', original_id))
              from written where type = 'refund' and original_id is not null)::text as refunded,
           (select array_agg(distinct merchant_id) from written) as merchants
    """,
    row=StoredRow,
)

# In a statement of its own, so that it sees a payment that came in the same batch.
SET_REFUNDED = Query(
    """
    /* payments.set_refunded */
    update payments.wallet_transactions p
       set refunded_amount = r.amount, updated_at = now()
      from (select o.merchant_id, o.id,
                   coalesce(sum(w.amount) filter (where w.state = 'succeeded'), 0)::bigint as amount
              from (select distinct merchant_id, id
                      from json_to_recordset(:refunded::json) as t(merchant_id text, id text)) as o
              left join payments.wallet_transactions w
                on w.merchant_id = o.merchant_id and w.type = 'refund' and w.original_id = o.id
             group by o.merchant_id, o.id) as r
     where p.merchant_id = r.merchant_id and p.type = 'payment' and p.id = r.id
       and p.refunded_amount <> r.amount
    """,
    row=Nothing,
)

# Payouts keep one amount each, and post it to one account outside.
_LATEST = """
        select distinct on (merchant_id, id)
               merchant_id, id, version, state, rank, amount, fee, currency, ledger_transfer_id,
               min(occurred_at) over fact as first_at,
               max(reason) over fact as reason,
               max(original_id) over fact as original_id,
               payments.merged(metadata) over fact as metadata
          from payments.facts_in(:events::json) as f
         where kind = '{kind}'
        window fact as (partition by merchant_id, id)
         order by merchant_id, id, version desc, rank desc, amount desc, fee desc, currency desc"""

_MOVED = """
    movement as (
        select merchant_id, id, currency, step, max(occurred_at) as occurred_at,
               sum(amount)::bigint as amount
          from (select merchant_id, id, currency, step, occurred_at, posted_amount as amount
                  from written
                 union all
                select b.merchant_id, b.id, b.currency, w.step, w.occurred_at, -b.posted_amount
                  from before b join written w using (merchant_id, id)) as owed
         group by merchant_id, id, currency, step
        having sum(amount) <> 0
    )
    select (select count(*) from written) as rows,
           (select json_agg(json_build_object(
                       'id', md5(concat_ws('|', merchant_id, '{kind}', id, step, currency))::uuid,
                       'source', case when amount > 0 then 'available' else '{outside}' end,
                       'target', case when amount > 0 then '{outside}' else 'available' end,
                       'amount', abs(amount), 'currency', currency, 'merchant_id', merchant_id,
                       'cause', '{kind}', 'cause_id', id, 'occurred_at', occurred_at))
              from movement)::text as transfers,
           null::text as refunded,
           (select array_agg(distinct merchant_id) from written) as merchants"""

# Our own payouts are not for wallets to change, whoever's word it is: those rows stay.
STORE_PAYOUTS = Query(
    """
    /* payments.store_payouts */
    with latest as materialized ("""
    + _LATEST.replace("{kind}", "payout")
    + """
    ),
    before as materialized (
        select p.merchant_id, p.id, p.currency, p.posted_amount
          from payments.payouts p
          join latest l on p.merchant_id = l.merchant_id and p.id = l.id
           for update of p
    ),
    written as (
        insert into payments.payouts as p
               (merchant_id, id, state, amount, currency, fee, occurred_at, metadata, version, posted_amount)
        select l.merchant_id, l.id, state, amount, l.currency, fee, first_at, metadata, version,
               case when state not in ('failed', 'cancelled', 'returned') and ledger_transfer_id is null
                    then amount else 0 end
          from latest l
          left join before b on b.merchant_id = l.merchant_id and b.id = l.id
         order by l.merchant_id, l.id, b.id
            on conflict (merchant_id, id) do update
           set (state, amount, currency, fee, version, posted_amount) = (
                   select case when wins then excluded.state else p.state end,
                          case when wins then excluded.amount else p.amount end,
                          case when wins then excluded.currency else p.currency end,
                          case when wins then excluded.fee else p.fee end,
                          case when wins then excluded.version else p.version end,
                          case when wins then excluded.posted_amount else p.posted_amount end
                     from (select (excluded.version, payments.state_rank(excluded.state), excluded.amount,
                                   excluded.fee, excluded.currency)
                                > (p.version, payments.state_rank(p.state), p.amount, p.fee,
                                   p.currency) as wins) as decided),
               occurred_at = least(p.occurred_at, excluded.occurred_at),
               metadata = excluded.metadata || p.metadata,
               updated_at = now()
         where p.origin = 'reported'
           and ((excluded.version, payments.state_rank(excluded.state), excluded.amount, excluded.fee, excluded.currency)
                > (p.version, payments.state_rank(p.state), p.amount, p.fee, p.currency)
                or excluded.occurred_at < p.occurred_at
                or not p.metadata @> excluded.metadata)
     returning merchant_id, id, currency, posted_amount, occurred_at,
               concat_ws('|', version, state, amount, fee, currency) as step
    ),"""
    + _MOVED.replace("{kind}", "payout").replace("{outside}", "payouts:sent"),
    row=StoredRow,
)

# Imported history posts nothing, and never replaces what a wallet reported.
STORE_IMPORTED = Query(
    """
    /* payments.store_imported */
    with latest as materialized (
        select distinct on (merchant_id, kind, id) f.*
          from payments.facts_in(:events::json) as f
         where kind in ('payment', 'refund') or kind is null
         order by merchant_id, kind, id, version desc, rank desc, amount desc, fee desc, currency desc
    ),
    written as (
        insert into payments.wallet_transactions
               (merchant_id, id, type, state, amount, currency, fee_molam, reference_code, channel,
                provider, occurred_at, customer, metadata, reason, original_id, version, imported)
        select merchant_id, id, kind, state, amount, currency, fee, reference_code, channel,
               provider, occurred_at, customer, metadata, reason, original_id, version, true
          from latest
         order by merchant_id, kind, id
            on conflict (merchant_id, type, id) do nothing
     returning merchant_id, type, original_id
    )
    select (select count(*) from written) as rows,
           null::text as transfers,
           (select json_agg(json_build_object('merchant_id', merchant_id, 'id', original_id))
              from written where type = 'refund' and original_id is not null)::text as refunded,
           (select array_agg(distinct merchant_id) from written) as merchants
    """,
    row=StoredRow,
)

TELL_MERCHANTS = Query(
    """
    /* payments.tell_merchants */
    select pg_notify('transactions', m) from unnest(:merchants::text[]) as m
    """,
    row=Nothing,
)

# Shaped as the events they stand for, so that the sweep takes the road of every
# other fact. The version stays: a decision that arrives later still wins.
FIND_ABANDONED = Query(
    """
    /* payments.find_abandoned */
    select json_agg(json_build_object('type', 'wallet_txn_created', 'data', json_build_object(
               'transaction_id', id, 'merchant_id', merchant_id, 'amount', amount,
               'currency', currency, 'fee_molam', fee_molam, 'status', 'abandoned',
               'version', version, 'occurred_at', occurred_at, 'channel', channel,
               'provider', provider)))::text as events,
           count(*) as count
      from (select id, merchant_id, amount, currency, fee_molam, version, occurred_at, channel, provider
              from payments.wallet_transactions
             where state = 'pending' and type = 'payment' and not imported
               and occurred_at < now() - interval '24 hours'
             order by occurred_at
             limit :limit) as undecided
    """,
    row=EventsRow,
)
