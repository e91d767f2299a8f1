-- Exchange rates from outside, and what merchants decide about themselves.

set local search_path to merchant, payments, ledger, tenancy, platform, public;

-- The francs' parity with the euro, and so with each other, is law: no file and no
-- provider can say otherwise.
create function ledger.keep_parity() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' and old.source = 'fixed parity' then
        raise exception 'a fixed parity does not change' using errcode = 'restrict_violation';
    end if;
    if tg_op <> 'DELETE' and new.base_currency in ('EUR', 'XOF', 'XAF')
       and new.quote_currency in ('EUR', 'XOF', 'XAF') then
        raise exception 'the CFA francs follow the euro by their fixed parity'
              using errcode = 'restrict_violation';
    end if;
    return case tg_op when 'DELETE' then old else new end;
end
$$;
create trigger fx_rates_keep_parity before insert or update or delete on ledger.fx_rates
    for each row execute function ledger.keep_parity();

-- Rates that moved too far from the day before to be believed. A person accepts one, or
-- nobody does and it is never used.
create table ledger.fx_doubts (
    base_currency  text not null references tenancy.currencies (code),
    quote_currency text not null references tenancy.currencies (code),
    as_of_date     date not null,
    rate           numeric(24, 12) not null constraint doubted_rate_positive check (rate > 0),
    source         text not null,
    previous_rate  numeric(24, 12) not null,
    previous_date  date not null,
    seen_at        timestamptz not null default now(),
    accepted_at    timestamptz,
    accepted_by    text,
    primary key (base_currency, quote_currency, as_of_date),
    constraint doubted_pair_differs check (base_currency <> quote_currency),
    constraint accepted_by_somebody check ((accepted_at is null) = (accepted_by is null))
);

-- How each source of rates has been answering.
create table ledger.fx_refreshes (
    provider     text primary key,
    attempted_at timestamptz not null,
    succeeded_at timestamptz,
    newest_on    date,
    problem      text
);
grant select, insert, update on ledger.fx_doubts, ledger.fx_refreshes to molam_worker;
grant select on ledger.fx_doubts, ledger.fx_refreshes to molam_web, molam_ops, molam_money;

-- A merchant's administrators say who else works there. Whatever goes wrong in their
-- process, it can give no role on the platform and none at another merchant, and it can
-- add people but change none.
alter table tenancy.role_grants enable row level security;
create policy everybody_reads on tenancy.role_grants for select
    to molam_web, molam_money, molam_ops, molam_worker, molam_refresh using (true);
create policy merchant_grants_own on tenancy.role_grants for insert to molam_money
    with check (role like 'merchant\_%' and merchant_id = current_setting('molam.merchant_id', true));
create policy merchant_ends_own on tenancy.role_grants for update to molam_money
    using (role like 'merchant\_%' and merchant_id = current_setting('molam.merchant_id', true))
    with check (role like 'merchant\_%' and merchant_id = current_setting('molam.merchant_id', true));
alter table tenancy.people enable row level security;
create policy everybody_reads on tenancy.people for select
    to molam_web, molam_money, molam_ops, molam_worker, molam_refresh using (true);
create policy merchant_adds_people on tenancy.people for insert to molam_money
    with check (not is_service and owner_id is null and deactivated_at is null);
grant insert on tenancy.people, tenancy.role_grants to molam_money;
grant update (revoked_at) on tenancy.role_grants to molam_money;

-- Signing people in by address: one person has one, whatever its capitals.
create index people_email on tenancy.people (lower(email));
-- Where a session was begun, so that its owner can tell which is not theirs.
alter table platform.sessions add column ip text, add column user_agent text;
create index merchant_actions_audit_by on merchant.merchant_actions_audit (merchant_id, user_id, created_at desc, id desc);

-- Who settled an alert, or said that it needs nothing.
alter table merchant.merchant_alerts add column resolved_by text,
    add constraint settled_at_some_time check (resolved_by is null or resolved_at is not null);
