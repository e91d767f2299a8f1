-- What taking in signals needs beside the beliefs themselves.

set local search_path to mesh, payments, tenancy, public;

-- How a bank usually is in each hour of the week (UTC, Monday at midnight is 0).
create table mesh.hourly_baselines (
    bank_profile_id text not null references payments.bank_profiles (id),
    rail            text not null,
    currency        text not null references tenancy.currencies (code),
    hour_of_week    smallint not null constraint hour_of_week_in_range check (hour_of_week between 0 and 167),
    p99_ms          integer not null constraint p99_not_negative check (p99_ms >= 0),
    mean_ms         integer not null constraint mean_not_negative check (mean_ms >= 0),
    -- In an hour.
    attempts        double precision not null constraint attempts_not_negative check (attempts >= 0),
    minutes         integer not null,
    updated_at      timestamptz not null default now(),
    primary key (bank_profile_id, rail, currency, hour_of_week)
);

-- One report of others about a bank counts in each ten seconds, however often it is sent.
create table mesh.heard_reports (
    bank_profile_id text not null references payments.bank_profiles (id),
    slot            bigint not null,
    heard_at        timestamptz not null default now(),
    primary key (bank_profile_id, slot)
);
create index heard_reports_age on mesh.heard_reports (heard_at);

-- Signals that have had their effect. On its way through Kafka an event may come twice.
create table mesh.heard_signals (
    event_id uuid primary key,
    heard_at timestamptz not null default now()
);
create index heard_signals_age on mesh.heard_signals using brin (heard_at);

-- Our own requests that never left, for telling our network's trouble from a bank's.
create table mesh.unreached (
    bank_profile_id text not null references payments.bank_profiles (id),
    at              timestamptz not null,
    primary key (bank_profile_id, at)
);
create index unreached_age on mesh.unreached (at);

-- Whether the beginning and the end of an announced outage have been told to the controller.
alter table mesh.declared_outages
    add column begin_told_at timestamptz,
    add column end_told_at   timestamptz;
create index declared_outages_untold on mesh.declared_outages (begins_at)
    where begin_told_at is null or end_told_at is null;

grant select, insert, update, delete on mesh.hourly_baselines to molam_worker;
grant select, insert, delete on mesh.heard_reports, mesh.heard_signals, mesh.unreached to molam_worker;
grant select on mesh.hourly_baselines, mesh.heard_reports, mesh.unreached to molam_ops;
