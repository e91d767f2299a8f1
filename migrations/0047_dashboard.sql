-- The dashboard: narrowed to a country, with what other modules count, for a bounded time.

set local search_path to ops, alerts, payments, tenancy, public;

create function ops.country_of(kind text, who text) returns text
language sql stable parallel safe
return case kind
    when 'merchant' then (select m.country from tenancy.merchants m where m.id = who)
    when 'agent' then (select g.country from tenancy.agents g where g.id = who)
    when 'bank' then (select b.country from payments.bank_profiles b where b.id = who)
end;

-- Whether somebody is in a country or a region; nobody is in anything else.
create function ops.lies_in(place_kind text, place text, kind text, who text) returns boolean
language sql stable parallel safe
return case place_kind
    when 'country' then ops.country_of(kind, who) = place
    when 'region' then kind = 'region' and who = place
                       or ops.country_of(kind, who) is not null and ops.region_of(ops.country_of(kind, who)) = place
    else false
end;

-- Countries have snapshots too.
alter table ops.dash_snapshots
    drop constraint one_snapshot_a_tenant,
    add column country text,
    add column scope text not null generated always as (
        case when tenant_type::text = 'platform' and country is not null then 'country:' || country
             when tenant_type::text = 'platform' then 'platform'
             else tenant_type::text || ':' || tenant_id end) stored;
create unique index dash_snapshots_of_scope on ops.dash_snapshots (scope);

create or replace function ops.get_dashboard_snapshot(wanted_type text, wanted_id text) returns jsonb
language sql stable as $$
    select payload
      from ops.dash_snapshots
     where scope = ops.scope_of(wanted_type, wanted_id)
$$;

-- Whoever has had a row written since; the platform every time. Returns how many.
create or replace function ops.refresh_dashboard_snapshots(since timestamptz) returns bigint
language sql as $$
    with wanted as (
        select distinct tenant_type, tenant_id, case when tenant_type = 'platform' then country end as country, scope
          from ops.dash_aggregates_hourly
         where bucket_ts > now() - interval '2 hours' and updated_at >= since and scope <> 'platform'
         union
        select 'platform', null, null, 'platform'
    ),
    written as (
        insert into ops.dash_snapshots (tenant_type, tenant_id, country, snapshot_ts, payload)
        select tenant_type, tenant_id, country, now(), ops.compute_dashboard_snapshot(scope, now())
          from wanted
            on conflict (scope)
            do update set snapshot_ts = excluded.snapshot_ts, payload = excluded.payload
     returning 1
    )
    select count(*) from written
$$;

-- What other modules count of an hour. It is kept apart from what is counted from our own
-- records, and added to that whenever the hour is added up again.
create table ops.dash_reported_hourly (
    bucket_ts             timestamptz not null
                          constraint reported_bucket_is_whole check (date_trunc('hour', bucket_ts, 'UTC') = bucket_ts),
    tenant_type           alerts.tenant_kind not null,
    tenant_id             text,
    country               text not null default 'UNK',
    region                text not null default 'GLOBAL',
    currency              text not null default 'XOF' references tenancy.currencies (code),
    gmv                   bigint not null default 0,
    transaction_count     bigint not null default 0,
    unique_customers      bigint not null default 0,
    total_fees            bigint not null default 0,
    partner_fees          bigint not null default 0,
    refunds_amount        bigint not null default 0,
    refunds_count         bigint not null default 0,
    disputes_amount       bigint not null default 0,
    disputes_count        bigint not null default 0,
    chargebacks_count     bigint not null default 0,
    payouts_amount        bigint not null default 0,
    payouts_count         bigint not null default 0,
    payout_failed_count   bigint not null default 0,
    payout_pending_count  bigint not null default 0,
    payout_pending_amount bigint not null default 0,
    -- As they were told last; the rates weigh as much as the sales that were told with them.
    float_available       bigint,
    conversion_rate       numeric(5, 4) constraint reported_conversion_is_share check (conversion_rate between 0 and 1),
    fraud_rate            numeric(5, 4) constraint reported_fraud_is_share check (fraud_rate between 0 and 1),
    updated_at            timestamptz not null default now(),
    constraint one_report_an_hour unique nulls not distinct
        (bucket_ts, tenant_type, tenant_id, country, region, currency),
    constraint reported_platform_has_no_id check ((tenant_type = 'platform') = (tenant_id is null))
);

