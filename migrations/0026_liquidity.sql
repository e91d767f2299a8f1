-- Our money at banks: what each day takes, what will be needed, the pools that banks
-- share, moving money between banks, and what other regions tell us.

set local search_path to mesh, payments, ledger, tenancy, public;

alter table ledger.transfers drop constraint transfer_has_one_owner;
alter table ledger.transfers add constraint transfer_has_one_owner check (
    num_nonnulls(merchant_id, agent_id) = 1
    or (num_nonnulls(merchant_id, agent_id) = 0
        and cause in ('bank_fee', 'bank_opening', 'bank_collection', 'bank_refund', 'bank_difference',
                      'pool_paid_in', 'pool_draw', 'pool_return',
                      'bank_transfer_sent', 'bank_transfer_received', 'bank_transfer_exchanged')));

-- A pool's account stands, like a bank's, for a place outside where money of ours lies:
-- what lies there is minus its balance. The pool's row only repeats it, and cannot differ.
create function mesh.follow_pool() returns trigger language plpgsql as $$
begin
    update mesh.mesh_liquidity_pools
       set total_available = -new.balance, updated_at = now()
     where 'pools:' || id || ':' || currency = new.id;
    return null;
end
$$;
create trigger pool_follows_ledger after insert or update on ledger.accounts
    for each row when (new.id like 'pools:%') execute function mesh.follow_pool();

create function mesh.check_pool() returns trigger language plpgsql as $$
begin
    if new.total_available is distinct from
       coalesce((select -a.balance from ledger.accounts as a where a.id = 'pools:' || new.id || ':' || new.currency), 0) then
        raise exception 'a pool holds what the ledger says' using errcode = 'check_violation', constraint = 'pool_equals_ledger';
    end if;
    if tg_op = 'UPDATE' and (new.id, new.currency) is distinct from (old.id, old.currency) then
        raise exception 'a pool keeps its name and currency' using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;
create trigger pool_equals_ledger before insert or update on mesh.mesh_liquidity_pools
    for each row execute function mesh.check_pool();

-- A draw above the region's threshold waits, with its amount reserved, for approval.
create table mesh.pool_movements (
    id              text primary key,
    pool_id         text not null references mesh.mesh_liquidity_pools (id),
    bank_profile_id text not null references payments.bank_profiles (id),
    kind            text not null constraint pool_movement_known check (kind in ('contribution', 'draw', 'return')),
    amount          bigint not null constraint pool_amount_in_range check (amount between 1 and 9007199254740991),
    reason          text not null constraint pool_reason_bounded check (length(reason) between 1 and 500),
    state           text not null constraint pool_state_known check (state in ('waiting', 'booked', 'refused')),
    -- The draw that a return gives back.
    draw_id         text references mesh.pool_movements (id),
    returned        bigint not null default 0,
    ops_action_id   text,
    ended_as        text,
    idempotency_key text,
    fingerprint     bytea not null,
    created_by      text not null,
    created_at      timestamptz not null default now(),
    booked_at       timestamptz,
    constraint return_names_draw check ((kind = 'return') = (draw_id is not null)),
    constraint returned_within check (returned between 0 and amount),
    constraint booked_says_when check ((state = 'booked') = (booked_at is not null))
);
create unique index pool_movements_key on mesh.pool_movements (pool_id, idempotency_key) where idempotency_key is not null;
create index pool_movements_newest on mesh.pool_movements (pool_id, created_at desc, id desc);
create index pool_movements_of_bank on mesh.pool_movements (pool_id, bank_profile_id);

-- What must stay at a bank, in its currency.
create table mesh.float_floors (
    bank_profile_id text not null references payments.bank_profiles (id),
    currency        text not null references tenancy.currencies (code),
    minimum_float   bigint not null constraint minimum_float_in_range check (minimum_float between 0 and 9007199254740991),
    changed_by      text not null,
    changed_at      timestamptz not null default now(),
    primary key (bank_profile_id, currency)
);

-- A day of an account, by the bank's own clock: what left less what came, and the most
-- that had left at any moment of it. Days before the ledger's come from a file.
create table mesh.daily_flows (
    bank_profile_id text not null references payments.bank_profiles (id),
    currency        text not null references tenancy.currencies (code),
    day             date not null,
    net_outflow     bigint not null,
    peak_outflow    bigint not null constraint peak_not_negative check (peak_outflow >= 0),
    source          text not null constraint flow_source_known check (source in ('ledger', 'imported')),
    updated_at      timestamptz not null default now(),
    primary key (bank_profile_id, currency, day)
);

