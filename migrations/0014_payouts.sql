-- Payouts of our own: what each pays, when, to whom, and what became of it.

set local search_path to payments, tenancy, public;

-- Those that wallets report stay as they are; ours have their whole life here.
alter table payments.payouts drop constraint payout_state_known;
alter table payments.payouts
    add constraint payout_state_known check (state in (
        'scheduled', 'held', 'pending', 'in_transit', 'paid', 'returned', 'failed', 'cancelled')),
    add column origin text not null default 'reported'
        constraint payout_origin_known check (origin in ('reported', 'molam')),
    add column asked_as text not null default 'reported'
        constraint payout_asked_as_known check (asked_as in ('reported', 'schedule', 'instant', 'manual')),
    add column status text not null generated always as (
        case state when 'in_transit' then 'processing'
                   when 'paid' then 'settled'
                   when 'returned' then 'reversed'
                   else state end) stored,
    add column bank_profile_id text,
    add column treasury_account_id text,
    add column destination jsonb,
    add column scheduled_for timestamptz,
    add column cutoff timestamptz,
    add column held_reason text,
    add column held_until timestamptz,
    add column attempts int not null default 0,
    add column reference_code text,
    add column provider_ref text,
    add column failure_code text,
    add column failure_reason text,
    add column in_doubt_since timestamptz,
    add column submitted_at timestamptz,
    add column ended_at timestamptz,
    add column retry_wanted boolean not null default false,
    add column owns_entries boolean not null default false,
    add column reserves int not null default 0,
    add column recall_asked_at timestamptz,
    add column gross bigint not null default 0,
    add column fees bigint not null default 0,
    add column refunds bigint not null default 0,
    add column disputes bigint not null default 0,
    add column adjustments bigint not null default 0,
    add column entry_count int not null default 0,
    add column created_by text not null default 'wallet',
    -- For rows that are not checked again: what is reported has none of this.
    add constraint ours_are_whole check (origin = 'reported' or (
        amount > 0 and destination is not null and scheduled_for is not null and cutoff is not null
        and reference_code is not null
        and gross + fees + refunds + disputes + adjustments = amount)),
    add constraint held_says_why check ((state = 'held') = (held_reason is not null)),
    add constraint in_doubt_is_under_way check (in_doubt_since is null or state = 'in_transit');

create unique index payouts_ours on payments.payouts (id) where origin = 'molam';
create unique index payouts_reference on payments.payouts (reference_code) where reference_code is not null;
create index payouts_newest on payments.payouts (merchant_id, occurred_at desc, id desc);
-- What is sent when its time comes, and what a failing bank's are re-pointed by.
create index payouts_due on payments.payouts (scheduled_for, id)
    where origin = 'molam' and state in ('scheduled', 'held', 'pending');
create index payouts_to_repoint on payments.payouts (bank_profile_id)
    where state in ('scheduled', 'held', 'pending');
create index payouts_under_way on payments.payouts (submitted_at)
    where origin = 'molam' and state = 'in_transit';

-- Which steps a payout may take. The timeline refers to it, so a step that is missing
-- here cannot be written by hand either.
create table payments.payout_moves (
    old_state text not null,
    new_state text not null,
    primary key (old_state, new_state)
);
insert into payments.payout_moves (old_state, new_state) values
    ('new', 'scheduled'), ('new', 'held'), ('new', 'pending'),
    ('scheduled', 'held'), ('scheduled', 'pending'), ('scheduled', 'cancelled'),
    ('held', 'scheduled'), ('held', 'pending'), ('held', 'cancelled'),
    ('pending', 'held'), ('pending', 'in_transit'), ('pending', 'cancelled'),
    ('pending', 'paid'), ('held', 'paid'),
    ('in_transit', 'paid'), ('in_transit', 'failed'), ('in_transit', 'returned'),
    ('paid', 'returned'), ('failed', 'pending'), ('failed', 'paid');
insert into payments.payout_moves (old_state, new_state)
    select each, each
      from unnest(array['scheduled', 'held', 'pending', 'in_transit', 'paid', 'returned', 'failed', 'cancelled']) as each;

-- The timeline. A row whose two states are equal says something that moves nothing.
create table payments.payout_events (
    id          bigint generated always as identity primary key,
    merchant_id text not null,
    payout_id   text not null,
    old_state   text not null,
    new_state   text not null,
    what        text not null,
    actor       text not null,
    detail      jsonb not null default '{}',
    at          timestamptz not null default now(),
    foreign key (old_state, new_state) references payments.payout_moves (old_state, new_state),
    foreign key (merchant_id, payout_id) references payments.payouts (merchant_id, id)
);
create index payout_events_of on payments.payout_events (merchant_id, payout_id, id);
create function payments.refuse_payout_change() returns trigger language plpgsql as $$
begin
    raise exception 'this history is append-only' using errcode = 'restrict_violation';
end
$$;
create trigger payout_events_append_only before update or delete on payments.payout_events
    for each row execute function payments.refuse_payout_change();

-- Which ledger entries on a merchant's balance a live payout pays: each at most one.
create table payments.payout_entries (
    transfer_id uuid primary key,
    merchant_id text not null,
    payout_id   text not null,
    amount      bigint not null,
    cause       text not null,
    cause_id    text not null,
    occurred_at timestamptz not null,
    posted_at   timestamptz not null,
    foreign key (merchant_id, payout_id) references payments.payouts (merchant_id, id)
);
create index payout_entries_of on payments.payout_entries (merchant_id, payout_id, occurred_at, transfer_id);

