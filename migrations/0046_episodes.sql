-- Which alerts keep which others quiet may be changed: by whom is said, and what it may name.

set local search_path to alerts, public;

alter table alerts.inhibitions
    add column updated_by text not null default 'system',
    add column updated_at timestamptz not null default now(),
    add constraint inhibition_id_bounded check (id ~ '^[a-z0-9][a-z0-9.-]{0,63}$'),
    add constraint inhibition_equal_known
        check (equal <@ '{alert_type,metric,tenant_type,tenant_id,currency,severity}'::text[]);

grant delete on alerts.inhibitions to molam_ops;