create table mesh.float_forecasts (
    bank_profile_id text not null references payments.bank_profiles (id),
    currency        text not null references tenancy.currencies (code),
    measure         text not null constraint measure_known check (measure in ('net_outflow', 'peak_outflow')),
    made_on         date not null,
    for_day         date not null,
    q50             bigint not null,
    q90             bigint not null,
    q975            bigint not null,
    -- What to hold, where running short costs more than holding: the newsvendor's quantile.
    to_hold         bigint not null,
    stands_on_days  integer not null constraint stands_on_something check (stands_on_days > 0),
    weights         jsonb not null default '{}',
    made_at         timestamptz not null default now(),
    primary key (bank_profile_id, currency, measure, made_on, for_day),
    constraint forecast_is_ahead check (for_day >= made_on),
    constraint quantiles_in_order check (q50 <= q90 and q90 <= q975)
);
create index float_forecasts_age on mesh.float_forecasts (made_on);

-- What moving money from one account to another costs, where it is not the usual.
create table mesh.liquidity_arcs (
    from_bank_id  text not null references payments.bank_profiles (id),
    to_bank_id    text not null references payments.bank_profiles (id),
    from_currency text not null references tenancy.currencies (code),
    to_currency   text not null references tenancy.currencies (code),
    is_open       boolean not null default true,
    cost_bps      numeric(8, 4) not null constraint arc_cost_in_range check (cost_bps between 0 and 10000),
    fixed_cost    bigint not null default 0 constraint arc_fixed_not_negative check (fixed_cost >= 0),
    amount_max    bigint constraint arc_limit_positive check (amount_max > 0),
    lag_days      smallint not null default 0 constraint arc_lag_in_range check (lag_days between 0 and 14),
    primary key (from_bank_id, from_currency, to_bank_id, to_currency)
);

create table mesh.rebalancing_plans (
    id             text primary key,
    mesh_region_id text references mesh.mesh_regions (id),
    first_day      date not null,
    days           smallint not null constraint plan_days_in_range check (days between 1 and 14),
    state          text not null constraint plan_state_known
                   check (state in ('ready', 'waiting', 'executed', 'superseded', 'failed', 'nothing_to_do')),
    -- What each account holds, and would hold: the effect before and after.
    effects        jsonb not null,
    shortages      jsonb not null default '[]',
    cost_bps       numeric(14, 4) not null default 0,
    notes          text[] not null default '{}',
    took_ms        integer not null default 0,
    failure        text,
    ops_action_id  text,
    created_by     text not null,
    created_at     timestamptz not null default now(),
    executed_by    text,
    executed_at    timestamptz
);
create index rebalancing_plans_newest on mesh.rebalancing_plans (created_at desc, id desc);

create table mesh.rebalancing_steps (
    plan_id       text not null references mesh.rebalancing_plans (id),
    step_no       integer not null constraint step_no_positive check (step_no > 0),
    day           date not null,
    kind          text not null constraint step_kind_known check (kind in ('transfer', 'exchange', 'pool_draw')),
    from_bank_id  text references payments.bank_profiles (id),
    to_bank_id    text not null references payments.bank_profiles (id),
    pool_id       text references mesh.mesh_liquidity_pools (id),
    amount        bigint not null constraint step_amount_positive check (amount > 0),
    currency      text not null references tenancy.currencies (code),
    arrives       bigint not null constraint step_arrives_positive check (arrives > 0),
    to_currency   text not null references tenancy.currencies (code),
    arrives_on    date not null,
    cost          bigint not null default 0,
    why           jsonb not null,
    primary key (plan_id, step_no),
    constraint step_has_a_source check (num_nonnulls(from_bank_id, pool_id) = 1)
);

-- What one more unit of money at a bank would be worth: routing prefers banks where it is little.
create table mesh.dual_prices (
    bank_profile_id text not null references payments.bank_profiles (id),
    currency        text not null references tenancy.currencies (code),
    price           numeric(12, 8) not null,
    plan_id         text not null references mesh.rebalancing_plans (id),
    computed_at     timestamptz not null default now(),
    primary key (bank_profile_id, currency)
);

-- Money on its way from one of our accounts to another. It is at neither until the
-- statement of the second shows it.
create table mesh.bank_transfers (
    id           text primary key,
    reference    text not null unique constraint transfer_reference_bounded check (length(reference) between 1 and 35),
    plan_id      text references mesh.rebalancing_plans (id),
    step_no      integer,
    from_bank_id text not null references payments.bank_profiles (id),
    to_bank_id   text not null references payments.bank_profiles (id),
    amount       bigint not null constraint transfer_amount_positive check (amount > 0),
    currency     text not null references tenancy.currencies (code),
    arrives      bigint not null constraint transfer_arrives_positive check (arrives > 0),
    to_currency  text not null references tenancy.currencies (code),
    expected_on  date not null,
    state        text not null default 'sent' constraint bank_transfer_state_known check (state in ('sent', 'received')),
    sent_by      text not null,
    sent_at      timestamptz not null,
    seen_leaving_at timestamptz,
    received_at  timestamptz,
    confirmed_by text,
    constraint received_says_when check ((state = 'received') = (received_at is not null)),
    constraint confirmed_says_by_whom check ((state = 'received') = (confirmed_by is not null))
);
create index bank_transfers_open on mesh.bank_transfers (expected_on) where state = 'sent' or seen_leaving_at is null;

