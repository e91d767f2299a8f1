-- Banks and wallets that carry our money out, the way each payment takes, and every
-- attempt at sending one.

set local search_path to payments, ledger, tenancy, public;

create table payments.bank_profiles (
    id                    text primary key constraint bank_profile_id_plain check (id ~ '^[a-z0-9][a-z0-9_-]{1,62}$'),
    name                  text not null constraint bank_name_bounded check (length(name) between 1 and 140),
    country               text not null constraint bank_country_is_code check (country ~ '^[A-Z]{2}$'),
    bic                   text,
    currency_codes        text[] not null constraint bank_has_a_currency check (cardinality(currency_codes) > 0),
    -- What it reaches: 'bank' for accounts, 'wallet:wave' and the like for wallets.
    rails                 text[] not null constraint bank_has_a_rail check (cardinality(rails) > 0),
    provider_type         text not null constraint provider_type_known check (provider_type in ('bank', 'wallet', 'card')),
    compliance_level      text not null default 'onboarding'
                          constraint compliance_level_known check (compliance_level in ('onboarding', 'verified')),
    status                text not null default 'pending'
                          constraint bank_status_known check (status in ('active', 'inactive', 'suspended', 'pending')),
    enabled               boolean not null default false,
    fees                  jsonb not null default '{}' constraint fees_are_object check (jsonb_typeof(fees) = 'object'),
    flat_fee              bigint not null default 0 constraint flat_fee_not_negative check (flat_fee >= 0),
    percent_fee           numeric(6, 4) not null default 0 constraint percent_fee_in_range check (percent_fee between 0 and 100),
    avg_delay_sec         integer not null default 3600 constraint avg_delay_not_negative check (avg_delay_sec >= 0),
    risk_score            numeric(5, 4) not null default 0.1 constraint bank_risk_in_range check (risk_score between 0 and 1),
    sla_target            numeric(5, 2) not null default 99.90,
    sla_settlement_days   smallint not null default 3,
    availability          numeric(5, 2) not null default 99.99,
    health_status         text not null default 'unknown'
                          constraint health_status_known check (health_status in ('unknown', 'healthy', 'degraded', 'down')),
    settlement_account_id text,
    connector             text not null
                          constraint connector_known check (connector in ('http_bank', 'wave', 'orange_money', 'pain001')),
    endpoint_url          text not null default ''
                          constraint endpoint_is_http check (endpoint_url = '' or endpoint_url ~ '^https?://'),
    -- By the bank's own clock; only banks that take files have one.
    cut_off               time,
    timezone              text not null default 'Africa/Dakar',
    at_once_max           smallint not null default 16 constraint at_once_bounded check (at_once_max between 1 and 200),
    metadata              jsonb not null default '{}' constraint bank_metadata_is_object check (jsonb_typeof(metadata) = 'object'),
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now()
);

-- Our accounts at banks. What is on them is the ledger's to say: see treasury_balances.
create table payments.treasury_accounts (
    id                text primary key,
    bank_profile_id   text not null references payments.bank_profiles (id),
    account_reference text not null,
    currency          text not null references tenancy.currencies (code),
    account_type      text not null default 'payout'
                      constraint account_type_known
                      check (account_type in ('reserve', 'operational', 'payout', 'collection', 'settlement')),
    status            text not null default 'active'
                      constraint treasury_status_known check (status in ('active', 'inactive')),
    created_at        timestamptz not null default now(),
    unique (bank_profile_id, currency, account_type)
);

-- The route in force for a currency, a rail and a range of amounts is the one row that
-- nothing has replaced; its banks are tried in their order.
create table payments.bank_routes (
    id               bigint generated always as identity primary key,
    currency         text not null references tenancy.currencies (code),
    rail             text not null constraint rail_is_plain check (rail ~ '^(bank|wallet:[a-z0-9_]{2,32})$'),
    min_amount       bigint not null default 0 constraint route_min_not_negative check (min_amount >= 0),
    max_amount       bigint constraint route_range_not_empty check (max_amount >= min_amount),
    bank_profile_ids text[] not null constraint route_has_a_bank check (cardinality(bank_profile_ids) between 1 and 20),
    cause            text not null,
    in_force_from    timestamptz not null default now(),
    replaced_at      timestamptz
);
create unique index bank_routes_in_force on payments.bank_routes (currency, rail, min_amount)
    where replaced_at is null;

