-- What is measured, which rule judges it, the alerts that follow, and what is done about them.

create schema alerts;
create schema ops;
do $$
begin
    execute format(
        'alter database %I set search_path to merchant, mesh, alerts, ops, payments, ledger, tenancy, approvals, audit, notices, webhooks, sira, platform, public',
        current_database()
    );
end
$$;
set local search_path to alerts, approvals, tenancy, public;
grant usage on schema alerts, ops to molam_ops, molam_worker;

create domain alerts.tenant_kind as text
    check (value in ('platform', 'merchant', 'agent', 'bank', 'region'));
create domain alerts.alert_kind as text
    check (value in ('float_low', 'recon_match_drop', 'refund_spike', 'payout_fail_rate', 'dlq_growth',
                     'fraud_score_high', 'conversion_drop', 'chargeback_spike'));
create domain alerts.severity as text check (value in ('info', 'warning', 'critical'));

-- When a measured value is an alert. Of the rules for one type and metric, the most
-- specific decides: a tenant's own before its currency's before the general one.
create table alerts.metric_rules (
    id            text primary key constraint rule_id_bounded check (length(id) between 1 and 140),
    alert_type    alerts.alert_kind not null,
    metric        text not null constraint metric_bounded check (metric ~ '^[a-z][a-z0-9_.]{0,63}$'),
    comparison    text not null constraint comparison_known check (comparison in ('below', 'above')),
    tenant_type   alerts.tenant_kind not null,
    tenant_id     text constraint rule_tenant_bounded check (length(tenant_id) between 1 and 255),
    currency      text references tenancy.currencies (code),
    -- Amounts are minor units of the currency; rates and probabilities are shares of one.
    unit          text not null constraint unit_known check (unit in ('amount', 'share', 'count', 'score')),
    fire_at       numeric(30, 6) not null,
    clear_at      numeric(30, 6) not null,
    critical_at   numeric(30, 6),
    for_s         integer not null default 0 constraint for_in_range check (for_s between 0 and 86400),
    keep_firing_s integer not null default 60 constraint keep_in_range check (keep_firing_s between 0 and 86400),
    -- Silence of a source that is an alert of its own; null: silence says nothing.
    no_data_s     integer constraint no_data_in_range check (no_data_s between 30 and 604800),
    severity      alerts.severity not null default 'warning',
    -- Who is told, and who next if nobody acknowledges: [{"after_s": 900, "role": "ops_admin"}].
    notify_roles  text[] not null default '{ops_admin}',
    escalation    jsonb not null default '[]' constraint escalation_is_list check (jsonb_typeof(escalation) = 'array'),
    enabled       boolean not null default true,
    version       integer not null default 1,
    created_by    text not null default 'system',
    updated_by    text not null default 'system',
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint one_rule_a_scope unique nulls not distinct (alert_type, metric, tenant_type, tenant_id, currency),
    constraint platform_has_no_tenant check (tenant_type <> 'platform' or tenant_id is null),
    constraint amounts_have_currency check (unit <> 'amount' or currency is not null),
    constraint levels_in_order
        check (case comparison
                   when 'below' then clear_at >= fire_at and coalesce(critical_at <= fire_at, true)
                   else clear_at <= fire_at and coalesce(critical_at >= fire_at, true) end)
);
create index metric_rules_of_metric on alerts.metric_rules (metric, tenant_type) where enabled;

-- What was measured, by minute: charts, verification and baselines read it. Kept 60 days.
create table alerts.metric_points (
    metric      text not null,
    tenant_type alerts.tenant_kind not null,
    tenant_id   text not null default '',
    currency    text not null default '',
    minute      timestamptz not null constraint minute_is_whole check (date_trunc('minute', minute) = minute),
    last_at     timestamptz not null,
    last_value  numeric(30, 6) not null,
    low         numeric(30, 6) not null,
    high        numeric(30, 6) not null,
    total       numeric(38, 6) not null,
    samples     integer not null constraint point_has_samples check (samples > 0),
    context     jsonb not null default '{}',
    primary key (metric, tenant_type, tenant_id, currency, minute)
);
create index metric_points_by_age on alerts.metric_points using brin (minute);