-- What a payout would have paid before it failed, was cancelled or came back.
create table payments.payout_entries_released (
    payout_id   text not null,
    round       int not null,
    transfer_id uuid not null,
    merchant_id text not null,
    amount      bigint not null,
    cause       text not null,
    cause_id    text not null,
    occurred_at timestamptz not null,
    released_at timestamptz not null default now(),
    primary key (payout_id, round, transfer_id),
    foreign key (merchant_id, payout_id) references payments.payouts (merchant_id, id)
);
create index payout_entries_released_of
    on payments.payout_entries_released (merchant_id, payout_id, occurred_at, transfer_id);

-- All entries posted before this are some live payout's, so a run need not look there.
create table payments.payout_marks (
    merchant_id   text not null references tenancy.merchants (id),
    currency      text not null references tenancy.currencies (code),
    posted_before timestamptz not null,
    primary key (merchant_id, currency)
) with (fillfactor = 70);
create index transfers_of_merchant on ledger.transfers (merchant_id, currency, posted_at)
    where merchant_id is not null;

-- The line of a payout's composition that an entry belongs to; payouts/model.py says the same.
create function payments.payout_part(cause text) returns text
language sql immutable parallel safe
return case when cause = 'payment' then 'gross'
            when cause like '%\_fee' and cause not like 'dispute%' then 'fees'
            when cause like 'refund%' then 'refunds'
            when cause like 'dispute%' then 'disputes'
            else 'adjustments' end;

-- When a merchant is paid. next_at is computed from the rest, and is null for by hand.
create table payments.payout_schedules (
    merchant_id text not null references tenancy.merchants (id),
    currency    text not null references tenancy.currencies (code),
    interval    text not null constraint interval_known
                check (interval in ('daily', 'weekly', 'monthly', 'instant', 'manual')),
    weekday     smallint not null default 1 constraint weekday_of_week check (weekday between 1 and 7),
    month_day   smallint not null default 1 constraint month_day_of_month check (month_day between 1 and 31),
    delay_days  smallint not null default 1 constraint delay_bounded check (delay_days between 0 and 30),
    minimum     bigint not null default 0 constraint minimum_in_range
                check (minimum between 0 and 9007199254740991),
    next_at     timestamptz,
    next_on     date,
    last_run_at timestamptz,
    last_result text,
    version     int not null default 1,
    updated_by  text not null,
    updated_at  timestamptz not null default now(),
    primary key (merchant_id, currency),
    constraint manual_has_no_day check (interval <> 'manual' or next_at is null)
) with (fillfactor = 70);
create index payout_schedules_due on payments.payout_schedules (next_at, merchant_id, currency)
    where next_at is not null;

-- Where a merchant is paid. A new one counts from the next payout, which waits a day.
create table payments.payout_destinations (
    merchant_id     text not null references tenancy.merchants (id),
    currency        text not null references tenancy.currencies (code),
    destination     jsonb not null
                    constraint destination_is_object check (jsonb_typeof(destination) = 'object'),
    previous        jsonb,
    hold_until      timestamptz,
    refused_at      timestamptz,
    refused_code    text,
    version         int not null default 1,
    changed_by      text not null,
    changed_at      timestamptz not null default now(),
    primary key (merchant_id, currency)
);

-- Money that is not paid out for now: a payment's entries, or a whole payout.
create table payments.payout_holds (
    id             uuid primary key,
    merchant_id    text not null references tenancy.merchants (id),
    kind           text not null constraint hold_kind_known check (kind in ('payment', 'payout')),
    transaction_id text not null constraint hold_names_something
                   check (length(transaction_id) between 1 and 255),
    amount         bigint not null constraint hold_amount_in_range
                   check (amount between 0 and 9007199254740991),
    currency       text not null references tenancy.currencies (code),
    status         text not null default 'active'
                   constraint hold_status_known check (status in ('active', 'released', 'reversed', 'expired')),
    reason         text not null constraint hold_says_why check (length(reason) between 1 and 500),
    until          timestamptz,
    created_by     text not null,
    created_at     timestamptz not null default now(),
    ended_by       text,
    ended_at       timestamptz,
    constraint ended_holds_say_when check ((status = 'active') = (ended_at is null))
);
create unique index one_active_hold on payments.payout_holds (merchant_id, kind, transaction_id)
    where status = 'active';
create index payout_holds_transaction on payments.payout_holds (transaction_id) where status = 'active';

-- While one of these lasts, nothing is sent to the merchant.
create table payments.payout_pauses (
    id          uuid primary key,
    merchant_id text not null references tenancy.merchants (id),
    reason      text,
    until       timestamptz not null,
    paused_by   text not null,
    paused_at   timestamptz not null,
    action_id   text,
    ended_at    timestamptz,
    ended_by    text
);
create unique index one_pause_at_a_time on payments.payout_pauses (merchant_id) where ended_at is null;

select platform.guard_tenant('payments.payout_events');
select platform.guard_tenant('payments.payout_entries');
select platform.guard_tenant('payments.payout_entries_released');
select platform.guard_tenant('payments.payout_marks');
select platform.guard_tenant('payments.payout_schedules');
select platform.guard_tenant('payments.payout_destinations');
select platform.guard_tenant('payments.payout_holds');
select platform.guard_tenant('payments.payout_pauses');
revoke update on payments.payout_events from molam_money, molam_ops, molam_worker;
grant delete on payments.payout_entries to molam_money, molam_ops, molam_worker;
grant insert, update on payments.payouts to molam_money, molam_ops;
grant select on payments.payout_moves to molam_web, molam_money, molam_ops, molam_worker, molam_refresh;
