-- The operations dashboard: what happened by the hour, kept exactly, and what is shown of it.

set local search_path to ops, alerts, payments, tenancy, public;

-- Which hours of whom have changed since they were last added up. Whoever writes a payment,
-- a payout, a dispute or a statement's line appends here in the same statement, so nothing
-- that is committed goes uncounted, and nobody waits for anybody.
create table payments.touched_hours (
    id          bigint generated always as identity primary key,
    tenant_type text not null constraint touched_tenant_known check (tenant_type in ('merchant', 'bank')),
    tenant_id   text not null,
    currency    text not null,
    hour        timestamptz not null
);

-- These write what those who move money may not.
create function payments.touch_inserted() returns trigger
    language plpgsql security definer set search_path = payments, pg_temp as $$
begin
    insert into payments.touched_hours (tenant_type, tenant_id, currency, hour)
    select distinct 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC') from new_rows;
    return null;
end
$$;
create function payments.touch_updated() returns trigger
    language plpgsql security definer set search_path = payments, pg_temp as $$
begin
    insert into payments.touched_hours (tenant_type, tenant_id, currency, hour)
    select 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC') from new_rows
     union
    select 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC') from old_rows;
    return null;
end
$$;
create function payments.touch_bank_inserted() returns trigger
    language plpgsql security definer set search_path = payments, pg_temp as $$
begin
    insert into payments.touched_hours (tenant_type, tenant_id, currency, hour)
    select distinct 'bank', bank_profile_id, currency, date_trunc('hour', occurred_at, 'UTC')
      from new_rows where bank_profile_id is not null;
    return null;
end
$$;
create function payments.touch_bank_updated() returns trigger
    language plpgsql security definer set search_path = payments, pg_temp as $$
begin
    insert into payments.touched_hours (tenant_type, tenant_id, currency, hour)
    select 'bank', bank_profile_id, currency, date_trunc('hour', occurred_at, 'UTC')
      from new_rows where bank_profile_id is not null
     union
    select 'bank', bank_profile_id, currency, date_trunc('hour', occurred_at, 'UTC')
      from old_rows where bank_profile_id is not null;
    return null;
end
$$;
create function payments.touch_lines() returns trigger
    language plpgsql security definer set search_path = payments, pg_temp as $$
begin
    insert into payments.touched_hours (tenant_type, tenant_id, currency, hour)
    select distinct 'bank', bank_profile_id, currency, booked_on::timestamp at time zone 'UTC' from new_rows;
    return null;
end
$$;
do $$
declare
    target text;