-- One rule watching one tenant: what it has seen, and where it stands. `fingerprint` is the
-- SHA-256 of the rule's family and the sorted labels; `waiting` holds samples younger than
-- the watermark, so that late ones still find their place.
create table alerts.series (
    fingerprint  bytea primary key constraint fingerprint_is_sha256 check (length(fingerprint) = 32),
    rule_id      text not null references alerts.metric_rules (id),
    rule_version integer not null,
    alert_type   alerts.alert_kind not null,
    metric       text not null,
    tenant_type  alerts.tenant_kind not null,
    tenant_id    text,
    currency     text,
    state        text not null default 'ok'
                 constraint series_state_known check (state in ('ok', 'pending', 'firing', 'clearing', 'no_data')),
    since        timestamptz not null,
    -- What was measured before this has been judged; what is younger waits.
    judged_at    timestamptz not null,
    -- The next moment at which time alone changes something.
    due_at       timestamptz,
    last_at      timestamptz not null,
    last_value   numeric(30, 6) not null,
    previous_value numeric(30, 6),
    context      jsonb not null default '{}',
    -- MessagePack: it is read and written with every batch, and by nobody else.
    waiting      bytea not null default '',
    -- Set while an episode is open: how bad it is, and whether a value or silence opened it.
    severity     alerts.severity,
    opened_by    text constraint series_opened_by_known check (opened_by in ('value', 'silence')),
    recent       bigint not null default 0,
    recent_count smallint not null default 0 constraint recent_count_in_range check (recent_count between 0 and 21),
    flap_at      timestamptz not null,
    is_flapping  boolean not null default false,
    episode      integer not null default 0,
    late_samples bigint not null default 0,
    version      bigint not null default 1,
    updated_at   timestamptz not null default now()
) with (fillfactor = 50);
create index series_due on alerts.series (due_at) where due_at is not null;
create index series_of_tenant on alerts.series (tenant_type, tenant_id, metric);

-- Measurements that were taken in, so that one that comes again counts once. What is too
-- old to be taken in need not be remembered.
create table alerts.heard_events (
    id       uuid primary key,
    heard_at timestamptz not null default now()
);
create index heard_events_by_age on alerts.heard_events using brin (heard_at);

-- Alerts that belong together tell people together.
create table alerts.alert_groups (
    group_key        text primary key constraint group_key_bounded check (length(group_key) between 1 and 400),
    waits_until      timestamptz,
    last_notified_at timestamptz,
    notices          integer not null default 0,
    version          bigint not null default 1
);