-- Files for banks that take files, and what they answer with.
create table payments.bank_files (
    id              uuid primary key,
    bank_profile_id text not null references payments.bank_profiles (id),
    direction       text not null constraint direction_known check (direction in ('out', 'in')),
    path            text not null unique,
    message_id      text not null constraint message_id_bounded check (length(message_id) between 1 and 35),
    currency        text references tenancy.currencies (code),
    state           text not null constraint bank_file_state_known check (state in ('writing', 'written', 'read', 'refused')),
    sha256          bytea,
    instructions    integer not null default 0,
    reason          text,
    created_at      timestamptz not null,
    done_at         timestamptz
);
create index bank_files_unwritten on payments.bank_files (created_at) where state = 'writing';

create table payments.bank_attempts (
    id              uuid primary key,
    kind            text not null constraint attempt_kind_known check (kind in ('refund', 'payout')),
    object_id       text not null,
    merchant_id     text not null references tenancy.merchants (id),
    attempt_no      smallint not null constraint attempt_no_positive check (attempt_no > 0),
    bank_profile_id text not null references payments.bank_profiles (id),
    -- The same for all attempts at the object, for ever.
    outward_key     text not null constraint outward_key_bounded check (length(outward_key) between 1 and 64),
    -- What the wire calls it: differs where a bank takes no key twice, even after refusing it.
    wire_key        text not null constraint wire_key_bounded check (length(wire_key) between 1 and 70),
    amount          bigint not null constraint attempt_amount_in_range check (amount between 1 and 9007199254740991),
    currency        text not null references tenancy.currencies (code),
    destination     jsonb not null,
    reference       text not null,
    state           text not null constraint attempt_state_known
                    check (state in ('sending', 'accepted', 'settled', 'rejected', 'unknown', 'returned')),
    request_hash    bytea not null,
    provider_ref    text constraint provider_ref_bounded check (length(provider_ref) <= 128),
    code            text,
    reason          text,
    confirmed_by    text constraint confirmed_by_known
                    check (confirmed_by in ('answer', 'callback', 'polling', 'statement')),
    -- What the bank said that cannot follow from what it had said before.
    contradiction   text,
    -- What the bank gave us to recognise its callbacks and to ask about this attempt.
    tokens          jsonb not null default '{}',
    file_id         uuid references payments.bank_files (id),
    sends           smallint not null default 1,
    inquiries       integer not null default 0,
    lease_until     timestamptz not null,
    next_inquiry_at timestamptz not null,
    -- Wallets take money back for some days after paying; until then they are asked now and then.
    watch_until     timestamptz,
    created_at      timestamptz not null default now(),
    sent_at         timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    unique (kind, object_id, attempt_no)
) with (fillfactor = 75);
-- While one attempt may still have paid, or has, there is no other.
create unique index bank_attempts_one_at_a_time on payments.bank_attempts (kind, object_id)
    where state in ('sending', 'accepted', 'unknown', 'settled');
create index bank_attempts_open on payments.bank_attempts (next_inquiry_at)
    where state in ('sending', 'accepted', 'unknown');
create index bank_attempts_watched on payments.bank_attempts (next_inquiry_at)
    where state = 'settled' and watch_until is not null;
create index bank_attempts_busy on payments.bank_attempts (bank_profile_id, currency, lease_until)
    where state in ('sending', 'accepted', 'unknown');
create index bank_attempts_wire_key on payments.bank_attempts (bank_profile_id, wire_key);
create index bank_attempts_provider_ref on payments.bank_attempts (bank_profile_id, provider_ref)
    where provider_ref is not null;
create index bank_attempts_notif on payments.bank_attempts (bank_profile_id, (tokens ->> 'notif_token'))
    where tokens ? 'notif_token';
create index bank_attempts_unfiled on payments.bank_attempts (bank_profile_id, currency, created_at)
    where state = 'accepted' and file_id is null and code = 'waiting-for-file';
create index bank_attempts_file on payments.bank_attempts (file_id) where file_id is not null;
create index bank_attempts_contradicted on payments.bank_attempts (updated_at desc) where contradiction is not null;

