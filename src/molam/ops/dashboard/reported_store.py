"""The statements about what other modules count."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class AddedRow:
    added: int


UPSERT = Query(
    """
    /* dashboard.upsert_hourly_aggregates */
    select count(ops.upsert_hourly_aggregate(e.occurred_at, e.tenant_type, e.tenant_id, e.country, e.region,
                                             e.currency, e.metrics)::text) as added
      from json_to_recordset(:events::json)
           as e(occurred_at timestamptz, tenant_type text, tenant_id text, country text, region text,
                currency text, metrics jsonb)
    """,
    row=AddedRow,
)

# What is counted here is there already, and has just been counted anew; an agent's row stays
# for its float, and counts nothing else. Platform and regions take theirs when hours are
# rolled up.
ADD_REPORTED = Query(
    """
    /* dashboard.add_reported */
    with touched as (
        select distinct tenant_type, tenant_id, currency, hour
          from json_to_recordset(:touched::json)
               as t(tenant_type text, tenant_id text, currency text, hour timestamptz)
         where tenant_type in ('merchant', 'bank', 'agent')
    ),
    told as (
        select r.bucket_ts, r.tenant_type, r.tenant_id, max(r.country) as country, max(r.region) as region, r.currency,
               sum(r.gmv) as gmv, sum(r.transaction_count) as transaction_count,
               sum(r.attempts_count) as attempts_count, sum(r.unique_customers) as unique_customers,
               sum(r.total_fees) as total_fees, sum(r.partner_fees) as partner_fees,
               sum(r.refunds_amount) as refunds_amount, sum(r.refunds_count) as refunds_count,
               sum(r.disputes_amount) as disputes_amount, sum(r.disputes_count) as disputes_count,
               sum(r.chargebacks_count) as chargebacks_count, sum(r.fraud_count) as fraud_count,
               sum(r.payouts_amount) as payouts_amount, sum(r.payouts_count) as payouts_count,
               sum(r.payout_failed_count) as payout_failed_count,
               sum(r.payout_pending_count) as payout_pending_count,
               sum(r.payout_pending_amount) as payout_pending_amount, max(r.float_available) as float_available
          from touched t
          join ops.dash_reported r
            on r.bucket_ts = t.hour and r.tenant_type = t.tenant_type and r.tenant_id = t.tenant_id
           and r.currency = t.currency
         group by r.bucket_ts, r.tenant_type, r.tenant_id, r.currency
    )
    insert into ops.dash_aggregates_hourly as d
           (bucket_ts, tenant_type, tenant_id, country, region, currency, gmv, transaction_count, attempts_count,
            unique_customers, total_fees, partner_fees, refunds_amount, refunds_count, disputes_amount,
            disputes_count, chargebacks_count, fraud_count, payouts_amount, payouts_count, payout_failed_count,
            payout_pending_count, payout_pending_amount, float_available)
    select bucket_ts, tenant_type, tenant_id, country, region, currency, gmv, transaction_count, attempts_count,
           unique_customers, total_fees, partner_fees, refunds_amount, refunds_count, disputes_amount,
           disputes_count, chargebacks_count, fraud_count, payouts_amount, payouts_count, payout_failed_count,
           payout_pending_count, payout_pending_amount, float_available
      from told
        on conflict (scope, currency, bucket_ts)
        do update set (gmv, transaction_count, attempts_count, unique_customers, total_fees, partner_fees,
                       refunds_amount, refunds_count, disputes_amount, disputes_count, chargebacks_count,
                       fraud_count, payouts_amount, payouts_count, payout_failed_count, payout_pending_count,
                       payout_pending_amount, float_available, updated_at) = (
            d.gmv + excluded.gmv, d.transaction_count + excluded.transaction_count,
            d.attempts_count + excluded.attempts_count, d.unique_customers + excluded.unique_customers,
            d.total_fees + excluded.total_fees, d.partner_fees + excluded.partner_fees,
            d.refunds_amount + excluded.refunds_amount, d.refunds_count + excluded.refunds_count,
            d.disputes_amount + excluded.disputes_amount, d.disputes_count + excluded.disputes_count,
            d.chargebacks_count + excluded.chargebacks_count, d.fraud_count + excluded.fraud_count,
            d.payouts_amount + excluded.payouts_amount, d.payouts_count + excluded.payouts_count,
            d.payout_failed_count + excluded.payout_failed_count,
            d.payout_pending_count + excluded.payout_pending_count,
            d.payout_pending_amount + excluded.payout_pending_amount,
            coalesce(d.float_available, excluded.float_available), now())
    """,
    row=Nothing,
)