create table alerts.alerts (
    id                     uuid primary key,
    alert_type             alerts.alert_kind not null,
    tenant_type            alerts.tenant_kind not null,
    tenant_id              text constraint alert_tenant_bounded check (length(tenant_id) between 1 and 255),
    severity               alerts.severity not null,
    metric                 jsonb not null constraint metric_is_object check (jsonb_typeof(metric) = 'object'),
    state                  text not null default 'open'
                           constraint alert_state_known
                           check (state in ('open', 'acknowledged', 'remediated', 'resolved')),
    -- The specification's word: a silenced open alert reads as suppressed.
    status                 text generated always as (
                               case when state = 'remediated' then 'auto_remediated'
                                    when state = 'open' and is_suppressed then 'suppressed'
                                    else state end) stored,
    is_suppressed          boolean not null default false,
    title                  text not null constraint alert_title_bounded check (length(title) between 1 and 200),
    description            text not null default '',
    -- What the sentences are made of, in either language, and the rows behind it.
    facts                  jsonb not null default '{}' constraint alert_facts_are_object check (jsonb_typeof(facts) = 'object'),
    rule_id                text references alerts.metric_rules (id),
    fingerprint            bytea not null constraint alert_fingerprint_is_sha256 check (length(fingerprint) = 32),
    episode                integer not null constraint episode_counts check (episode > 0),
    currency               text,
    -- By the clock of what was measured; created_at is ours.
    fired_at               timestamptz not null,
    created_at             timestamptz not null default now(),
    acknowledged_at        timestamptz,
    acknowledged_by        text,
    resolved_at            timestamptz,
    resolved_by            text,
    note                   text constraint note_bounded check (length(note) <= 2000),
    remedied_by_action_id  uuid references approvals.ops_actions (id),
    suppressed_until       timestamptz,
    suppression_reason     text,
    -- Flags keep people and remediation quiet; they never change the record.
    is_silenced            boolean not null default false,
    is_inhibited           boolean not null default false,
    is_in_maintenance      boolean not null default false,
    is_flapping            boolean not null default false,
    inhibited_by           uuid references alerts.alerts (id),
    group_key              text not null,
    notified_at            timestamptz,
    resolution_notified_at timestamptz,
    -- As the rule had it when the episode began.
    notify_roles           text[] not null default '{}',
    escalation             jsonb not null default '[]',
    escalation_step        integer not null default 0,
    escalate_at            timestamptz,
    version                bigint not null default 1,
    updated_at             timestamptz not null default now(),
    constraint one_alert_an_episode unique (fingerprint, episode),
    constraint acknowledged_by_somebody check ((acknowledged_at is null) = (acknowledged_by is null)),
    constraint ended_says_when check ((state in ('remediated', 'resolved')) = (resolved_at is not null)),
    constraint resolved_by_somebody check ((resolved_at is null) = (resolved_by is null)),
    constraint never_inhibits_itself check (inhibited_by <> id),
    constraint remediated_has_action check (state <> 'remediated' or remedied_by_action_id is not null)
);
create unique index one_open_alert on alerts.alerts (fingerprint) where resolved_at is null;
create index alerts_of_tenant on alerts.alerts (tenant_type, tenant_id, created_at desc, id desc);
create index alerts_newest on alerts.alerts (created_at desc, id desc);
create index alerts_open on alerts.alerts (severity, created_at desc) where resolved_at is null;
create index alerts_of_type on alerts.alerts (alert_type, created_at desc);
create index alerts_to_escalate on alerts.alerts (escalate_at) where escalate_at is not null;
create index alerts_to_tell on alerts.alerts (group_key) where notified_at is null and resolved_at is null;
create index alerts_of_action on alerts.alerts (remedied_by_action_id) where remedied_by_action_id is not null;

-- Every change of an alert: who or what, from which state to which.
create table alerts.alert_moves (
    id         bigint generated always as identity primary key,
    alert_id   uuid not null references alerts.alerts (id),
    moved      text not null
               constraint move_known
               check (moved in ('opened', 'worsened', 'eased', 'acknowledged', 'noted', 'silenced', 'unsilenced',
                                'inhibited', 'uninhibited', 'maintenance', 'maintenance_ended', 'flapping', 'steady',
                                'told', 'escalated', 'proposed', 'acted', 'verified', 'ineffective', 'resolved',
                                'remediated')),
    by_whom    text not null,
    details    jsonb not null default '{}',
    created_at timestamptz not null default now()
);
create index alert_moves_of_alert on alerts.alert_moves (alert_id, id);

-- Whom not to tell for a while. A matcher names at least one thing; resolves pass through.
create table alerts.silences (
    id         uuid primary key,
    kind       text not null default 'silence' constraint silence_kind_known check (kind in ('silence', 'maintenance')),
    matcher    jsonb not null
               constraint matcher_is_not_empty check (jsonb_typeof(matcher) = 'object' and matcher <> '{}'),
    reason     text not null constraint silence_reason_bounded check (length(reason) between 3 and 500),
    starts_at  timestamptz not null default now(),
    ends_at    timestamptz not null,
    created_by text not null,
    created_at timestamptz not null default now(),
    ended_at   timestamptz,
    ended_by   text,
    constraint silence_ends_in_time check (ends_at > starts_at and ends_at <= starts_at + interval '7 days'),
    constraint silence_ended_by_somebody check ((ended_at is null) = (ended_by is null))
);
create index silences_in_force on alerts.silences (ends_at) where ended_at is null;

-- While an alert that fits `source` is open, those that fit `target` and agree with it in
-- `equal` tell nobody.
create table alerts.inhibitions (
    id         text primary key,
    source     jsonb not null constraint source_is_not_empty check (jsonb_typeof(source) = 'object' and source <> '{}'),
    target     jsonb not null constraint target_is_not_empty check (jsonb_typeof(target) = 'object' and target <> '{}'),
    equal      text[] not null default '{}',
    enabled    boolean not null default true,
    created_by text not null default 'system',
    created_at timestamptz not null default now()
);

