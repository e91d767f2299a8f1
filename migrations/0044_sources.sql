-- What the product measures of itself, and what it tells when something is out of the ordinary.

set local search_path to alerts, ledger, approvals, payments, tenancy, public;

-- What was told last: a value that stays is told again only now and then.
create table alerts.told_values (
    metric      text not null,
    tenant_type alerts.tenant_kind not null,
    tenant_id   text not null default '',
    currency    text not null default '',
    value       numeric(30, 6) not null,
    told_at     timestamptz not null,
    primary key (metric, tenant_type, tenant_id, currency)
) with (fillfactor = 50);
grant select, insert, update on alerts.told_values to molam_worker;
grant select on alerts.told_values to molam_ops;

create index bank_health_logs_attempted on mesh.bank_health_logs (checked_at) where attempts > 0;
create index risk_scored on approvals.approvals_action (created_at) where sira_score is not null;
grant select on approvals.approvals_action to molam_worker;

-- Whatever moves an agent's float has it measured at once. The job reads the float for
-- itself after the movement has become true; so however movements cross, the last
-- measurement is of the last of them.
create function alerts.measure_float() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
    insert into jobs.pgqueuer (priority, entrypoint, payload, status)
    values (0, 'alerts.measure_float',
            convert_to(json_build_object('account_id', new.id)::text, 'UTF8'), 'queued');
    return null;
end
$$;
create trigger float_is_measured after update of balance on ledger.accounts
    for each row when (new.kind = 'agent_float' and new.balance is distinct from old.balance)
    execute function alerts.measure_float();

-- How far out of the ordinary: -log10 of the probability of seeing it by chance.
-- What is judged by the hour keeps firing for a day, so that one incident is one alert.
insert into alerts.metric_rules
       (id, alert_type, metric, comparison, tenant_type, currency, unit, fire_at, clear_at, critical_at,
        for_s, keep_firing_s, no_data_s, notify_roles, escalation)
values ('conversion_drop.unusual', 'conversion_drop', 'conversion_rate.unusual', 'above', 'merchant', null, 'score',
        5, 3, 10, 0, 86400, null, '{pay_admin}', '[{"after_s": 3600, "role": "ops_admin"}]'),
       ('refund_spike.unusual', 'refund_spike', 'refund_rate.unusual', 'above', 'merchant', null, 'score',
        5, 3, 10, 0, 86400, null, '{ops_admin}', '[{"after_s": 1800, "role": "compliance"}]'),
       ('chargeback_spike.unusual', 'chargeback_spike', 'chargeback_rate.unusual', 'above', 'merchant', null, 'score',
        5, 3, 10, 0, 86400, null, '{compliance,ops_admin}', '[{"after_s": 3600, "role": "compliance"}]'),
       ('conversion_drop.unusual.platform', 'conversion_drop', 'conversion_rate.unusual', 'above', 'platform', null,
        'score', 5, 3, 10, 0, 86400, null, '{ops_admin,pay_admin}', '[{"after_s": 900, "role": "ops_admin"}]'),
       -- Fewer payments than the hour usually has, whatever becomes of them: nobody gets through.
       ('conversion_drop.payments.platform', 'conversion_drop', 'payments.unusual', 'above', 'platform', null,
        'score', 5, 3, 10, 0, 86400, null, '{ops_admin,pay_admin}', '[{"after_s": 900, "role": "ops_admin"}]'),
       ('refund_spike.unusual.platform', 'refund_spike', 'refund_rate.unusual', 'above', 'platform', null,
        'score', 5, 3, 10, 0, 86400, null, '{ops_admin}', '[{"after_s": 1800, "role": "compliance"}]'),
       ('chargeback_spike.unusual.platform', 'chargeback_spike', 'chargeback_rate.unusual', 'above', 'platform', null,
        'score', 5, 3, 10, 0, 86400, null, '{compliance,ops_admin}', '[{"after_s": 3600, "role": "compliance"}]'),
       ('payout_fail_rate.unusual', 'payout_fail_rate', 'payout_fail_rate.unusual', 'above', 'bank', null, 'score',
        5, 3, 10, 0, 3600, null, '{pay_admin,treasury_ops}', '[{"after_s": 600, "role": "ops_admin"}]');
