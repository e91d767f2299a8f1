-- Remedies by kind of tenant, and one action for many targets at once.

set local search_path to alerts, approvals, tenancy, public;

-- What nobody has changed since it was installed. A merchant's pause does not help a bank
-- whose statements do not match: it is handed nothing more while people look.
update alerts.remediation_policies
   set auto_action = auto_action || '{"for_tenants": {"bank": {"action_type": "EMERGENCY_CIRCUIT_BREAK", "params": {"minutes": 60}}}}',
       bounds = bounds || '{"EMERGENCY_CIRCUIT_BREAK": {"minutes_max": 240}}'
 where alert_type = 'recon_match_drop' and version = 1;
-- An amount says in which currency it is: a million francs are not a million cents.
update alerts.remediation_policies
   set auto_action = jsonb_set(auto_action, '{params,currency}', '"XOF"')
 where alert_type = 'float_low' and version = 1;
-- Nothing that could be asked for makes more payments succeed.
update alerts.remediation_policies
   set auto_action = '{"action_type": "manual_review", "params": {}}', bounds = '{}'
 where alert_type = 'conversion_drop' and version = 1;
-- These rates count a day of statements, a day of refunds, four weeks of disputes: no remedy
-- shows in them within a quarter of an hour.
update alerts.remediation_policies
   set verify_within_s = 86400
 where alert_type in ('recon_match_drop', 'refund_spike', 'fraud_score_high', 'chargeback_spike')
   and version = 1 and verify_within_s = 900;

-- One action may be for many alerts.
alter table alerts.remediations drop constraint remediations_action_id_key;
alter table alerts.remediations
    add constraint one_remediation_of_alert unique (action_id, alert_id),
    add column is_group boolean not null default false;

-- What the blast radius held back, until one action for all of them takes it in.
create table alerts.held_remedies (
    alert_id    uuid primary key references alerts.alerts (id),
    alert_type  alerts.alert_kind not null,
    action_type text not null,
    target_type text not null,
    target_id   text not null,
    params      jsonb not null constraint held_params_are_object check (jsonb_typeof(params) = 'object'),
    confidence  numeric(5, 4),
    held_at     timestamptz not null default now(),
    action_id   uuid references approvals.ops_actions (id),
    let_go_at   timestamptz
);
create index held_remedies_waiting on alerts.held_remedies (alert_type, action_type, held_at)
    where action_id is null and let_go_at is null;

-- What became of each target of such an action. A row is written with the effect, or neither is.
create table alerts.group_results (
    action_id  uuid not null references approvals.ops_actions (id),
    alert_id   uuid not null references alerts.alerts (id),
    is_done    boolean not null default false,
    said       jsonb not null default '{}',
    created_at timestamptz not null default now(),
    primary key (action_id, alert_id)
);

grant select, insert, update on alerts.held_remedies, alerts.group_results to molam_ops, molam_worker;