create table alerts.remediation_policies (
    id                  text primary key,
    alert_type          alerts.alert_kind not null unique,
    enabled             boolean not null default false,
    -- {"action_type", "params"}: what is asked for if the recommendation agrees.
    auto_action         jsonb not null constraint auto_action_is_object check (jsonb_typeof(auto_action) = 'object'),
    -- What a recommendation may say: {"ADJUST_FLOAT": {"amount_max": {"XOF": 5000000}}}.
    bounds              jsonb not null default '{}' constraint bounds_are_object check (jsonb_typeof(bounds) = 'object'),
    auto_threshold      numeric(5, 4) not null default 0.90
                        constraint auto_threshold_in_range check (auto_threshold between 0 and 1),
    -- For one action type on one target.
    cooldown_seconds    integer not null default 600 constraint cooldown_not_negative check (cooldown_seconds between 0 and 604800),
    last_executed_at    timestamptz,
    require_multi_sig   boolean not null default false,
    required_approvals  integer not null default 2 constraint approvals_in_range check (required_approvals between 1 and 10),
    notify_channels     text[] not null default '{email,slack}',
    -- Blast radius: targets an hour, and the share of all active ones.
    targets_per_hour    integer not null default 10 constraint targets_in_range check (targets_per_hour between 1 and 10000),
    share_of_targets    numeric(5, 4) not null default 0.10 constraint share_in_range check (share_of_targets between 0 and 1),
    -- How long the value must hold beyond its clearing level, and how long we wait for that.
    verify_hold_s       integer not null default 0 constraint hold_in_range check (verify_hold_s between 0 and 86400),
    verify_within_s     integer not null default 900 constraint verify_in_range check (verify_within_s between 10 and 86400),
    version             integer not null default 1,
    created_by          text not null default 'system',
    updated_by          text not null default 'system',
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now()
);

-- What was decided about an alert, by whom and why; never changed.
create table alerts.alert_decisions (
    id         bigint generated always as identity primary key,
    alert_id   uuid not null references alerts.alerts (id) on delete cascade,
    decision   jsonb not null
               constraint decision_says_who_and_what
               check (decision ->> 'actor' in ('sira', 'system', 'user')
                      and decision ->> 'action' in ('suggest', 'skip', 'require_approval', 'execute', 'error', 'create_ops_action')),
    created_at timestamptz not null default now()
);
create index alert_decisions_of_alert on alerts.alert_decisions (alert_id, id);

-- An action that an alert led to, until it is known whether it helped.
create table alerts.remediations (
    id          uuid primary key,
    alert_id    uuid not null references alerts.alerts (id),
    action_id   uuid not null unique references approvals.ops_actions (id),
    action_type text not null,
    target_type text not null,
    target_id   text not null,
    is_manual   boolean not null default false,
    confidence  numeric(5, 4) constraint confidence_is_probability check (confidence between 0 and 1),
    state       text not null default 'asked'
                constraint remediation_state_known
                check (state in ('asked', 'verifying', 'verified', 'ineffective', 'ended')),
    executed_at timestamptz,
    verify_by   timestamptz,
    decided_at  timestamptz,
    created_at  timestamptz not null default now(),
    constraint verifying_has_deadline check (state <> 'verifying' or verify_by is not null)
);
create index remediations_of_target on alerts.remediations (action_type, target_type, target_id, created_at desc);
create index remediations_unsettled on alerts.remediations (state, verify_by) where state in ('asked', 'verifying');
create unique index one_unsettled_remediation on alerts.remediations (alert_id, action_type)
    where state in ('asked', 'verifying');

-- After two remediations without effect nothing more is proposed by itself.
create table alerts.breakers (
    action_type text not null,
    target_type text not null,
    target_id   text not null,
    opened_at   timestamptz not null default now(),
    closed_at   timestamptz,
    closed_by   text,
    primary key (action_type, target_type, target_id, opened_at),
    constraint breaker_closed_by_somebody check ((closed_at is null) = (closed_by is null))
);
create unique index one_open_breaker on alerts.breakers (action_type, target_type, target_id) where closed_at is null;

