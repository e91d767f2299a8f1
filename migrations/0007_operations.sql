-- What operations act upon: the role of the ops processes, agents and their floats,
-- merchants' fees and freezes, people who left, limits that can be changed.

do $$
begin
    if not exists (select from pg_roles where rolname = 'molam_ops') then
        create role molam_ops nologin;
    end if;
    grant molam_ops to current_user;
    -- Whatever operations decide, workers may carry out.
    grant molam_ops to molam_worker;
end
$$;

create schema audit;
create schema notices;
create schema approvals;
create schema sira;
do $$
begin
    execute format(
        'alter database %I set search_path to merchant, payments, ledger, tenancy, approvals, audit, notices, sira, platform, public',
        current_database()
    );
end
$$;
set local search_path to merchant, payments, ledger, tenancy, approvals, audit, notices, sira, platform, public;
grant usage on schema audit, notices, approvals, sira to molam_ops, molam_worker;
grant usage on schema platform, tenancy, ledger, payments, merchant, jobs to molam_ops;

-- People leave; what they decided stays readable under their name.
alter table tenancy.people
    add column deactivated_at timestamptz,
    add column is_service boolean not null default false,
    -- Who answers for a service: it acts for them, so they may not approve what it asks.
    add column owner_id text references tenancy.people (id),
    add constraint services_are_owned check (owner_id is null or is_service);
create function tenancy.tell_person_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('directory', new.id);
    return null;
end
$$;
create trigger people_changed after update of deactivated_at, is_service on tenancy.people
    for each row execute function tenancy.tell_person_changed();

-- Other names of one person: a chat id, a telephone number, an account elsewhere.
create table tenancy.person_aliases (
    alias      text primary key constraint alias_bounded check (length(alias) between 1 and 255),
    person_id  text not null references tenancy.people (id),
    created_at timestamptz not null default now()
);
create index person_aliases_person on tenancy.person_aliases (person_id);
create index role_grants_role on tenancy.role_grants (role) where revoked_at is null;

alter table tenancy.role_grants drop constraint role_known;
alter table tenancy.role_grants add constraint role_known check (role in (
    'merchant_admin', 'merchant_accountant', 'merchant_support',
    'ops_admin', 'finance_ops', 'pay_admin', 'compliance', 'cfo', 'auditor',
    'treasury_ops', 'mesh_viewer', 'super_admin'
));

-- Who may be asked to decide: active people, their platform roles, and since when;
-- and each of them once without a role, for policies that name people.
create view tenancy.role_holders as
    select p.id as person_id, p.name, p.email, p.locale, g.role, g.granted_at
      from tenancy.people as p
      join tenancy.role_grants as g on g.person_id = p.id
     where g.revoked_at is null
       and g.merchant_id is null
       and p.deactivated_at is null
       and not p.is_service
    union all
    select p.id, p.name, p.email, p.locale, '', p.created_at
      from tenancy.people as p
     where p.deactivated_at is null
       and not p.is_service;

-- The person behind a name.
create function tenancy.principal(name text) returns text language sql stable parallel safe as $$
    select coalesce((select person_id from tenancy.person_aliases where alias = name), name)
$$;

create table tenancy.agents (
    id         text primary key constraint agent_id_bounded check (length(id) between 1 and 255),
    name       text not null,
    city       text,
    country    char(2) not null,
    currency   text not null references tenancy.currencies (code),
    status     text not null default 'active' constraint agent_status_known check (status in ('active', 'closed')),
    owner_id   text references tenancy.people (id),
    created_at timestamptz not null default now()
);

-- Why a merchant is frozen and until when. `status` says that it is; an end that has come
-- counts at once, whether or not the row has been ended.
create table tenancy.merchant_freezes (
    id          uuid primary key,
    merchant_id text not null references tenancy.merchants (id),
    reason      text not null constraint reason_bounded check (length(reason) between 1 and 500),
    frozen_by   text not null,
    frozen_at   timestamptz not null default now(),
    until       timestamptz,
    ended_at    timestamptz,
    ended_by    text,
    -- The approved actions that laid and ended it.
    action_id       text,
    ended_action_id text,
    constraint ended_is_whole check ((ended_at is null) = (ended_by is null)),
    constraint freeze_lasts check (until > frozen_at)
);
create unique index merchant_frozen_once on tenancy.merchant_freezes (merchant_id) where ended_at is null;

-- In basis points of the amount. Of the rows whose day has come, that of the latest day is
-- in force, and of two for one day the one set last.
create table tenancy.merchant_fees (
    id             uuid primary key,
    merchant_id    text not null references tenancy.merchants (id),
    basis_points   numeric(7, 2) not null constraint fee_bounded check (basis_points between 0 and 10000),
    effective_date date not null,
    set_by         text not null,
    set_at         timestamptz not null default now(),
    action_id      text
);
create index merchant_fees_in_force on tenancy.merchant_fees (merchant_id, effective_date desc, set_at desc);

