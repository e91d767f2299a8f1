-- Several figures that are unusual together, though none of them need be so alone.

set local search_path to alerts, public;

-- Judged by the hour and kept firing for a day, as all that is told as a score.
insert into alerts.metric_rules
       (id, alert_type, metric, comparison, tenant_type, currency, unit, fire_at, clear_at, critical_at,
        for_s, keep_firing_s, no_data_s, notify_roles, escalation)
values ('fraud_score_high.joint', 'fraud_score_high', 'merchant.joint.unusual', 'above', 'merchant', null, 'score',
        5, 3, null, 0, 86400, null, '{ops_admin,compliance}', '[{"after_s": 3600, "role": "compliance"}]'),
       ('fraud_score_high.joint.platform', 'fraud_score_high', 'platform.joint.unusual', 'above', 'platform', null,
        'score', 5, 3, null, 0, 86400, null, '{ops_admin}', '[{"after_s": 3600, "role": "ops_admin"}]');