create view alerts.active_alerts_summary as
    select tenant_type, tenant_id, alert_type, severity, count(*) as alert_count, min(created_at) as oldest_at
      from alerts.alerts
     where resolved_at is null
     group by tenant_type, tenant_id, alert_type, severity;

create view alerts.auto_remediation_stats as
    select alert_type,
           count(*) filter (where status = 'auto_remediated') as auto_remediated_count,
           count(*) filter (where resolved_at is null) as open_count,
           count(*) filter (where state = 'resolved') as resolved_count,
           extract(epoch from avg(resolved_at - created_at))::bigint as avg_resolution_time_seconds
      from alerts.alerts
     group by alert_type;

create function alerts.get_active_alerts_count(wanted_type text, wanted_id text) returns bigint
language sql stable as $$
    select count(*) from alerts.alerts
     where resolved_at is null and tenant_type = wanted_type and tenant_id is not distinct from wanted_id
$$;

create function alerts.moves_are_kept() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end
$$;
create trigger moves_are_kept before update or delete on alerts.alert_moves
    for each row execute function alerts.moves_are_kept();
create trigger decisions_are_kept before update or delete on alerts.alert_decisions
    for each row execute function alerts.moves_are_kept();

grant select on all tables in schema alerts to molam_ops, molam_worker;
grant insert, update on alerts.metric_rules, alerts.metric_points, alerts.series, alerts.alert_groups, alerts.alerts,
    alerts.silences, alerts.inhibitions, alerts.remediation_policies, alerts.remediations, alerts.breakers
    to molam_ops, molam_worker;
grant insert on alerts.alert_moves, alerts.alert_decisions, alerts.heard_events to molam_ops, molam_worker;
grant delete on alerts.metric_points, alerts.series, alerts.heard_events to molam_worker;

-- The specification's thresholds. A float of a million francs is about 20,000 cedis,
-- 2,500,000 naira, 1,500 euro or 1,650 dollars.
insert into alerts.metric_rules
       (id, alert_type, metric, comparison, tenant_type, currency, unit, fire_at, clear_at, critical_at,
        for_s, keep_firing_s, no_data_s, notify_roles, escalation)
values ('float_low', 'float_low', 'float_available', 'below', 'agent', 'XOF', 'amount',
        1000000, 1100000, 500000, 0, 60, null, '{finance_ops,ops_admin}', '[{"after_s": 900, "role": "ops_admin"}, {"after_s": 3600, "role": "cfo"}]'),
       ('float_low.GHS', 'float_low', 'float_available', 'below', 'agent', 'GHS', 'amount',
        2000000, 2200000, 1000000, 0, 60, null, '{finance_ops,ops_admin}', '[{"after_s": 900, "role": "ops_admin"}, {"after_s": 3600, "role": "cfo"}]'),
       ('float_low.NGN', 'float_low', 'float_available', 'below', 'agent', 'NGN', 'amount',
        250000000, 275000000, 125000000, 0, 60, null, '{finance_ops,ops_admin}', '[{"after_s": 900, "role": "ops_admin"}, {"after_s": 3600, "role": "cfo"}]'),
       ('float_low.EUR', 'float_low', 'float_available', 'below', 'agent', 'EUR', 'amount',
        150000, 165000, 75000, 0, 60, null, '{finance_ops,ops_admin}', '[{"after_s": 900, "role": "ops_admin"}]'),
       ('float_low.USD', 'float_low', 'float_available', 'below', 'agent', 'USD', 'amount',
        165000, 181500, 82500, 0, 60, null, '{finance_ops,ops_admin}', '[{"after_s": 900, "role": "ops_admin"}]'),
       ('recon_match_drop', 'recon_match_drop', 'recon_match_rate', 'below', 'bank', null, 'share',
        0.95, 0.96, 0.90, 0, 300, null, '{finance_ops}', '[{"after_s": 3600, "role": "ops_admin"}]'),
       ('refund_spike', 'refund_spike', 'refund_rate', 'above', 'merchant', null, 'share',
        0.05, 0.04, 0.10, 300, 600, null, '{ops_admin}', '[{"after_s": 1800, "role": "compliance"}]'),
       ('payout_fail_rate', 'payout_fail_rate', 'payout_fail_rate', 'above', 'bank', null, 'share',
        0.05, 0.03, 0.15, 60, 300, null, '{pay_admin,treasury_ops}', '[{"after_s": 600, "role": "ops_admin"}]'),
       ('fraud_score_high', 'fraud_score_high', 'fraud_score', 'above', 'merchant', null, 'share',
        0.70, 0.60, 0.90, 0, 600, null, '{ops_admin,compliance}', '[{"after_s": 900, "role": "compliance"}]'),
       ('dlq_growth', 'dlq_growth', 'dlq_held', 'above', 'platform', null, 'count',
        100, 50, 1000, 60, 300, null, '{ops_admin}', '[{"after_s": 1800, "role": "ops_admin"}]'),
       ('conversion_drop', 'conversion_drop', 'conversion_rate', 'below', 'merchant', null, 'share',
        0.80, 0.85, 0.60, 600, 600, null, '{pay_admin}', '[{"after_s": 3600, "role": "ops_admin"}]'),
       ('chargeback_spike', 'chargeback_spike', 'chargeback_rate', 'above', 'merchant', null, 'share',
        0.01, 0.008, 0.03, 0, 3600, null, '{compliance,ops_admin}', '[{"after_s": 3600, "role": "compliance"}]');