-- A transfer belongs to a merchant or to an agent.
alter table ledger.transfers alter column merchant_id drop not null;
alter table ledger.transfers add column agent_id text references tenancy.agents (id);
alter table ledger.transfers add constraint transfer_has_one_owner
    check (num_nonnulls(merchant_id, agent_id) = 1);
create index transfers_agent on ledger.transfers (agent_id, posted_at desc) where agent_id is not null;

-- What one requeueing put back, so that it puts it back once.
alter table platform.dead_letters add column requeued_by text;
create index dead_letters_requeued_by on platform.dead_letters (requeued_by) where requeued_by is not null;
create index dead_letters_waiting on platform.dead_letters (id) where requeued_at is null;

create or replace view ledger.entries as
    select id as transfer_id, source as account_id, -amount as amount, currency,
           merchant_id, cause, cause_id, occurred_at, posted_at, agent_id
      from ledger.transfers
     union all
    select id, target, amount, currency, merchant_id, cause, cause_id, occurred_at, posted_at, agent_id
      from ledger.transfers;

-- People look for names without their accents. What `lower` makes of those depends on
-- the server's locale, so both cases are listed: the letters of French and Portuguese.
create function tenancy.folded(text) returns text
language sql immutable parallel safe
return translate(lower($1), 'àâäáãçèéêëìíîïñòóôöõùúûüÿÀÂÄÁÃÇÈÉÊËÌÍÎÏÑÒÓÔÖÕÙÚÛÜŸ',
                            'aaaaaceeeeiiiinooooouuuuyaaaaaceeeeiiiinooooouuuuy');

-- A transaction is looked for across merchants by its id or reference.
create index wallet_transactions_id on payments.wallet_transactions (id text_pattern_ops);
create index wallet_transactions_any_reference
    on payments.wallet_transactions (lower(reference_code) text_pattern_ops)
    where reference_code is not null;

-- Requests an hour that one caller may make of one kind.
create table platform.rate_limits (
    name       text primary key,
    per_hour   integer not null constraint limit_positive check (per_hour between 1 and 1000000),
    changed_by text not null,
    changed_at timestamptz not null default now()
);
create unlogged table platform.rate_counts (
    name    text not null,
    caller  text not null,
    hour    timestamptz not null,
    used    integer not null,
    primary key (name, caller, hour)
) with (fillfactor = 50);
create index rate_counts_hour on platform.rate_counts (hour);

alter table tenancy.merchant_freezes enable row level security;
alter table tenancy.merchant_fees enable row level security;
create policy merchant_sees_own on tenancy.merchant_freezes for select to molam_web
    using (merchant_id = current_setting('molam.merchant_id', true));
create policy merchant_sees_own on tenancy.merchant_fees for select to molam_web
    using (merchant_id = current_setting('molam.merchant_id', true));

do $$
declare
    target text;
begin
    foreach target in array array[
        'ledger.accounts', 'ledger.transfers',
        'payments.wallet_transactions', 'payments.payouts', 'payments.disputes',
        'merchant.merchant_dashboards', 'merchant.kpi_facts', 'merchant.kpi_hours', 'merchant.kpi_days',
        'merchant.kpi_methods', 'merchant.kpi_heads', 'merchant.merchant_alerts',
        'tenancy.merchant_freezes', 'tenancy.merchant_fees'
    ] loop
        execute format('create policy ops_sees_all on %s to molam_ops using (true) with check (true)', target);
        execute format('grant select on %s to molam_ops', target);
    end loop;
end
$$;

grant select on all tables in schema tenancy to molam_ops, molam_web, molam_worker, molam_refresh;
grant select on ledger.entries, ledger.fx_rates to molam_ops;
grant update (status) on tenancy.merchants to molam_ops;
-- Nothing closes an agent yet; whoever moves its money locks its row.
grant update (status) on tenancy.agents to molam_ops;
grant insert on tenancy.merchant_freezes, tenancy.merchant_fees to molam_ops;
grant update (ended_at, ended_by, ended_action_id) on tenancy.merchant_freezes to molam_ops;
grant insert, update on ledger.accounts to molam_ops;
grant insert on ledger.transfers to molam_ops;
grant select, insert on platform.events to molam_ops;
grant select on platform.consumer_progress to molam_ops;
grant select, insert, update on platform.dead_letters to molam_ops;
grant select, insert, update on platform.rate_limits to molam_ops;
grant select, insert, update, delete on platform.rate_counts to molam_ops, molam_web;
grant select on platform.rate_limits to molam_web;
grant select, insert, update, delete on platform.sessions, platform.sign_ins to molam_ops;
grant select, insert, update on jobs.pgqueuer, jobs.pgqueuer_log to molam_ops;
grant usage, select on all sequences in schema jobs to molam_ops;