begin
    foreach target in array array['wallet_transactions', 'payouts', 'disputes'] loop
        execute format(
            'create trigger %1$s_touch_inserted after insert on payments.%1$I
             referencing new table as new_rows for each statement execute function payments.touch_inserted()', target);
        execute format(
            'create trigger %1$s_touch_updated after update on payments.%1$I
             referencing old table as old_rows new table as new_rows
             for each statement execute function payments.touch_updated()', target);
    end loop;
end
$$;
create trigger payouts_touch_bank_inserted after insert on payments.payouts
    referencing new table as new_rows for each statement execute function payments.touch_bank_inserted();
create trigger payouts_touch_bank_updated after update on payments.payouts
    referencing old table as old_rows new table as new_rows
    for each statement execute function payments.touch_bank_updated();
create trigger statement_lines_touch_inserted after insert on payments.statement_lines
    referencing new table as new_rows for each statement execute function payments.touch_lines();
create trigger statement_lines_touch_updated after update on payments.statement_lines
    referencing new table as new_rows for each statement execute function payments.touch_lines();
create index payouts_of_bank on payments.payouts (bank_profile_id, occurred_at) where bank_profile_id is not null;

-- What there is already counts too.
insert into payments.touched_hours (tenant_type, tenant_id, currency, hour)
select 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC') from payments.wallet_transactions
 union
select 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC') from payments.payouts
 union
select 'merchant', merchant_id, currency, date_trunc('hour', occurred_at, 'UTC') from payments.disputes
 union
select 'bank', bank_profile_id, currency, date_trunc('hour', occurred_at, 'UTC') from payments.payouts
 where bank_profile_id is not null
 union
select 'bank', bank_profile_id, currency, booked_on::timestamp at time zone 'UTC' from payments.statement_lines;

create function ops.region_of(country text) returns text
language sql immutable parallel safe
return case
    when country in ('BJ', 'BF', 'CI', 'GW', 'ML', 'NE', 'SN', 'TG') then 'WAEMU'
    when country in ('CM', 'CF', 'CG', 'GA', 'GQ', 'TD') then 'CEMAC'
    when country in ('CV', 'GH', 'GM', 'GN', 'LR', 'NG', 'SL') then 'ECOWAS'
    when country in ('BI', 'CD', 'KE', 'RW', 'SO', 'SS', 'TZ', 'UG') then 'EAC'
    when country in ('AT', 'BE', 'BG', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES', 'FI', 'FR', 'GR', 'HR', 'HU', 'IE', 'IT',
                     'LT', 'LU', 'LV', 'MT', 'NL', 'PL', 'PT', 'RO', 'SE', 'SI', 'SK') then 'EU'
    else 'GLOBAL'
end;

-- One hour of one tenant in one currency, in minor units; never two currencies together.
-- Counts are of what happened in the hour, and can be added up over hours, but for distinct
-- customers and floats. Rates are made of counts, so that they weigh what they are rates of.
create table ops.dash_aggregates_hourly (
    bucket_ts             timestamptz not null
                          constraint bucket_is_whole check (date_trunc('hour', bucket_ts, 'UTC') = bucket_ts),
    tenant_type           alerts.tenant_kind not null,
    tenant_id             text,
    country               text,
    region                text,
    city                  text,
    currency              text not null default 'XOF' references tenancy.currencies (code),
    -- A country's row is the platform's, of that country alone.
    scope                 text not null generated always as (
                              case when tenant_type::text = 'platform' and country is not null then 'country:' || country
                                   when tenant_type::text = 'platform' then 'platform'
                                   else tenant_type::text || ':' || tenant_id end) stored,
    gmv                   bigint not null default 0,
    transaction_count     bigint not null default 0,
    attempts_count        bigint not null default 0,
    unique_customers      bigint not null default 0,
    total_fees            bigint not null default 0,
    partner_fees          bigint not null default 0,
    net_revenue           bigint not null generated always as (total_fees - partner_fees) stored,
    refunds_amount        bigint not null default 0,
    refunds_count         bigint not null default 0,
    disputes_amount       bigint not null default 0,
    disputes_count        bigint not null default 0,
    chargebacks_count     bigint not null default 0,
    fraud_count           bigint not null default 0,
    payouts_amount        bigint not null default 0,
    payouts_count         bigint not null default 0,
    payout_failed_count   bigint not null default 0,
    -- Of those that were made in this hour: once each, in whichever hour it is asked.
    payout_pending_count  bigint not null default 0,
    payout_pending_amount bigint not null default 0,
    -- At the last look of the hour; null: nobody here has a float.
    float_available       bigint,
    float_reserved        bigint,
    float_distributed     bigint not null default 0,
    recon_lines           bigint not null default 0,
    recon_matched         bigint not null default 0,
    reconciliation_match_rate numeric(5, 4) generated always as (recon_matched::numeric / nullif(recon_lines, 0)) stored,
    conversion_rate       numeric(5, 4) generated always as (transaction_count::numeric / nullif(attempts_count, 0)) stored,
    fraud_rate            numeric(5, 4) generated always as (
                              least(fraud_count, transaction_count)::numeric / nullif(transaction_count, 0)) stored,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint one_row_an_hour unique nulls not distinct (bucket_ts, tenant_type, tenant_id, country, region, currency),
    constraint platform_has_no_id check ((tenant_type = 'platform') = (tenant_id is null))
);
create unique index dash_aggregates_of_scope on ops.dash_aggregates_hourly (scope, currency, bucket_ts);
create index dash_aggregates_pending on ops.dash_aggregates_hourly (scope, currency)
    include (payout_pending_count, payout_pending_amount) where payout_pending_count > 0;

-- Who bought in an hour, by a digest of what is known of them: distinct customers of a
-- longer time are counted here and never added up.
create table ops.dash_customer_hours (
    merchant_id text not null references tenancy.merchants (id),
    currency    text not null,
    bucket_ts   timestamptz not null,
    customer    uuid not null,
    primary key (merchant_id, currency, bucket_ts, customer)
);
create index dash_customer_hours_when on ops.dash_customer_hours (bucket_ts, currency);

create table ops.dash_snapshots (
    tenant_type alerts.tenant_kind not null,
    tenant_id   text,
    snapshot_ts timestamptz not null,
    payload     jsonb not null constraint payload_is_object check (jsonb_typeof(payload) = 'object'),
    created_at  timestamptz not null default now(),
    constraint one_snapshot_a_tenant unique nulls not distinct (tenant_type, tenant_id)
);

create table ops.dash_widgets (
    id             uuid primary key,
    tenant_type    alerts.tenant_kind not null default 'platform',
    tenant_id      text,
    name           text not null constraint widget_name_bounded check (length(name) between 1 and 120),
    kind           text not null constraint widget_kind_known check (kind in (
                       'chart_line', 'chart_bar', 'chart_pie', 'gauge', 'table', 'list', 'map', 'metric', 'alert_list',
                       'timeline', 'heatmap', 'pending_approvals_list')),
    config         jsonb not null default '{}' constraint widget_config_is_object check (jsonb_typeof(config) = 'object'),
    position       jsonb not null
                   constraint position_is_whole
                   check (position ?& array['row', 'col', 'width', 'height'] and jsonb_typeof(position) = 'object'),
    visible        boolean not null default true,
    required_roles text[] not null default '{}',
    created_by     text not null default 'system',
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);

-- How one person has arranged the widgets; whoever has not sees each where it was put.
create table ops.dash_layouts (
    person_id  text not null,
    widget_id  uuid not null references ops.dash_widgets (id) on delete cascade,
    grid_row   smallint not null constraint grid_row_in_range check (grid_row between 0 and 999),
    grid_col   smallint not null constraint grid_col_in_range check (grid_col between 0 and 11),
    width      smallint not null constraint width_in_range check (width between 1 and 12),
    height     smallint not null constraint height_in_range check (height between 1 and 12),
    is_hidden  boolean not null default false,
    updated_at timestamptz not null default now(),
    primary key (person_id, widget_id),
    constraint place_is_on_the_grid check (grid_col + width <= 12)
);

-- Every agent, where it is if that is known, and how its float stood when it was last looked at.
create table ops.agent_locations (
    agent_id              text primary key references tenancy.agents (id),
    latitude              numeric(9, 6) constraint latitude_in_range check (latitude between -90 and 90),
    longitude             numeric(9, 6) constraint longitude_in_range check (longitude between -180 and 180),
    country               text not null,
    region                text,
    city                  text,
    address               text,
    float_available       bigint,
    -- Where a float is too low, by the rule that watches it, and how much of that there is.
    floor                 bigint,
    float_share           double precision generated always as (
                              float_available::double precision / nullif(floor, 0)) stored,
    sales_30d             bigint not null default 0,
    transaction_count_30d bigint not null default 0,
    active                boolean not null default true,
    last_activity_at      timestamptz,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint a_place_is_whole check ((latitude is null) = (longitude is null))
);
create index agent_locations_box on ops.agent_locations (latitude, longitude) where active;
create index agent_locations_in_need on ops.agent_locations (float_share, agent_id) where active;

create table ops.sira_dash_recommendations (
    id                  uuid primary key,
    tenant_type         alerts.tenant_kind not null,
    tenant_id           text,
    recommendation_type text not null constraint recommendation_type_bounded check (length(recommendation_type) between 1 and 64),
    priority            text not null default 'medium'
                        constraint priority_known check (priority in ('low', 'medium', 'high', 'critical')),
    title               text not null,
    description         text not null,
    suggested_action    jsonb not null
                        constraint suggested_action_is_whole check (suggested_action ?& array['action_type', 'target', 'params']),
    estimated_impact    jsonb not null default '{}',
    explanation         jsonb not null default '{}',
    confidence_score    numeric(3, 2) not null constraint confidence_in_range check (confidence_score between 0 and 1),
    -- What it is about, so that one situation has one recommendation, and what it says of it.
    subject             text not null,
    facts               jsonb not null default '{}',
    state               text not null default 'pending'
                        constraint recommendation_state_known
                        check (state in ('pending', 'asked', 'applied', 'rejected', 'expired', 'superseded')),
    status              text not null generated always as (
                            case when state = 'asked' then 'pending_approval' else state end) stored,
    ops_action_id       uuid references approvals.ops_actions (id),
    applied_at          timestamptz,
    applied_by          text,
    rejected_at         timestamptz,
    rejected_by         text,
    rejection_reason    text constraint rejection_reason_bounded check (length(rejection_reason) <= 500),
    expires_at          timestamptz not null default now() + interval '30 days',
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    constraint asked_has_action check (state <> 'asked' or ops_action_id is not null),
    constraint applied_by_somebody check ((state = 'applied') = (applied_at is not null)),
    constraint rejected_by_somebody check ((state = 'rejected') = (rejected_at is not null))
);
create unique index one_recommendation_a_subject on ops.sira_dash_recommendations (subject)
    where state in ('pending', 'asked');
create index recommendations_newest on ops.sira_dash_recommendations (state, created_at desc, id desc);
create index recommendations_of_type on ops.sira_dash_recommendations (recommendation_type, created_at desc);
create index recommendations_of_action on ops.sira_dash_recommendations (ops_action_id) where ops_action_id is not null;

create view ops.dash_alerts as
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
           created_at + interval '7 days' as expires_at, created_at
      from alerts.alerts;

create view ops.dash_alerts_summary as
    select tenant_type, tenant_id, severity, category, count(*) as alert_count, min(created_at) as oldest_at
      from ops.dash_alerts
     where status in ('open', 'acknowledged')
     group by tenant_type, tenant_id, severity, category;

create view ops.dash_overview_24h as
    select tenant_type, tenant_id, currency, sum(gmv)::bigint as gmv, sum(net_revenue)::bigint as net_revenue,
           sum(total_fees)::bigint as total_fees, sum(refunds_amount)::bigint as refunds_amount,
           sum(refunds_count)::bigint as refunds_count, sum(disputes_count)::bigint as disputes_count,
           sum(transaction_count)::bigint as transaction_count,
           round(sum(transaction_count) / nullif(sum(attempts_count), 0), 4) as conversion_rate,
           round(least(sum(fraud_count), sum(transaction_count)) / nullif(sum(transaction_count), 0), 4) as fraud_rate,
           (array_agg(float_available order by bucket_ts desc) filter (where float_available is not null))[1]
               as float_available
      from ops.dash_aggregates_hourly
     where bucket_ts > now() - interval '24 hours' and (tenant_type <> 'platform' or country is null)
     group by tenant_type, tenant_id, currency;

create view ops.dash_pending_ops_actions as
    select id, action_type, target_tenant_type, target_tenant_id, params, status, risk_level, votes_approve,
           votes_reject, created_by, created_at, expires_at
      from approvals.ops_actions
     where state in ('pending', 'blocked');

-- Distinct customers of a scope in one currency: people are counted, not hours added up.
create function ops.distinct_customers(wanted text, wanted_currency text, begins timestamptz, ends timestamptz)
returns bigint language plpgsql stable as $$
declare
    found bigint;
begin
    if wanted like 'merchant:%' then
        select count(distinct c.customer) into found
          from ops.dash_customer_hours c
         where c.merchant_id = substr(wanted, 10) and c.currency = wanted_currency
           and c.bucket_ts >= begins and c.bucket_ts < ends;
    elsif wanted = 'platform' then
        select count(distinct c.customer) into found
          from ops.dash_customer_hours c
         where c.currency = wanted_currency and c.bucket_ts >= begins and c.bucket_ts < ends;
    elsif wanted like 'country:%' or wanted like 'region:%' then
        select count(distinct c.customer) into found
          from ops.dash_customer_hours c join tenancy.merchants m on m.id = c.merchant_id
         where c.currency = wanted_currency and c.bucket_ts >= begins and c.bucket_ts < ends
           and wanted in ('country:' || m.country, 'region:' || ops.region_of(m.country));
    else
        found := 0;
    end if;
    return found;
end
$$;

-- The last seven days of one scope, each currency by itself.
create function ops.compute_dashboard_snapshot(wanted text, as_of timestamptz) returns jsonb
language sql stable as $$
    with summed as (
        select currency,
               sum(gmv)::bigint as gmv, sum(net_revenue)::bigint as net_revenue, sum(total_fees)::bigint as total_fees,
               sum(refunds_amount)::bigint as refunds_amount, sum(refunds_count)::bigint as refunds_count,
               sum(disputes_count)::bigint as disputes_count, sum(transaction_count)::bigint as transaction_count,
               (array_agg(float_available order by bucket_ts desc) filter (where float_available is not null))[1]
                   as float_available,
               round(sum(transaction_count) / nullif(sum(attempts_count), 0), 4) as conversion_rate,
               round(least(sum(fraud_count), sum(transaction_count)) / nullif(sum(transaction_count), 0), 4) as fraud_rate,
               round(sum(recon_matched) / nullif(sum(recon_lines), 0), 4) as reconciliation_match_rate
          from ops.dash_aggregates_hourly
         where scope = wanted and bucket_ts > as_of - interval '7 days' and bucket_ts <= as_of
         group by currency
    ),
    pending as (
        select currency, sum(payout_pending_count)::bigint as payouts_pending_count,
               sum(payout_pending_amount)::bigint as payouts_pending_amount
          from ops.dash_aggregates_hourly
         where scope = wanted and payout_pending_count > 0
         group by currency
    )
    select coalesce(jsonb_object_agg(
               currency,
               (to_jsonb(s) - 'currency')
               || jsonb_build_object(
                      'payouts_pending_count', coalesce(p.payouts_pending_count, 0),
                      'payouts_pending_amount', coalesce(p.payouts_pending_amount, 0),
                      'unique_customers', ops.distinct_customers(
                          wanted, currency, date_trunc('hour', as_of - interval '7 days', 'UTC') + interval '1 hour',
                          as_of))), '{}')
      from summed s full join pending p using (currency)
$$;

create function ops.scope_of(wanted_type text, wanted_id text) returns text
language sql immutable parallel safe
return case when wanted_type = 'platform' then 'platform' else wanted_type || ':' || wanted_id end;

create function ops.get_dashboard_snapshot(wanted_type text, wanted_id text) returns jsonb
language sql stable as $$
    select payload
      from ops.dash_snapshots
     where tenant_type = wanted_type and tenant_id is not distinct from wanted_id
$$;

-- Whoever has had a row written since; the platform and its regions every time. Returns how many.
create function ops.refresh_dashboard_snapshots(since timestamptz) returns bigint
language sql as $$
    with wanted as (
        select distinct tenant_type, tenant_id
          from ops.dash_aggregates_hourly
         where bucket_ts > now() - interval '2 hours' and updated_at >= since and tenant_type <> 'platform'
         union
        select 'platform', null
    ),
    written as (
        insert into ops.dash_snapshots (tenant_type, tenant_id, snapshot_ts, payload)
        select tenant_type, tenant_id, now(),
               ops.compute_dashboard_snapshot(ops.scope_of(tenant_type, tenant_id), now())
          from wanted
            on conflict on constraint one_snapshot_a_tenant
            do update set snapshot_ts = excluded.snapshot_ts, payload = excluded.payload
     returning 1
    )
    select count(*) from written
$$;

-- Great-circle kilometres between two points.
create function ops.kilometres(lat1 float8, lon1 float8, lat2 float8, lon2 float8) returns float8
language sql immutable parallel safe
return 2 * 6371.0088 * asin(least(1, sqrt(
    power(sin(radians(lat2 - lat1) / 2), 2)
    + cos(radians(lat1)) * cos(radians(lat2)) * power(sin(radians(lon2 - lon1) / 2), 2))));

-- The index finds the box around the circle; the distance decides. A box that reaches a
-- pole or the date line is as wide as the world.
create function ops.get_agents_nearby(lat float8, lon float8, radius_km float8 default 50)
returns table (agent_id text, distance_km float8) language sql stable as $$
    with box as (
        select radius_km / 111.0 as tall,
               case when abs(lat) + radius_km / 111.0 >= 89 then 360
                    else degrees(asin(least(1, sin(radians(radius_km / 111.0)) / cos(radians(lat))))) end as wide
    )
    select l.agent_id, ops.kilometres(lat, lon, l.latitude::float8, l.longitude::float8)
      from ops.agent_locations l, box
     where l.active
       and l.latitude between (lat - tall)::numeric and (lat + tall)::numeric
       and (lon - wide < -180 or lon + wide > 180
            or l.longitude between (lon - wide)::numeric and (lon + wide)::numeric)
       and ops.kilometres(lat, lon, l.latitude::float8, l.longitude::float8) <= radius_km
     order by 2, 1
     limit 100
$$;

grant select on all tables in schema ops to molam_ops, molam_worker;
grant select on payments.touched_hours to molam_ops;
grant select, insert, update, delete on payments.touched_hours to molam_worker;
grant insert, update, delete on ops.dash_aggregates_hourly, ops.dash_customer_hours to molam_worker;
grant insert, update on ops.dash_snapshots, ops.agent_locations to molam_worker;
grant insert, update on ops.sira_dash_recommendations to molam_ops;
grant insert, update, delete on ops.dash_widgets, ops.dash_layouts to molam_ops;

insert into ops.dash_widgets (id, name, kind, config, position, required_roles)
values ('00000000-0000-4000-8000-000000000001', 'GMV Trend', 'chart_line',
        '{"metric": "gmv", "time_range": "7d", "group_by": "day"}', '{"row": 0, "col": 0, "width": 8, "height": 3}', '{}'),
       ('00000000-0000-4000-8000-000000000002', 'Alerts', 'alert_list',
        '{"severity": ["critical", "high"], "limit": 10}', '{"row": 0, "col": 8, "width": 4, "height": 3}', '{}'),
       ('00000000-0000-4000-8000-000000000003', 'Pending Approvals', 'pending_approvals_list',
        '{"roles": ["ops_admin"], "limit": 10}', '{"row": 3, "col": 0, "width": 6, "height": 3}', '{}'),
       ('00000000-0000-4000-8000-000000000004', 'SIRA Recommendations', 'list',
        '{"of": "recommendations", "limit": 5}', '{"row": 3, "col": 6, "width": 6, "height": 3}', '{}'),
       ('00000000-0000-4000-8000-000000000005', 'Float Available', 'gauge',
        '{"metric": "float_available", "min": 0, "max": 10000000,
          "thresholds": [{"value": 1000000, "color": "red"}, {"value": 5000000, "color": "yellow"}]}',
        '{"row": 6, "col": 0, "width": 3, "height": 2}', '{}'),
       ('00000000-0000-4000-8000-000000000006', 'Conversion Rate', 'gauge',
        '{"metric": "conversion_rate", "min": 0, "max": 1,
          "thresholds": [{"value": 0.85, "color": "red"}, {"value": 0.95, "color": "yellow"}]}',
        '{"row": 6, "col": 3, "width": 3, "height": 2}', '{}'),
       ('00000000-0000-4000-8000-000000000007', 'Transaction Volume', 'chart_bar',
        '{"metric": "transaction_count", "time_range": "24h", "group_by": "hour"}',
        '{"row": 6, "col": 6, "width": 6, "height": 2}', '{}'),
       ('00000000-0000-4000-8000-000000000008', 'Top Countries', 'table',
        '{"by": "country", "metric": "gmv", "limit": 10}', '{"row": 8, "col": 0, "width": 6, "height": 3}', '{}'),
       ('00000000-0000-4000-8000-000000000009', 'Agents by Float', 'map',
        '{"limit": 50}', '{"row": 8, "col": 6, "width": 6, "height": 3}', '{}');
