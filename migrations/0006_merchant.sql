-- What merchants look at: settings, KPI facts and buckets, the cache, alerts, audit.

set local search_path to merchant, payments, tenancy, public;

create table merchant.merchant_dashboards (
    merchant_id          text primary key references tenancy.merchants (id),
    default_currency     text not null default 'XOF' references tenancy.currencies (code),
    payout_schedule      text not null default 'weekly' constraint payout_schedule_known
                         check (payout_schedule in ('daily', 'weekly', 'monthly', 'instant', 'manual')),
    timezone             text not null default 'Africa/Abidjan',
    locale               text not null default 'fr' constraint dashboard_locale_known check (locale in ('fr', 'en')),
    dashboard_config     jsonb not null default '{"theme": "light", "default_period": "mtd", "show_usd_equivalent": true, "notifications_enabled": true, "two_factor_required_for_refunds": true, "refund_threshold_requiring_approval": 100000}',
    daily_refund_limit   bigint,
    monthly_refund_limit bigint,
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now()
);

-- The latest known state of each counted fact, and the local hour it is counted in.
create table merchant.kpi_facts (
    merchant_id text not null references tenancy.merchants (id),
    kind        text not null constraint kind_known check (kind in ('payment', 'refund', 'payout', 'dispute')),
    id          text not null constraint fact_id_bounded check (length(id) between 1 and 255),
    version     int not null constraint fact_version_positive check (version > 0),
    state       text not null,
    rank        smallint not null,
    amount      bigint not null constraint fact_amount_in_range check (amount between 0 and 9007199254740991),
    fee         bigint not null constraint fact_fee_in_range check (fee between 0 and amount),
    currency    text not null references tenancy.currencies (code),
    method      text not null default 'wallet'
                constraint method_bounded check (length(method) between 1 and 64),
    occurred_at timestamptz not null
                constraint fact_occurred_in_range check (occurred_at between '2000-01-01Z' and '2100-01-01Z'),
    day         date not null,
    hour        smallint not null,
    imported    boolean not null default false,
    updated_at  timestamptz not null default now(),
    primary key (merchant_id, kind, id)
) with (fillfactor = 80);
create index kpi_facts_undecided on merchant.kpi_facts (occurred_at)
    where kind = 'payment' and state = 'pending';
create index kpi_facts_updated on merchant.kpi_facts using brin (updated_at);

-- Sums per merchant-local hour and day. Every column is a sum of facts, so a fact
-- that changes moves by subtracting what it was and adding what it is.
create table merchant.kpi_hours (
    merchant_id     text not null,
    currency        text not null,
    day             date not null,
    hour            smallint not null constraint hour_of_day check (hour between 0 and 23),
    created_count   bigint not null default 0,
    payment_count   bigint not null default 0,
    failed_count    bigint not null default 0,
    abandoned_count bigint not null default 0,
    sales           bigint not null default 0,
    fees            bigint not null default 0,
    refund_count    bigint not null default 0,
    refunds         bigint not null default 0,
    dispute_count   bigint not null default 0,
    disputes        bigint not null default 0,
    payout_count    bigint not null default 0,
    payouts         bigint not null default 0,
    changed_at      timestamptz not null default now(),
    primary key (merchant_id, currency, day, hour)
) with (fillfactor = 50);

create table merchant.kpi_days (
    merchant_id     text not null,
    currency        text not null,
    day             date not null,
    created_count   bigint not null default 0,
    payment_count   bigint not null default 0,
    failed_count    bigint not null default 0,
    abandoned_count bigint not null default 0,
    sales           bigint not null default 0,
    fees            bigint not null default 0,
    refund_count    bigint not null default 0,
    refunds         bigint not null default 0,
    dispute_count   bigint not null default 0,
    disputes        bigint not null default 0,
    payout_count    bigint not null default 0,
    payouts         bigint not null default 0,
    changed_at      timestamptz not null default now(),
    primary key (merchant_id, currency, day)
) with (fillfactor = 50);

-- Succeeded payments per day and method (wave, orange_money, card, ...).
create table merchant.kpi_methods (
    merchant_id   text not null,
    currency      text not null,
    day           date not null,
    method        text not null,
    payment_count bigint not null default 0,
    sales         bigint not null default 0,
    primary key (merchant_id, currency, day, method)
) with (fillfactor = 50);

-- How often a merchant's buckets have changed. A cached figure names the count it
-- was computed at, and is stale as soon as the two differ.
create table merchant.kpi_heads (
    merchant_id text primary key references tenancy.merchants (id),
    version     bigint not null default 1,
    changed_at  timestamptz not null default now()
) with (fillfactor = 50);

-- Beyond the specification's columns: the two sums behind each value (so that the
-- worker can add to them), the same for the previous period, the local days both
-- cover, the head they belong to, when the merchant's day ends, and US cents for one
-- minor unit. Money without a known rate has no equivalent.
create table merchant.merchant_kpis_cache (
    merchant_id          text not null,
    period               text not null,
    kpi_key              text not null,
    currency             text not null,
    value                numeric(30, 8) not null,
    usd_equivalent       numeric(30, 8),
    txn_count            bigint,
    metadata             jsonb not null default '{}',
    computed_at          timestamptz not null default now(),
    numerator            bigint not null,
    denominator          bigint,
    previous_value       numeric(30, 8) not null,
    previous_numerator   bigint not null,
    previous_denominator bigint,
    from_day             date not null,
    to_day               date not null,
    previous_from_day    date not null,
    previous_to_day      date not null,
    valid_until          timestamptz not null,
    as_of                bigint not null,
    usd_rate             numeric(24, 12),
    primary key (merchant_id, period, kpi_key, currency)
) with (fillfactor = 50);

