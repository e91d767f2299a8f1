"""The statements that add up what happened by the hour."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class LockedRow:
    held: bool


@dataclass(frozen=True, slots=True)
class TouchedRow:
    """*touched* is a JSON array of whose hours to add up again; *marks* is how many were taken."""

    touched: str | None
    marks: int


# Note [Marks first, then what they mark]
#
# A mark commits with what it marks. Under READ COMMITTED each statement sees what was
# committed when it began: whoever takes the marks in one statement and adds up in a later
# one cannot miss what a taken mark stands for. What commits in between left a mark of its
# own, which the next run takes. Adding up replaces; doing it twice changes nothing.
#
# Marks are taken by the hour: what is rolled up afterwards are whole hours, and a batch that
# has few of them rolls up little.
#
# Two runs at once would each replace the other's sums of a region or of the platform, so
# the second waits.

LOCK = Query(
    """
    /* dashboard.lock_aggregates */
    select pg_advisory_xact_lock(1684107112) is not null as held
    """,
    row=LockedRow,
    locks=Rank.KPI_BUCKET,
)

TAKE_MARKS = Query(
    """
    /* dashboard.take_marks */
    with taken as (
        delete from payments.touched_hours
         where id in (select id from payments.touched_hours order by hour limit :marks_max for update skip locked)
     returning tenant_type, tenant_id, currency, hour
    )
    select (select json_agg(t) from (select distinct * from taken) as t)::text as touched,
           (select count(*) from taken) as marks
    """,
    row=TouchedRow,
    locks=Rank.KPI_BUCKET,
)

TOUCH_RANGE = Query(
    """
    /* dashboard.touch_range */
    insert into payments.touched_hours (tenant_type, tenant_id, currency, hour)
    select 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC')
      from payments.wallet_transactions
     where occurred_at >= :begins and occurred_at < :ends
     union
    select 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC')
      from payments.payouts
     where occurred_at >= :begins and occurred_at < :ends
     union
    select 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC')
      from payments.disputes
     where occurred_at >= :begins and occurred_at < :ends
     union
    select 'bank', bank_profile_id, currency, date_trunc('hour', occurred_at, 'UTC')
      from payments.payouts
     where occurred_at >= :begins and occurred_at < :ends and bank_profile_id is not null
     union
    select 'bank', bank_profile_id, currency, booked_on::timestamp at time zone 'UTC'
      from payments.statement_lines
     where booked_on >= (:begins at time zone 'UTC')::date and booked_on < (:ends at time zone 'UTC')::date + 1
     union
    select tenant_type, tenant_id, currency, bucket_ts
      from ops.dash_aggregates_hourly
     where tenant_type in ('merchant', 'bank') and bucket_ts >= :begins and bucket_ts < :ends
     union
    select tenant_type, coalesce(tenant_id, ''), currency, bucket_ts
      from ops.dash_reported_hourly
     where bucket_ts >= :begins and bucket_ts < :ends
    """,
    row=Nothing,
)

_TOUCHED = """
        select distinct tenant_id, currency, hour
          from json_to_recordset(:touched::json)
               as t(tenant_type text, tenant_id text, currency text, hour timestamptz)
         where tenant_type = """

# An agent's row stays, for the float that was seen in that hour.
CLEAR = Query(
    """
    /* dashboard.clear_hours */
    with touched as (
        select distinct tenant_type, tenant_id, currency, hour
          from json_to_recordset(:touched::json)
               as t(tenant_type text, tenant_id text, currency text, hour timestamptz)
    ),
    cleared as (
        delete from ops.dash_customer_hours c
         using touched t
         where t.tenant_type = 'merchant' and c.merchant_id = t.tenant_id
           and c.currency = t.currency and c.bucket_ts = t.hour
    ),
    emptied as (
        update ops.dash_aggregates_hourly a
           set (gmv, transaction_count, attempts_count, unique_customers, total_fees, partner_fees, refunds_amount,
                refunds_count, disputes_amount, disputes_count, chargebacks_count, fraud_count, payouts_amount,
                payouts_count, payout_failed_count, payout_pending_count, payout_pending_amount) = (
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
          from touched t join tenancy.agents g on g.id = t.tenant_id
         where t.tenant_type = 'agent' and a.scope = 'agent:' || t.tenant_id and a.currency = t.currency
           and a.bucket_ts = t.hour
    )
    delete from ops.dash_aggregates_hourly a
     using touched t
     where a.scope = t.tenant_type || ':' || t.tenant_id and a.currency = t.currency and a.bucket_ts = t.hour
       and (t.tenant_type in ('merchant', 'bank')
            or t.tenant_type = 'agent' and not exists (select from tenancy.agents g where g.id = t.tenant_id))
    """,
    row=Nothing,
)

COUNT_CUSTOMERS = Query(
    """
    /* dashboard.count_customers */
    insert into ops.dash_customer_hours (merchant_id, currency, bucket_ts, customer)
    select distinct t.tenant_id, t.currency, t.hour, md5(c.known_as)::uuid
      from ("""
    + _TOUCHED
    + """'merchant') as t
      join payments.wallet_transactions w
        on w.merchant_id = t.tenant_id and w.currency = t.currency
       and w.occurred_at >= t.hour and w.occurred_at < t.hour + interval '1 hour'
     cross join lateral (select coalesce(w.customer ->> 'phone', w.customer ->> 'email', w.customer ->> 'id',
                                         w.customer ->> 'name') as known_as) as c
     where w.type = 'payment' and w.state = 'succeeded' and c.known_as is not null
    """,
    row=Nothing,
)

ADD_UP_MERCHANTS = Query(
    """
    /* dashboard.add_up_merchants */
    insert into ops.dash_aggregates_hourly
           (bucket_ts, tenant_type, tenant_id, country, region, city, currency, gmv, transaction_count,
            attempts_count, unique_customers, total_fees, partner_fees, refunds_amount, refunds_count,
            disputes_amount, disputes_count, chargebacks_count, fraud_count, payouts_amount, payouts_count,
            payout_failed_count, payout_pending_count, payout_pending_amount)
    select t.hour, 'merchant', t.tenant_id, m.country, ops.region_of(m.country), m.city, t.currency,
           w.gmv, w.sales, w.attempts, u.customers, w.fees, p.fees, w.refunded, w.refunds, d.disputed, d.disputes,
           d.chargebacks, d.frauds, p.paid, p.payouts, p.failed, p.pending, p.pending_amount
      from ("""
    + _TOUCHED
    + """'merchant') as t
      join tenancy.merchants m on m.id = t.tenant_id
     cross join lateral (
            select coalesce(sum(amount) filter (where type = 'payment' and state = 'succeeded'), 0) as gmv,
                   count(*) filter (where type = 'payment' and state = 'succeeded') as sales,
                   count(*) filter (where type = 'payment' and state <> 'pending') as attempts,
                   coalesce(sum(fee_molam) filter (where state = 'succeeded'), 0) as fees,
                   coalesce(sum(amount) filter (where type = 'refund' and state = 'succeeded'), 0) as refunded,
                   count(*) filter (where type = 'refund' and state = 'succeeded') as refunds,
                   count(*) as rows
              from payments.wallet_transactions x
             where x.merchant_id = t.tenant_id and x.currency = t.currency
               and x.occurred_at >= t.hour and x.occurred_at < t.hour + interval '1 hour') as w
     cross join lateral (
            select coalesce(sum(amount) filter (where state = 'paid'), 0) as paid,
                   coalesce(sum(fee) filter (where state = 'paid'), 0) as fees,
                   count(*) filter (where state = 'paid') as payouts,
                   count(*) filter (where state in ('failed', 'returned')) as failed,
                   count(*) filter (where state in ('scheduled', 'held', 'pending', 'in_transit')) as pending,
                   coalesce(sum(amount) filter (where state in ('scheduled', 'held', 'pending', 'in_transit')), 0)
                       as pending_amount,
                   count(*) as rows
              from payments.payouts x
             where x.merchant_id = t.tenant_id and x.currency = t.currency
               and x.occurred_at >= t.hour and x.occurred_at < t.hour + interval '1 hour') as p
     cross join lateral (
            select coalesce(sum(amount), 0) as disputed, count(*) as disputes,
                   count(*) filter (where type = 'chargeback' and state not in ('early_warning', 'prevented'))
                       as chargebacks,
                   count(*) filter (where reason ~* '(fraud|unauthori[sz]ed)') as frauds
              from payments.disputes x
             where x.merchant_id = t.tenant_id and x.currency = t.currency
               and x.occurred_at >= t.hour and x.occurred_at < t.hour + interval '1 hour') as d
     cross join lateral (
            select count(*) as customers
              from ops.dash_customer_hours c
             where c.merchant_id = t.tenant_id and c.currency = t.currency and c.bucket_ts = t.hour) as u
     where w.rows + p.rows + d.disputes > 0
    """,
    row=Nothing,
)

# A bank's day of statements stands at its first hour.
ADD_UP_BANKS = Query(
    """
    /* dashboard.add_up_banks */
    insert into ops.dash_aggregates_hourly
           (bucket_ts, tenant_type, tenant_id, country, region, currency, partner_fees, payouts_amount,
            payouts_count, payout_failed_count, payout_pending_count, payout_pending_amount, recon_lines,
            recon_matched)
    select t.hour, 'bank', t.tenant_id, b.country, ops.region_of(b.country), t.currency, p.fees, p.paid,
           p.payouts, p.failed, p.pending, p.pending_amount, s.lines, s.matched
      from ("""
    + _TOUCHED
    + """'bank') as t
      join payments.bank_profiles b on b.id = t.tenant_id
     cross join lateral (
            select coalesce(sum(amount) filter (where state = 'paid'), 0) as paid,
                   coalesce(sum(fee) filter (where state = 'paid'), 0) as fees,
                   count(*) filter (where state = 'paid') as payouts,
                   count(*) filter (where state in ('failed', 'returned')) as failed,
                   count(*) filter (where state in ('scheduled', 'held', 'pending', 'in_transit')) as pending,
                   coalesce(sum(amount) filter (where state in ('scheduled', 'held', 'pending', 'in_transit')), 0)
                       as pending_amount,
                   count(*) as rows
              from payments.payouts x
             where x.bank_profile_id = t.tenant_id and x.currency = t.currency
               and x.occurred_at >= t.hour and x.occurred_at < t.hour + interval '1 hour') as p
     cross join lateral (
            select count(*) as lines, count(*) filter (where state = 'matched') as matched
              from payments.statement_lines x
             where x.bank_profile_id = t.tenant_id and x.currency = t.currency and x.state <> 'void'
               and x.booked_on = (t.hour at time zone 'UTC')::date
               and extract(hour from t.hour at time zone 'UTC') = 0) as s
     where p.rows + s.lines > 0
    """,
    row=Nothing,
)

# The platform, its countries and its regions, from the rows of merchants, banks and agents:
# payouts are counted at merchants, statements at banks, floats at agents. With them goes what
# other modules told of the platform or a region as a whole.
ROLL_UP = Query(
    """
    /* dashboard.roll_up */
    with touched as materialized (
        select distinct currency, hour
          from json_to_recordset(:touched::json) as t(currency text, hour timestamptz)
    ),
    parts as (
        select a.bucket_ts, a.tenant_type, a.country, a.region, a.currency, a.gmv, a.transaction_count,
               a.attempts_count, a.total_fees, a.partner_fees, a.refunds_amount, a.refunds_count, a.disputes_amount,
               a.disputes_count, a.chargebacks_count, a.fraud_count, a.payouts_amount, a.payouts_count,
               a.payout_failed_count, a.payout_pending_count, a.payout_pending_amount, a.float_available,
               a.float_reserved, a.float_distributed, a.recon_lines, a.recon_matched
          from touched t
          join ops.dash_aggregates_hourly a
            on a.bucket_ts = t.hour and a.currency = t.currency
           and a.tenant_type in ('merchant', 'bank', 'agent')
         union all
        select r.bucket_ts, r.tenant_type, r.country, r.region, r.currency, r.gmv, r.transaction_count,
               r.attempts_count, r.total_fees, r.partner_fees, r.refunds_amount, r.refunds_count, r.disputes_amount,
               r.disputes_count, r.chargebacks_count, r.fraud_count, r.payouts_amount, r.payouts_count,
               r.payout_failed_count, r.payout_pending_count, r.payout_pending_amount, r.float_available,
               null, 0, 0, 0
          from touched t
          join ops.dash_reported r
            on r.bucket_ts = t.hour and r.currency = t.currency and r.tenant_type in ('platform', 'region')
    ),
    kept as materialized (
        select a.bucket_ts, a.currency,
               case grouping(a.country, a.region) when 3 then 'platform' when 2 then 'region' else 'platform' end as kind,
               case grouping(a.country, a.region) when 2 then a.region end as id,
               a.country, a.region,
               coalesce(sum(gmv), 0) as gmv, sum(transaction_count) as transaction_count,
               sum(attempts_count) as attempts_count, sum(total_fees) as total_fees,
               coalesce(sum(partner_fees) filter (where a.tenant_type <> 'bank'), 0) as partner_fees,
               sum(refunds_amount) as refunds_amount, sum(refunds_count) as refunds_count,
               sum(disputes_amount) as disputes_amount, sum(disputes_count) as disputes_count,
               sum(chargebacks_count) as chargebacks_count, sum(fraud_count) as fraud_count,
               coalesce(sum(payouts_amount) filter (where a.tenant_type <> 'bank'), 0) as payouts_amount,
               coalesce(sum(payouts_count) filter (where a.tenant_type <> 'bank'), 0) as payouts_count,
               coalesce(sum(payout_failed_count) filter (where a.tenant_type <> 'bank'), 0) as failed,
               coalesce(sum(payout_pending_count) filter (where a.tenant_type <> 'bank'), 0) as pending,
               coalesce(sum(payout_pending_amount) filter (where a.tenant_type <> 'bank'), 0) as pending_amount,
               sum(float_available) as float_available, sum(float_reserved) as float_reserved,
               sum(float_distributed) as float_distributed,
               sum(recon_lines) as recon_lines, sum(recon_matched) as recon_matched
          from parts a
         group by grouping sets ((a.bucket_ts, a.currency), (a.bucket_ts, a.currency, a.region),
                                 (a.bucket_ts, a.currency, a.country, a.region))
        having grouping(a.country) = 1 or a.country is not null
    ),
    people as materialized (
        select c.bucket_ts, c.currency, m.country, ops.region_of(m.country) as region,
               count(distinct c.customer) as customers, grouping(m.country, ops.region_of(m.country)) as level
          from touched t
          join ops.dash_customer_hours c on c.bucket_ts = t.hour and c.currency = t.currency
          join tenancy.merchants m on m.id = c.merchant_id
         group by grouping sets ((c.bucket_ts, c.currency), (c.bucket_ts, c.currency, ops.region_of(m.country)),
                                 (c.bucket_ts, c.currency, m.country, ops.region_of(m.country)))
    ),
    gone as (
        delete from ops.dash_aggregates_hourly a
         using touched t
         where a.bucket_ts = t.hour and a.currency = t.currency and a.tenant_type in ('platform', 'region')
           and not exists (select from kept k
                            where k.bucket_ts = a.bucket_ts and k.currency = a.currency and k.kind = a.tenant_type
                              and k.id is not distinct from a.tenant_id
                              and k.country is not distinct from a.country)
    )
    insert into ops.dash_aggregates_hourly as d
           (bucket_ts, tenant_type, tenant_id, country, region, currency, gmv, transaction_count, attempts_count,
            unique_customers, total_fees, partner_fees, refunds_amount, refunds_count, disputes_amount,
            disputes_count, chargebacks_count, fraud_count, payouts_amount, payouts_count, payout_failed_count,
            payout_pending_count, payout_pending_amount, float_available, float_reserved, float_distributed,
            recon_lines, recon_matched)
    select k.bucket_ts, k.kind, k.id, k.country, k.region, k.currency, gmv, transaction_count, attempts_count,
           coalesce(p.customers, 0), total_fees, partner_fees, refunds_amount, refunds_count, disputes_amount,
           disputes_count, chargebacks_count, fraud_count, payouts_amount, payouts_count, failed, pending,
           pending_amount, float_available, float_reserved, float_distributed, recon_lines, recon_matched
      from kept k
      left join people p
        on p.bucket_ts = k.bucket_ts and p.currency = k.currency
       and p.country is not distinct from k.country and p.region is not distinct from k.region
        on conflict (scope, currency, bucket_ts)
        do update set (region, gmv, transaction_count, attempts_count, unique_customers, total_fees, partner_fees,
                       refunds_amount, refunds_count, disputes_amount, disputes_count, chargebacks_count, fraud_count,
                       payouts_amount, payouts_count, payout_failed_count, payout_pending_count,
                       payout_pending_amount, float_available, float_reserved, float_distributed, recon_lines,
                       recon_matched, updated_at) = (
            excluded.region, excluded.gmv, excluded.transaction_count, excluded.attempts_count,
            excluded.unique_customers, excluded.total_fees, excluded.partner_fees, excluded.refunds_amount,
            excluded.refunds_count, excluded.disputes_amount, excluded.disputes_count, excluded.chargebacks_count,
            excluded.fraud_count, excluded.payouts_amount, excluded.payouts_count, excluded.payout_failed_count,
            excluded.payout_pending_count, excluded.payout_pending_amount, excluded.float_available,
            excluded.float_reserved, excluded.float_distributed, excluded.recon_lines, excluded.recon_matched,
            now())
    """,
    row=Nothing,
)

# What is kept of an hour is kept while it may be shown. Payouts that are still on their way
# are counted whenever they were made, so theirs stays. An old hour that is touched is added
# up from what is stored, and forgotten again.
_FORGET = """
    delete from ops.{table}
     where ctid = any(array(
           select ctid
             from ops.{table}
            where bucket_ts < now() - make_interval(days => :days) {but}
            limit :rows_max))
"""
_PENDING = "and payout_pending_count = 0"
FORGET = (
    Query(
        "/* dashboard.forget_hours */"
        + _FORGET.format(table="dash_aggregates_hourly", but=_PENDING),
        row=Nothing,
    ),
    Query(
        "/* dashboard.forget_reported */"
        + _FORGET.format(table="dash_reported_hourly", but=_PENDING),
        row=Nothing,
    ),
    Query(
        "/* dashboard.forget_customers */" + _FORGET.format(table="dash_customer_hours", but=""),
        row=Nothing,
    ),
)
