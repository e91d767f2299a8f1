-- Refunds that merchants and operations give: promised, approved, sent, and what became of them.

set local search_path to payments, tenancy, public;

-- status has the specification's words, state ours; docs/guide/statuses.md maps them.
create table payments.refunds (
    merchant_id       text not null references tenancy.merchants (id),
    id                text not null unique constraint refund_id_bounded check (length(id) between 1 and 64),
    transaction_id    text not null,
    transaction_type  text not null generated always as ('payment') stored,
    amount            bigint not null
                      constraint refund_amount_in_range check (amount between 1 and 9007199254740991),
    currency          text not null references tenancy.currencies (code),
    reason            text not null constraint refund_reason_bounded check (length(reason) between 1 and 500),
    state             text not null constraint refund_state_known check (state in (
                          'awaiting_approval', 'queued', 'submitted', 'needs_details', 'unknown',
                          'succeeded', 'failed', 'rejected', 'expired', 'cancelled', 'reversed')),
    origin            text not null constraint refund_origin_known check (origin in ('merchant', 'operations')),
    created_by        text not null,
    approved_by       text,
    requires_approval boolean not null,
    approval_id       text,
    approval_via      text not null default 'engine'
                      constraint approval_way_known check (approval_via in ('engine', 'remote')),
    approvers         jsonb not null default '[]',
    client_reference  text constraint refund_reference_bounded check (length(client_reference) between 1 and 255),
    destination       jsonb,
    fee_returned      bigint not null default 0
                      constraint returned_fee_in_range check (fee_returned between 0 and amount),
    ledger_entry_id   uuid,
    provider_ref      text,
    failed_code       text,
    failed_reason     text,
    metadata          jsonb not null default '{}',
    version           int not null default 1,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    expires_at        timestamptz,
    queued_at         timestamptz,
    details_until     timestamptz,
    completed_at      timestamptz,
    status            text not null generated always as (
        case when state = 'awaiting_approval' then 'pending'
             when state in ('queued', 'submitted', 'needs_details', 'unknown') then 'processing'
             when state = 'succeeded' then 'completed'
             when state in ('failed', 'reversed') then 'failed'
             else 'cancelled' end
    ) stored,
    primary key (merchant_id, id),
    foreign key (merchant_id, transaction_type, transaction_id)
        references payments.wallet_transactions (merchant_id, type, id),
    constraint one_refund_a_reference unique (merchant_id, client_reference)
) with (fillfactor = 80);

create index refunds_newest on payments.refunds (merchant_id, created_at desc, id desc);
create index refunds_of_payment on payments.refunds (merchant_id, transaction_id);
create index refunds_by_requester on payments.refunds (merchant_id, created_by, created_at);
create index refunds_waiting on payments.refunds (merchant_id, expires_at) where state = 'awaiting_approval';
create index refunds_without_details on payments.refunds (details_until) where state = 'needs_details';

-- What may follow what; payments/refunds/model.py has the same pairs.
create table payments.refund_moves (
    old_state text not null,
    new_state text not null,
    primary key (old_state, new_state)
);
insert into payments.refund_moves (old_state, new_state) values
    ('awaiting_approval', 'queued'), ('awaiting_approval', 'rejected'), ('awaiting_approval', 'expired'),
    ('awaiting_approval', 'cancelled'), ('awaiting_approval', 'failed'),
    ('queued', 'submitted'), ('queued', 'needs_details'), ('queued', 'failed'),
    ('submitted', 'succeeded'), ('submitted', 'failed'), ('submitted', 'needs_details'), ('submitted', 'unknown'),
    ('needs_details', 'queued'), ('needs_details', 'failed'),
    ('unknown', 'submitted'), ('unknown', 'succeeded'), ('unknown', 'failed'), ('unknown', 'needs_details'),
    ('succeeded', 'reversed');

create function payments.check_refund_move() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.state not in ('awaiting_approval', 'queued') then
            raise exception 'a refund does not begin as %', new.state using errcode = 'check_violation';
        end if;
    elsif (new.merchant_id, new.id, new.transaction_id, new.amount, new.currency)
          is distinct from (old.merchant_id, old.id, old.transaction_id, old.amount, old.currency) then
        raise exception 'what a refund gives back to whom is never changed' using errcode = 'restrict_violation';
    elsif new.state <> old.state and not exists (
        select from payments.refund_moves m where m.old_state = old.state and m.new_state = new.state
    ) then
        raise exception 'a refund does not go from % to %', old.state, new.state using errcode = 'check_violation';
    end if;
    return new;
end
$$;
create trigger refund_moves_are_known before insert or update on payments.refunds
    for each row execute function payments.check_refund_move();

-- Who did what to a refund, when, from where. The first row has no state before it.
create table payments.refund_events (
    merchant_id text not null,
    refund_id   text not null,
    seq         int not null,
    at          timestamptz not null default now(),
    actor_id    text not null,
    actor_name  text not null,
    actor_kind  text not null constraint refund_actor_known check (actor_kind in ('user', 'service', 'system')),
    ip_address  text,
    user_agent  text,
    old_state   text,
    new_state   text not null,
    code        text,
    detail      text,
    primary key (merchant_id, refund_id, seq),
    foreign key (merchant_id, refund_id) references payments.refunds (merchant_id, id),
    foreign key (old_state, new_state) references payments.refund_moves (old_state, new_state)
);
create function payments.refuse_timeline_change() returns trigger language plpgsql as $$
begin
    raise exception 'a timeline is append-only' using errcode = 'restrict_violation';
end
$$;
create trigger refund_events_append_only before update or delete on payments.refund_events
    for each row execute function payments.refuse_timeline_change();

-- A refund that another service decides about: what it is asked, and how asking it goes.
create table payments.remote_approvals (
    merchant_id   text not null,
    refund_id     text not null,
    request       jsonb not null,
    payload_hash  text not null,
    asked_at      timestamptz,
    failures      int not null default 0,
    failing_since timestamptz,
    trouble       text,
    next_look_at  timestamptz not null default now(),
    primary key (merchant_id, refund_id),
    foreign key (merchant_id, refund_id) references payments.refunds (merchant_id, id)
);

-- For how long an operator gives a payment back, and what is done later.
create table payments.refund_windows (
    provider   text primary key,
    days       int not null constraint window_positive check (days > 0),
    afterwards text not null constraint afterwards_known check (afterwards in ('new_transfer', 'refused')),
    source     text not null
);
insert into payments.refund_windows (provider, days, afterwards, source) values
    ('wave', 3, 'new_transfer', 'Wave takes a payment back within 3 days'),
    ('card', 180, 'refused', 'Card networks take refunds within 180 days');

select platform.guard_tenant('payments.refunds');
select platform.guard_tenant('payments.refund_events');
select platform.guard_tenant('payments.remote_approvals');
revoke update on payments.refund_events from molam_money, molam_ops, molam_worker;
grant select on payments.refund_moves, payments.refund_windows
   to molam_web, molam_money, molam_ops, molam_worker, molam_refresh;

-- A refund that gives the fee back carries it below zero, so that fees add up to the ledger.
alter table payments.wallet_transactions drop constraint fee_in_range;
alter table payments.wallet_transactions add constraint fee_in_range
    check (fee_molam between case type when 'refund' then -amount else 0 end and amount);
alter table merchant.kpi_facts drop constraint fact_fee_in_range;
alter table merchant.kpi_facts add constraint fact_fee_in_range
    check (fee between case kind when 'refund' then -amount else 0 end and amount);

-- What merchants' own people are told leads to the merchant app, and to no chat of operations.
alter table notices.notices add column for_merchants boolean not null default false;