-- A known tenant is where it is, whatever was told; an unknown country makes no row of its own.
create view ops.dash_reported as
    select r.bucket_ts, r.tenant_type, r.tenant_id, p.country,
           case when p.country is not null then ops.region_of(p.country)
                when r.tenant_type = 'region' then r.tenant_id else r.region end as region,
           r.currency, r.gmv, r.transaction_count,
           case when r.conversion_rate > 0
                then greatest(r.transaction_count, round(r.transaction_count / r.conversion_rate)::bigint)
                else r.transaction_count end as attempts_count,
           r.unique_customers, r.total_fees, r.partner_fees, r.refunds_amount, r.refunds_count, r.disputes_amount,
           r.disputes_count, r.chargebacks_count,
           round(r.transaction_count * coalesce(r.fraud_rate, 0))::bigint as fraud_count,
           r.payouts_amount, r.payouts_count, r.payout_failed_count, r.payout_pending_count,
           r.payout_pending_amount, r.float_available
      from ops.dash_reported_hourly r
     cross join lateral (
            select case when r.tenant_type = 'region' then null
                        else coalesce(ops.country_of(r.tenant_type, r.tenant_id), nullif(r.country, 'UNK')) end
                   as country) as p;

alter table payments.touched_hours
    drop constraint touched_tenant_known,
    add constraint touched_tenant_known check (tenant_type in ('platform', 'merchant', 'agent', 'bank', 'region'));

-- Add what another module counted to an hour, and have the hour added up again.
create function ops.upsert_hourly_aggregate(
    at timestamptz, kind text, who text, in_country text, in_region text, in_currency text, metrics jsonb)
returns void language sql as $$
    with told as (
        insert into ops.dash_reported_hourly as r
               (bucket_ts, tenant_type, tenant_id, country, region, currency, gmv, transaction_count,
                unique_customers, total_fees, partner_fees, refunds_amount, refunds_count, disputes_amount,
                disputes_count, chargebacks_count, payouts_amount, payouts_count, payout_failed_count,
                payout_pending_count, payout_pending_amount, float_available, conversion_rate, fraud_rate)
        select date_trunc('hour', at, 'UTC'), kind, who, in_country, in_region, in_currency, coalesce(m.gmv, 0),
               coalesce(m.transaction_count, 0), coalesce(m.unique_customers, 0), coalesce(m.total_fees, 0),
               coalesce(m.partner_fees, 0), coalesce(m.refunds_amount, 0), coalesce(m.refunds_count, 0),
               coalesce(m.disputes_amount, 0), coalesce(m.disputes_count, 0), coalesce(m.chargebacks_count, 0),
               coalesce(m.payouts_amount, 0), coalesce(m.payouts_count, 0), coalesce(m.payout_failed_count, 0),
               coalesce(m.payout_pending_count, 0), coalesce(m.payout_pending_amount, 0), m.float_available,
               m.conversion_rate, m.fraud_rate
          from jsonb_populate_record(null::ops.dash_reported_hourly, metrics) as m
            on conflict on constraint one_report_an_hour do update
           set gmv = r.gmv + excluded.gmv,
               transaction_count = r.transaction_count + excluded.transaction_count,
               unique_customers = r.unique_customers + excluded.unique_customers,
               total_fees = r.total_fees + excluded.total_fees,
               partner_fees = r.partner_fees + excluded.partner_fees,
               refunds_amount = r.refunds_amount + excluded.refunds_amount,
               refunds_count = r.refunds_count + excluded.refunds_count,
               disputes_amount = r.disputes_amount + excluded.disputes_amount,
               disputes_count = r.disputes_count + excluded.disputes_count,
               chargebacks_count = r.chargebacks_count + excluded.chargebacks_count,
               payouts_amount = r.payouts_amount + excluded.payouts_amount,
               payouts_count = r.payouts_count + excluded.payouts_count,
               payout_failed_count = r.payout_failed_count + excluded.payout_failed_count,
               payout_pending_count = r.payout_pending_count + excluded.payout_pending_count,
               payout_pending_amount = r.payout_pending_amount + excluded.payout_pending_amount,
               float_available = coalesce(excluded.float_available, r.float_available),
               conversion_rate = coalesce(excluded.conversion_rate, r.conversion_rate),
               fraud_rate = coalesce(excluded.fraud_rate, r.fraud_rate),
               updated_at = now()
    )
    insert into payments.touched_hours (tenant_type, tenant_id, currency, hour)
    values (kind, coalesce(who, ''), in_currency, date_trunc('hour', at, 'UTC'))
