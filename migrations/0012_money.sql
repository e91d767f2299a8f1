-- What moving money stands on: the role that moves it for a merchant, promised money,
-- and requests that are answered once.

do $$
begin
    if not exists (select from pg_roles where rolname = 'molam_money') then
        create role molam_money nologin;
    end if;
    grant molam_money to current_user;
end
$$;

create schema webhooks;
do $$
begin
    execute format(
        'alter database %I set search_path to merchant, payments, ledger, tenancy, approvals, audit, notices, webhooks, sira, platform, public',
        current_database()
    );
end
$$;
set local search_path to merchant, payments, ledger, tenancy, approvals, audit, notices, webhooks, sira, platform, public;

grant usage on schema platform, tenancy, ledger, payments, merchant, jobs, approvals, audit, notices, webhooks, sira
   to molam_money;
grant usage on schema webhooks to molam_web, molam_ops, molam_worker;

-- What the engine needs, the merchant app needs as well: refunds are approved there. It
-- is not made a member of molam_ops, whose policies show every merchant.
do $$
declare
    one record;
begin
    for one in
        select n.nspname, c.relname, a.privilege_type
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
         cross join lateral aclexplode(c.relacl) as a
         where a.grantee = 'molam_ops'::regrole
           and c.relkind in ('r', 'v')
           and n.nspname in ('approvals', 'audit', 'notices', 'sira', 'platform', 'jobs', 'tenancy')
           and not (n.nspname in ('platform', 'tenancy') and a.privilege_type <> 'SELECT'
                    and c.relname not in ('events', 'rate_counts', 'sessions', 'sign_ins'))
           -- Asking, voting and carrying out; not rules, freezes or other people's keys.
           and not (n.nspname = 'approvals' and a.privilege_type <> 'SELECT'
                    and c.relname not in ('ops_actions', 'ops_approvals', 'execution_attempts', 'action_comments'))
    loop
        execute format('grant %s on %I.%I to molam_money', one.privilege_type, one.nspname, one.relname);
    end loop;
    for one in
        select n.nspname, c.relname, t.attname, a.privilege_type
          from pg_attribute t
          join pg_class c on c.oid = t.attrelid
          join pg_namespace n on n.oid = c.relnamespace
         cross join lateral aclexplode(t.attacl) as a
         where a.grantee = 'molam_ops'::regrole
           and n.nspname in ('audit', 'notices')
    loop
        execute format('grant %s (%I) on %I.%I to molam_money',
                       one.privilege_type, one.attname, one.nspname, one.relname);
    end loop;
end
$$;
grant usage, select on all sequences in schema jobs to molam_money;

-- The two walls of every table that belongs to merchants: what its name may do, and
-- whose rows it sees.
create function platform.guard_tenant(target regclass) returns void language plpgsql as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format(
        'create policy merchant_sees_own on %s to molam_web, molam_money
         using (merchant_id = current_setting(''molam.merchant_id'', true))
         with check (merchant_id = current_setting(''molam.merchant_id'', true))', target);
    execute format(
        'create policy platform_sees_all on %s to molam_ops, molam_worker using (true) with check (true)', target);
    execute format('grant select on %s to molam_web', target);
    execute format('grant select, insert, update on %s to molam_money, molam_ops, molam_worker', target);
end
$$;

do $$
declare
    name text;
begin
    foreach name in array array[
        'ledger.transfers',
        'payments.wallet_transactions', 'payments.payouts', 'payments.disputes',
        'merchant.merchant_dashboards', 'merchant.kpi_hours', 'merchant.kpi_days', 'merchant.kpi_methods',
        'merchant.kpi_heads', 'merchant.merchant_alerts', 'merchant.merchant_actions_audit',
        'tenancy.merchant_freezes', 'tenancy.merchant_fees'
    ] loop
        execute format(
            'create policy money_sees_own on %s to molam_money
             using (merchant_id = current_setting(''molam.merchant_id'', true))
             with check (merchant_id = current_setting(''molam.merchant_id'', true))', name);
        execute format('grant select on %s to molam_money', name);
    end loop;
end
$$;
grant insert on ledger.transfers, merchant.merchant_actions_audit to molam_money;
grant insert on merchant.merchant_actions_audit to molam_ops;
create policy ops_sees_all on merchant.merchant_actions_audit to molam_ops using (true) with check (true);
grant select on merchant.merchant_actions_audit to molam_ops;
-- To lock a row one must be allowed to update a column of it.
grant update (updated_at) on payments.wallet_transactions to molam_money, molam_ops;
grant update on merchant.merchant_dashboards, merchant.merchant_alerts to molam_money;
grant insert on merchant.merchant_alerts to molam_money;

-- A merchant's own accounts, and those of the world outside, which have no owner.
create policy money_sees_own_and_outside on ledger.accounts to molam_money
    using (owner_id is null or owner_id = current_setting('molam.merchant_id', true))
    with check (owner_id is null or owner_id = current_setting('molam.merchant_id', true));
grant select, insert, update on ledger.accounts to molam_money;
grant select on ledger.fx_rates to molam_money;

-- Money promised to customers, and money of payouts under way: never less than nothing.
-- Not a check: an upsert that takes from an account would be refused for the row it offers
-- to insert, which holds the difference alone.
create function ledger.refuse_broken_promise() returns trigger language plpgsql as $$
begin
    raise exception 'account % would promise what is not there', new.id
        using errcode = 'check_violation', constraint = 'promised_money_is_there';
end
$$;
create trigger promised_money_is_there after insert or update on ledger.accounts
    for each row when (new.kind in ('merchant_reserved', 'merchant_in_payout') and new.balance < 0)
    execute function ledger.refuse_broken_promise();

-- The answers of requests that move or promise money, kept in the transaction that did it.
-- A row without an answer is a request under way: it is seen only by those that wait for it.
create table platform.idempotency_keys (
    merchant_id text not null references tenancy.merchants (id),
    operation   text not null,
    key         text not null constraint key_bounded check (length(key) between 1 and 255),
    fingerprint bytea not null,
    status      smallint,
    body        bytea,
    created_at  timestamptz not null default now(),
    primary key (merchant_id, operation, key),
    constraint answer_is_whole check ((status is null) = (body is null))
);
create index idempotency_keys_age on platform.idempotency_keys (created_at);
select platform.guard_tenant('platform.idempotency_keys');
grant delete on platform.idempotency_keys to molam_worker;