create table payments.bank_attempt_moves (
    old text not null,
    new text not null,
    primary key (old, new)
);
insert into payments.bank_attempt_moves (old, new) values
    ('sending', 'accepted'), ('sending', 'settled'), ('sending', 'rejected'), ('sending', 'unknown'), ('sending', 'returned'),
    ('unknown', 'sending'), ('unknown', 'accepted'), ('unknown', 'settled'), ('unknown', 'rejected'), ('unknown', 'returned'),
    ('accepted', 'settled'), ('accepted', 'rejected'), ('accepted', 'returned'),
    ('settled', 'returned');

create function payments.check_attempt_move() returns trigger language plpgsql as $$
begin
    if (new.outward_key, new.bank_profile_id, new.amount, new.currency, new.object_id)
       is distinct from (old.outward_key, old.bank_profile_id, old.amount, old.currency, old.object_id) then
        raise exception 'what an attempt sends never changes' using errcode = 'restrict_violation';
    end if;
    if new.state <> old.state and not exists (
        select from payments.bank_attempt_moves as m where m.old = old.state and m.new = new.state
    ) then
        raise exception 'an attempt does not go from % to %', old.state, new.state using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;
create trigger bank_attempts_move before update on payments.bank_attempts
    for each row execute function payments.check_attempt_move();

-- What banks told us unasked. Each is recorded once and has its effect once.
create table payments.bank_callbacks (
    id              bigint generated always as identity primary key,
    bank_profile_id text not null references payments.bank_profiles (id),
    dedupe_key      text not null constraint dedupe_key_bounded check (length(dedupe_key) between 1 and 200),
    is_signed       boolean not null,
    body            bytea not null constraint callback_bounded check (length(body) <= 16384),
    state           text not null default 'new'
                    constraint callback_state_known
                    check (state in ('new', 'applied', 'late', 'asked', 'unmatched', 'contradicts', 'unreadable')),
    attempt_id      uuid references payments.bank_attempts (id),
    received_at     timestamptz not null default now(),
    handled_at      timestamptz,
    unique (bank_profile_id, dedupe_key)
);
create index bank_callbacks_age on payments.bank_callbacks (received_at);
create index bank_callbacks_attempt on payments.bank_callbacks (attempt_id) where attempt_id is not null;

-- How sending to a bank has gone lately. An open circuit lets one probe through at a time.
create table payments.bank_circuits (
    bank_profile_id text primary key references payments.bank_profiles (id),
    state           text not null default 'closed'
                    constraint circuit_state_known check (state in ('closed', 'open', 'half_open')),
    failures        integer not null default 0,
    opened_at       timestamptz,
    probe_at        timestamptz,
    updated_at      timestamptz not null default now()
);

-- A bank's account in the ledger stands for the world outside: what is paid through it is
-- added there. So our money at the bank is the other side of it.
create view payments.treasury_balances as
    select t.id, t.bank_profile_id, t.account_reference, t.currency, t.account_type,
           'banks:' || t.bank_profile_id as ledger_account_code,
           -coalesce(a.balance, 0) as balance,
           coalesce((select sum(b.amount)
                       from payments.bank_attempts as b
                      where b.bank_profile_id = t.bank_profile_id and b.currency = t.currency
                        and b.state in ('sending', 'accepted', 'unknown')), 0)::bigint as reserved
      from payments.treasury_accounts as t
      left join ledger.accounts as a on a.id = 'banks:' || t.bank_profile_id || ':' || t.currency;

select platform.guard_tenant('payments.bank_attempts');

grant select on payments.bank_profiles, payments.treasury_accounts, payments.bank_routes, payments.bank_circuits
   to molam_web, molam_money, molam_ops, molam_worker;
grant select on payments.treasury_balances, payments.bank_files, payments.bank_attempt_moves to molam_ops, molam_worker;
grant select on payments.bank_attempt_moves to molam_money;
grant insert, update on payments.bank_profiles, payments.treasury_accounts, payments.bank_routes,
      payments.bank_circuits, payments.bank_files to molam_ops, molam_worker;
-- Who takes callbacks in has no merchant, and so must not be able to read what came for others.
grant insert on payments.bank_callbacks to molam_money;
grant select (id, bank_profile_id, dedupe_key) on payments.bank_callbacks to molam_money;
grant select, update, delete on payments.bank_callbacks to molam_worker;
grant select on payments.bank_callbacks to molam_ops;