$$;

-- Whether an action has the approvals that it needs: those who vote decide that, and where
-- it stands says it.
create function ops.check_ops_action_approvals(wanted uuid) returns boolean
language sql stable
return coalesce((select a.decided_at is not null and a.state <> 'rejected'
                   from approvals.ops_actions a where a.id = wanted), false);

-- What SIRA urgently recommends is an alert of the dashboard's, too.
create or replace view ops.dash_alerts as
    select id, tenant_type, tenant_id,
           case severity::text when 'critical' then 'critical' when 'warning' then 'high' else 'info' end as severity,
           title, case description when '' then title else description end as message,
           case alert_type::text when 'float_low' then 'float' when 'recon_match_drop' then 'reconciliation'
                           when 'payout_fail_rate' then 'payout' when 'fraud_score_high' then 'fraud'
                           when 'chargeback_spike' then 'fraud' else alert_type::text end as category,
           case when rule_id is null then 'manual' else 'threshold' end as source, rule_id as source_id,
           '/alerts/' || id as action_url, 'View alert' as action_label, metric as context,
           case when state in ('remediated', 'resolved') then 'resolved'
                when is_suppressed then 'dismissed' else state end as status,
           acknowledged_at, acknowledged_by, resolved_at, resolved_by,
           created_at + interval '7 days' as expires_at, created_at, alert_type::text as alert_type, facts
      from alerts.alerts
     union all
    select id, tenant_type, tenant_id, priority, title, description, 'sira_recommendation', 'sira', id::text,
           '/dashboard/sira/recommendations/' || id, 'View Recommendation', suggested_action,
           case state when 'pending' then 'open' when 'asked' then 'acknowledged' when 'applied' then 'resolved'
                      else 'dismissed' end,
           null, null, coalesce(applied_at, rejected_at), coalesce(applied_by, rejected_by), expires_at, created_at,
           recommendation_type, facts
      from ops.sira_dash_recommendations
     where priority in ('high', 'critical');

-- Fraud of the last hours: disputes for fraud, of sales. From this share on it is critical.
insert into alerts.metric_rules
       (id, alert_type, metric, comparison, tenant_type, currency, unit, fire_at, clear_at, critical_at,
        for_s, keep_firing_s, no_data_s, notify_roles, escalation)
values ('fraud_rate', 'fraud_score_high', 'fraud_rate', 'above', 'merchant', null, 'share',
        0.10, 0.08, 0.10, 0, 3600, null, '{ops_admin,compliance}', '[{"after_s": 900, "role": "compliance"}]'),
       ('fraud_rate.platform', 'fraud_score_high', 'fraud_rate', 'above', 'platform', null, 'share',
        0.10, 0.08, 0.10, 0, 3600, null, '{ops_admin,compliance}', '[{"after_s": 900, "role": "compliance"}]');

grant select on ops.dash_reported_hourly, ops.dash_reported to molam_ops, molam_worker;
grant insert, update on ops.dash_reported_hourly to molam_ops, molam_worker;
grant delete on ops.dash_reported_hourly to molam_worker;
grant insert on payments.touched_hours to molam_ops;