insert into alerts.remediation_policies
       (id, alert_type, auto_action, bounds, auto_threshold, cooldown_seconds, require_multi_sig)
values ('float_low', 'float_low', '{"action_type": "ADJUST_FLOAT", "params": {"adjustment": "top_up", "amount": 1000000}}',
        '{"ADJUST_FLOAT": {"adjustment": ["top_up"], "amount_max": {"XOF": 5000000, "GHS": 10000000, "NGN": 1250000000, "EUR": 750000, "USD": 825000}}}',
        0.90, 3600, true),
       ('recon_match_drop', 'recon_match_drop', '{"action_type": "PAUSE_PAYOUT", "params": {"duration": "1h"}}',
        '{"PAUSE_PAYOUT": {"duration_max": "4h"}, "FORCE_RECONCILE": {}}', 0.95, 1800, true),
       ('refund_spike', 'refund_spike', '{"action_type": "FREEZE_MERCHANT", "params": {"duration": "24h"}}',
        '{"FREEZE_MERCHANT": {"duration_max": "24h"}}', 0.92, 3600, true),
       ('payout_fail_rate', 'payout_fail_rate', '{"action_type": "ROUTE_PAYOUT_OVERRIDE", "params": {}}',
        '{"ROUTE_PAYOUT_OVERRIDE": {}}', 0.88, 1800, false),
       ('fraud_score_high', 'fraud_score_high', '{"action_type": "FREEZE_MERCHANT", "params": {"duration": "12h"}}',
        '{"FREEZE_MERCHANT": {"duration_max": "24h"}}', 0.95, 7200, true),
       ('dlq_growth', 'dlq_growth', '{"action_type": "REQUEUE_DLQ", "params": {"max_items": 1000}}',
        '{"REQUEUE_DLQ": {"max_items_max": 1000}}', 0.85, 600, false),
       ('conversion_drop', 'conversion_drop', '{"action_type": "UPDATE_RISK_THRESHOLD", "params": {}}',
        '{"UPDATE_RISK_THRESHOLD": {}}', 0.95, 3600, true),
       ('chargeback_spike', 'chargeback_spike', '{"action_type": "FREEZE_MERCHANT", "params": {"duration": "24h"}}',
        '{"FREEZE_MERCHANT": {"duration_max": "24h"}}', 0.95, 7200, true);

insert into alerts.inhibitions (id, source, target, equal)
values ('critical-quiets-warning', '{"severity": "critical"}', '{"severity": "warning"}', '{alert_type,tenant_type,tenant_id}'),
       ('bank-trouble-quiets-reconciliation', '{"alert_type": "payout_fail_rate"}', '{"alert_type": "recon_match_drop"}', '{tenant_type,tenant_id}');