-- A line of a statement may be one side of such a transfer.
alter table payments.statement_matches drop constraint match_kind_known;
alter table payments.statement_matches add constraint match_kind_known
    check (kind in ('payout', 'refund', 'collection', 'fee', 'write_off', 'transfer'));

-- Other regions: where they are, and how far their word has been worth taking.
create table mesh.peers (
    mesh_region_id text primary key references mesh.mesh_regions (id),
    url            text not null default '',
    -- Sums of squared errors of its predictions, and of those of the climatology.
    squared_error  double precision not null default 0,
    squared_error_climatology double precision not null default 0,
    judged         integer not null default 0,
    last_heard_at  timestamptz,
    last_told_at   timestamptz,
    last_failure   text,
    updated_at     timestamptz not null default now()
);

create table mesh.foreign_messages (
    token_id       text primary key,
    mesh_region_id text not null references mesh.mesh_regions (id),
    kind           text not null constraint foreign_kind_known check (kind in ('prediction', 'proposal', 'quote')),
    -- Which bank it is about; null where it is about none.
    subject        text,
    rail           text,
    currency       text,
    p_down         double precision constraint foreign_p_down_is_probability check (p_down between 0 and 1),
    content        jsonb not null constraint foreign_content_bounded check (length(content::text) <= 65536),
    token          text not null,
    issued_at      timestamptz not null,
    expires_at     timestamptz not null,
    received_at    timestamptz not null default now(),
    judged_at      timestamptz
);
create index foreign_messages_newest on mesh.foreign_messages (mesh_region_id, received_at desc);
create index foreign_messages_about on mesh.foreign_messages (subject, rail, currency, issued_at desc);
create index foreign_messages_age on mesh.foreign_messages (received_at);

-- The routes of our region as last signed: they hold whether or not anybody hears of them.
create table mesh.route_tables (
    mesh_region_id text not null references mesh.mesh_regions (id),
    version        bigint not null constraint table_version_positive check (version > 0),
    content        jsonb not null,
    token          text not null,
    token_id       text not null unique,
    issued_at      timestamptz not null default now(),
    primary key (mesh_region_id, version)
);

-- How much one region carries for another, in one currency.
create table mesh.corridors (
    id             text primary key constraint corridor_id_bounded check (length(id) between 1 and 255),
    from_region_id text not null references mesh.mesh_regions (id),
    to_region_id   text not null references mesh.mesh_regions (id),
    currency       text not null references tenancy.currencies (code),
    -- Which regions it goes through, from first to last.
    path           text[] not null,
    cover          bigint not null constraint cover_not_negative check (cover >= 0),
    net_debit_cap  bigint not null constraint net_debit_cap_not_negative check (net_debit_cap >= 0),
    position       bigint not null default 0,
    reserved       bigint not null default 0 constraint corridor_reserved_not_negative check (reserved >= 0),
    state          text not null default 'proposed' constraint corridor_state_known
                   check (state in ('proposed', 'active', 'rejected', 'closed')),
    approved_from  text,
    approved_to    text,
    created_by     text not null,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    unique (from_region_id, to_region_id, currency, path),
    constraint corridor_ends_differ check (from_region_id <> to_region_id),
    constraint corridor_path_bounded check (cardinality(path) between 2 and 4),
    constraint corridor_path_has_ends check (path[1] = from_region_id and path[cardinality(path)] = to_region_id),
    constraint corridor_within_limits check (position + reserved <= least(cover, net_debit_cap)),
    constraint both_regions_agree check (state <> 'active' or (approved_from is not null and approved_to is not null))
);

grant select on mesh.pool_movements, mesh.float_floors, mesh.daily_flows, mesh.float_forecasts, mesh.liquidity_arcs,
      mesh.rebalancing_plans, mesh.rebalancing_steps, mesh.dual_prices, mesh.bank_transfers, mesh.peers,
      mesh.foreign_messages, mesh.route_tables, mesh.corridors
   to molam_ops, molam_worker;
grant insert, update on mesh.pool_movements, mesh.float_floors, mesh.daily_flows, mesh.float_forecasts, mesh.liquidity_arcs,
      mesh.rebalancing_plans, mesh.dual_prices, mesh.bank_transfers, mesh.peers, mesh.foreign_messages, mesh.corridors
   to molam_ops, molam_worker;
grant insert on mesh.rebalancing_steps, mesh.route_tables to molam_ops, molam_worker;
grant delete on mesh.dual_prices to molam_ops, molam_worker;
grant delete on mesh.float_forecasts, mesh.foreign_messages to molam_worker;
