-- Roles, the event log, consumer progress, dead letters, browser sessions.

-- One role for each process kind. They cannot log in: a process connects with the
-- login of DATABASE_URL and takes its role at connection start. Roles belong to
-- the cluster, so another database may have made them already.
do $$
declare
    name text;
begin
    foreach name in array array['molam_web', 'molam_worker', 'molam_refresh'] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I nologin', name);
        end if;
        execute format('grant %I to current_user', name);
    end loop;
end
$$;

create schema platform;
create schema tenancy;
create schema ledger;
create schema payments;
create schema merchant;
create schema jobs;

-- Bare table names work in psql and in the specification's examples.
do $$
begin
    execute format(
        'alter database %I set search_path to merchant, payments, ledger, tenancy, platform, public',
        current_database()
    );
end
$$;
set local search_path to merchant, payments, ledger, tenancy, platform, public;

grant usage on schema platform, tenancy, ledger, payments, merchant
   to molam_web, molam_worker, molam_refresh;
grant usage on schema jobs to molam_web, molam_worker;

-- Outbox and log in one. Writers never wait for each other, so ids become visible
-- out of order; readers go by (xid, id) below the oldest unfinished writer. See
-- Note [The horizon] in platform/events/log.py.
create table platform.events (
    id         bigint generated always as identity primary key,
    xid        xid8 not null default pg_current_xact_id(),
    topic      text not null constraint topic_named check (topic ~ '^[a-z][a-z0-9_.]{0,63}$'),
    part       smallint not null constraint part_known check (part between 0 and 3),
    key        text not null constraint key_bounded check (length(key) between 1 and 255),
    payload    json not null,
    created_at timestamptz not null default now()
);
create index events_position on platform.events (part, xid, id);
create index events_created_at on platform.events using brin (created_at);

create table platform.consumer_progress (
    "group"    text not null,
    topic      text not null,
    part       smallint not null,
    pos        bigint not null default -1,
    xid        xid8 not null default '0',
    updated_at timestamptz not null default now(),
    primary key ("group", topic, part)
) with (fillfactor = 50);

create table platform.dead_letters (
    id          bigint generated always as identity primary key,
    "group"     text not null,
    topic       text not null,
    part        smallint not null,
    pos         bigint not null,
    payload     text not null,
    reason      text not null,
    failed_at   timestamptz not null default now(),
    requeued_at timestamptz,
    unique ("group", topic, part, pos)
);

-- The first statement of a job claims its id here; see platform/jobs.py.
create table platform.job_effects (
    job_id  bigint primary key,
    done_at timestamptz not null default now()
);

-- Browser sessions. Only a SHA-256 of the cookie is kept, so that reading this
-- table does not let anybody in.
create table platform.sessions (
    id_hash       bytea primary key,
    app           text not null,
    subject       text not null,
    claims        jsonb not null,
    csrf          text not null,
    created_at    timestamptz not null default now(),
    seen_at       timestamptz not null default now(),
    expires_at    timestamptz not null,
    constraint session_ends check (expires_at > created_at)
);
create index sessions_subject on platform.sessions (subject);
create index sessions_expires_at on platform.sessions (expires_at);

-- A sign-in under way: PKCE verifier, nonce and where to go afterwards.
create table platform.sign_ins (
    state         text primary key,
    app           text not null,
    verifier      text not null,
    nonce         text not null,
    next_path     text not null,
    browser_hash  bytea not null,
    created_at    timestamptz not null default now()
);

grant select, insert on platform.events to molam_web, molam_worker;
grant delete on platform.events to molam_worker;
grant select, insert, update on platform.consumer_progress to molam_worker;
grant select on platform.consumer_progress to molam_web, molam_refresh;
grant select, insert, update on platform.dead_letters to molam_worker;
grant select, insert, delete on platform.job_effects to molam_worker, molam_refresh;
grant select, insert, update, delete on platform.sessions, platform.sign_ins to molam_web;
grant delete, select on platform.sessions, platform.sign_ins to molam_worker;

-- The reader of the log must see which unfinished transactions belong to roles
-- that never write to it.
grant molam_refresh to molam_worker;
