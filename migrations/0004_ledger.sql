-- Double entry, in integer minor units.

set local search_path to ledger, tenancy, public;

-- A balance is the sum of what came in less what went out. Accounts that stand
-- for the world outside (customers' wallets, banks) have no floor.
create table ledger.accounts (
    id         text primary key,
    kind       text not null,
    owner_id   text,
    currency   text not null references tenancy.currencies (code),
    balance    bigint not null default 0,
    floor      bigint,
    created_at timestamptz not null default now(),
    constraint account_id_says_currency check (right(id, 4) = ':' || currency),
    constraint balance_covers_floor check (floor is null or balance >= floor),
    unique (id, currency)
) with (fillfactor = 70);
create index accounts_owner on ledger.accounts (owner_id);

-- Each transfer takes from one account exactly what it gives to another of the
-- same currency (both foreign keys carry it), so no set of rows can be unbalanced.
create table ledger.transfers (
    id          uuid primary key,
    source      text not null,
    target      text not null,
    amount      bigint not null constraint amount_positive check (amount > 0),
    currency    text not null,
    merchant_id text not null references tenancy.merchants (id),
    cause       text not null,
    cause_id    text not null,
    occurred_at timestamptz not null,
    posted_at   timestamptz not null default now(),
    constraint accounts_differ check (source <> target),
    foreign key (source, currency) references ledger.accounts (id, currency),
    foreign key (target, currency) references ledger.accounts (id, currency)
);
create index transfers_cause on ledger.transfers (merchant_id, cause_id);

-- The two sides of each transfer, as accountants read them.
create view ledger.entries as
    select id as transfer_id, source as account_id, -amount as amount, currency,
           merchant_id, cause, cause_id, occurred_at, posted_at
      from ledger.transfers
     union all
    select id, target, amount, currency, merchant_id, cause, cause_id, occurred_at, posted_at
      from ledger.transfers;

create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'ledger history is append-only' using errcode = 'restrict_violation';
end
$$;
create trigger transfers_append_only before update or delete on ledger.transfers
    for each row execute function ledger.refuse_change();
create trigger transfers_no_truncate before truncate on ledger.transfers
    for each statement execute function ledger.refuse_change();

-- One unit of base_currency is worth rate units of quote_currency on that day and
-- until the next dated row. A pair without a row is unknown, never 1.
create table ledger.fx_rates (
    base_currency  text not null references tenancy.currencies (code),
    quote_currency text not null references tenancy.currencies (code),
    as_of_date     date not null,
    rate           numeric(24, 12) not null constraint rate_positive check (rate > 0),
    source         text not null,
    indicative     boolean not null default false,
    primary key (base_currency, quote_currency, as_of_date),
    constraint pair_differs check (base_currency <> quote_currency)
);

-- The CFA francs' parity with the euro is fixed since 1999-01-01 (1 EUR = 655.957).
insert into ledger.fx_rates (base_currency, quote_currency, as_of_date, rate, source) values
    ('EUR', 'XOF', '1999-01-01', 655.957, 'fixed parity'),
    ('EUR', 'XAF', '1999-01-01', 655.957, 'fixed parity');
-- The specification's rates; shown as indicative and never used to move money.
insert into ledger.fx_rates (base_currency, quote_currency, as_of_date, rate, source, indicative) values
    ('XOF', 'USD', '2025-01-01', 0.0017, 'specification', true),
    ('GHS', 'USD', '2025-01-01', 0.085, 'specification', true),
    ('NGN', 'USD', '2025-01-01', 0.0013, 'specification', true),
    ('KES', 'USD', '2025-01-01', 0.0077, 'specification', true);

alter table ledger.transfers enable row level security;
create policy merchant_sees_own on ledger.transfers for select to molam_web
    using (merchant_id = current_setting('molam.merchant_id', true));
create policy worker_sees_all on ledger.transfers to molam_worker using (true) with check (true);
alter table ledger.accounts enable row level security;
create policy merchant_sees_own on ledger.accounts for select to molam_web
    using (owner_id = current_setting('molam.merchant_id', true));
create policy worker_sees_all on ledger.accounts to molam_worker using (true) with check (true);

grant select on ledger.accounts, ledger.transfers, ledger.fx_rates to molam_web;
grant select, insert, update on ledger.accounts to molam_worker;
grant select, insert on ledger.transfers to molam_worker;
grant select, insert, update on ledger.fx_rates to molam_worker;
grant select on ledger.entries, ledger.fx_rates to molam_worker, molam_refresh;