-- Per merchant-local day, for the last two years. It reads the buckets and carries
-- their own changed-at, so that a concurrent refresh writes only what changed.
create materialized view merchant.mv_merchant_tx_agg as
    select merchant_id,
           day,
           currency,
           payment_count,
           refund_count,
           sales as total_sales,
           refunds as total_refunds,
           fees as total_fees,
           changed_at as computed_at
      from merchant.kpi_days
     where day >= (now() - interval '2 years')::date;
create unique index mv_merchant_tx_agg_key
    on merchant.mv_merchant_tx_agg (merchant_id, day, currency);

create table merchant.merchant_alerts (
    id                   uuid primary key,
    merchant_id          text not null references tenancy.merchants (id),
    alert_type           text not null,
    severity             text not null constraint severity_known check (severity in ('info', 'warning', 'critical')),
    title                text not null,
    description          text not null,
    related_transactions text[] not null default '{}',
    related_entities     jsonb not null default '{}',
    sira_score           numeric(5, 4),
    sira_tags            text[] not null default '{}',
    sira_recommendations text[] not null default '{}',
    status               text not null default 'active' constraint alert_status_known
                         check (status in ('active', 'acknowledged', 'resolved', 'dismissed')),
    acknowledged_by      text,
    acknowledged_at      timestamptz,
    resolved_at          timestamptz,
    created_at           timestamptz not null default now(),
    expires_at           timestamptz,
    episode              text not null,
    facts                jsonb not null default '{}',
    constraint one_alert_an_episode unique (merchant_id, alert_type, episode),
    constraint acknowledged_by_somebody check ((acknowledged_at is null) = (acknowledged_by is null))
);
create index merchant_alerts_newest on merchant.merchant_alerts (merchant_id, created_at desc, id desc);

create table merchant.merchant_actions_audit (
    id                  uuid primary key,
    merchant_id         text not null references tenancy.merchants (id),
    user_id             text not null,
    action_type         text not null,
    resource_type       text not null,
    resource_id         text,
    ip_address          text,
    user_agent          text,
    changes             jsonb not null default '{}',
    requires_2fa        boolean not null default false,
    two_factor_verified boolean not null default false,
    approval_required   boolean not null default false,
    approval_id         text,
    created_at          timestamptz not null default now()
);
create index merchant_actions_audit_newest
    on merchant.merchant_actions_audit (merchant_id, created_at desc, id desc);
create function merchant.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit trail is append-only' using errcode = 'restrict_violation';
end
$$;
create trigger audit_append_only before update or delete on merchant.merchant_actions_audit
    for each row execute function merchant.refuse_change();

-- How far each imported file got, so that a killed import goes on where it stopped.
create table merchant.imports (
    merchant_id  text not null references tenancy.merchants (id),
    file_sha256  text not null,
    mapping      text not null,
    lines_done   bigint not null default 0,
    rows_loaded  bigint not null default 0,
    rows_skipped bigint not null default 0,
    rows_refused bigint not null default 0,
    started_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    finished_at  timestamptz,
    primary key (merchant_id, file_sha256, mapping)
);

do $$
declare
    name text;
begin
    foreach name in array array[
        'merchant_dashboards', 'kpi_facts', 'kpi_hours', 'kpi_days', 'kpi_methods', 'kpi_heads',
        'merchant_kpis_cache', 'merchant_alerts', 'merchant_actions_audit', 'imports'
    ] loop
        execute format('alter table merchant.%I enable row level security', name);
        execute format(
            'create policy merchant_sees_own on merchant.%I to molam_web
             using (merchant_id = current_setting(''molam.merchant_id'', true))', name);
        execute format(
            'create policy worker_sees_all on merchant.%I to molam_worker using (true) with check (true)', name);
        execute format(
            'create policy refresh_sees_all on merchant.%I to molam_refresh using (true) with check (true)', name);
    end loop;
end
$$;
grant select on merchant.merchant_dashboards, merchant.kpi_hours, merchant.kpi_days,
                merchant.kpi_methods, merchant.kpi_heads,
                merchant.merchant_kpis_cache, merchant.merchant_alerts, merchant.merchant_actions_audit
   to molam_web;
grant insert, update on merchant.merchant_kpis_cache to molam_web;
grant update (status, acknowledged_by, acknowledged_at) on merchant.merchant_alerts to molam_web;
grant insert on merchant.merchant_actions_audit to molam_web;
grant select, insert, update on all tables in schema merchant to molam_worker;
grant delete on merchant.merchant_kpis_cache to molam_worker;
grant select on all tables in schema merchant to molam_refresh;
grant update on merchant.kpi_facts, merchant.kpi_heads, merchant.merchant_dashboards to molam_refresh;
grant insert, delete on merchant.kpi_hours, merchant.kpi_days, merchant.kpi_methods to molam_refresh;
grant delete on merchant.merchant_kpis_cache to molam_refresh;
revoke update on merchant.merchant_actions_audit from molam_worker;

-- Only its owner may refresh a materialised view before PostgreSQL 17, and a
-- concurrent refresh makes a temporary table.
grant create on schema merchant to molam_refresh;
alter materialized view merchant.mv_merchant_tx_agg owner to molam_refresh;
do $$
begin
    execute format('grant temporary on database %I to molam_refresh', current_database());
end
$$;
grant select on merchant.mv_merchant_tx_agg to molam_worker;
