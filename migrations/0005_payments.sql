-- What wallets, cards and banks told us: payments, refunds, payouts, disputes.

set local search_path to payments, tenancy, public;

-- status has the specification's words, state ours; docs/guide/statuses.md maps them.
create table payments.wallet_transactions (
    merchant_id     text not null references tenancy.merchants (id),
    id              text not null constraint transaction_id_bounded check (length(id) between 1 and 255),
    type            text not null constraint type_known check (type in ('payment', 'refund')),
    state           text not null constraint state_known
                    check (state in ('pending', 'succeeded', 'failed', 'abandoned', 'cancelled')),
    amount          bigint not null
                    constraint amount_in_range check (amount between 0 and 9007199254740991),
    currency        text not null references tenancy.currencies (code),
    fee_molam       bigint not null default 0
                    constraint fee_in_range check (fee_molam between 0 and amount),
    reference_code  text,
    channel         text not null default 'wallet'
                    constraint channel_known check (channel in ('wallet', 'card', 'bank_transfer')),
    provider        text,
    occurred_at     timestamptz not null
                    constraint occurred_in_range check (occurred_at between '2000-01-01Z' and '2100-01-01Z'),
    customer        jsonb not null default '{}'
                    constraint customer_is_object check (jsonb_typeof(customer) = 'object'),
    metadata        jsonb not null default '{}'
                    constraint metadata_is_object check (jsonb_typeof(metadata) = 'object'),
    reason          text,
    original_id     text,
    refunded_amount bigint not null default 0 constraint refunded_not_negative check (refunded_amount >= 0),
    posted_amount   bigint not null default 0,
    posted_fee      bigint not null default 0,
    version         int not null constraint version_positive check (version > 0),
    imported        boolean not null default false,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    status          text not null generated always as (
        case when state in ('failed', 'abandoned', 'cancelled') then 'failed'
             when state = 'pending' then 'pending'
             when type = 'payment' and amount > 0 and refunded_amount >= amount then 'refunded'
             else 'succeeded' end
    ) stored,
    primary key (merchant_id, type, id),
    constraint refunds_name_a_payment check (type = 'refund' or original_id is null),
    constraint imported_is_not_payable check (not imported or (posted_amount = 0 and posted_fee = 0))
) with (fillfactor = 85);

create index wallet_transactions_newest
    on payments.wallet_transactions (merchant_id, occurred_at desc, id desc, type desc);
create index wallet_transactions_by_status
    on payments.wallet_transactions (merchant_id, status, occurred_at desc, id desc, type desc);
create index wallet_transactions_refunds
    on payments.wallet_transactions (merchant_id, original_id) where type = 'refund';
create index wallet_transactions_undecided
    on payments.wallet_transactions (occurred_at) where state = 'pending';
create index wallet_transactions_reference
    on payments.wallet_transactions (merchant_id, lower(reference_code) text_pattern_ops);
create index wallet_transactions_customer_name
    on payments.wallet_transactions (merchant_id, lower(customer ->> 'name') text_pattern_ops);
create index wallet_transactions_customer_email
    on payments.wallet_transactions (merchant_id, lower(customer ->> 'email') text_pattern_ops);
create index wallet_transactions_customer_phone
    on payments.wallet_transactions (merchant_id, (customer ->> 'phone') text_pattern_ops);

-- Which of two states wins when a fact's versions are equal: the more decided one.
create function payments.state_rank(state text) returns smallint
language sql immutable parallel safe
return case state
    when 'pending' then 1 when 'processing' then 1 when 'open' then 1
    when 'abandoned' then 2 when 'in_transit' then 2 when 'under_review' then 2
    when 'escalated' then 3 when 'failed' then 3 when 'cancelled' then 4
    when 'succeeded' then 5 when 'paid' then 5 when 'won' then 5 when 'lost' then 5
    when 'accepted' then 5 when 'returned' then 6
end::smallint;

-- What the events of one fact say of its customer, put together.
create aggregate payments.merged(jsonb) (sfunc = jsonb_concat, stype = jsonb, initcond = '{}');

-- Reads a JSON array of CloudEvents of the five wallet topics. A field of the wrong
-- type, a missing one or an unknown word raises a data error or becomes a null that
-- the tables refuse, so that one bad event can be told from its good neighbours.
create function payments.facts_in(events json)
returns table (
    kind text, merchant_id text, id text, version int, state text, rank smallint,
    amount bigint, fee bigint, currency text, channel text, provider text, method text,
    occurred_at timestamptz, original_id text, reference_code text,
    customer jsonb, metadata jsonb, reason text, ledger_transfer_id text
)
language sql stable
begin atomic
    select f.kind, f.merchant_id,
           case f.kind when 'payment' then coalesce(f.transaction_id, f.id) else f.id end,
           coalesce(f.version, case when f.state in ('pending', 'open') then 1 else 2 end),
           f.state, payments.state_rank(f.state),
           f.amount, f.fee, f.currency, f.channel, f.provider,
           coalesce(f.provider, f.channel),
           f.occurred_at,
           case when f.kind <> 'payment' then f.transaction_id end,
           f.reference_code, f.customer, f.metadata, f.reason, f.ledger_transfer_id
      from (
        select k.kind, d.merchant_id, d.id, d.transaction_id, d.version,
               case k.kind
                   when 'payment' then case coalesce(d.status, k.assumed)
                       when 'created' then 'pending' when 'processing' then 'pending'
                       when 'pending' then 'pending' when 'succeeded' then 'succeeded'
                       when 'refunded' then 'succeeded' when 'failed' then 'failed'
                       when 'cancelled' then 'cancelled' when 'abandoned' then 'abandoned' end
                   when 'refund' then case coalesce(d.status, k.assumed)
                       when 'pending' then 'pending' when 'processing' then 'pending'
                       when 'succeeded' then 'succeeded' when 'completed' then 'succeeded'
                       when 'failed' then 'failed' when 'cancelled' then 'cancelled' end
                   when 'payout' then case coalesce(d.status, k.assumed)
                       when 'pending' then 'pending' when 'in_transit' then 'in_transit'
                       when 'paid' then 'paid' when 'failed' then 'failed'
                       when 'cancelled' then 'cancelled' when 'returned' then 'returned' end
                   when 'dispute' then case coalesce(d.status, k.assumed)
                       when 'open' then 'open' when 'under_review' then 'under_review'
                       when 'won' then 'won' when 'lost' then 'lost'
                       when 'accepted' then 'accepted' when 'escalated' then 'escalated' end
               end as state,
               d.amount, coalesce(d.fee_molam, 0) as fee, d.currency,
               coalesce(d.channel, 'wallet') as channel, d.provider,
               -- A time without an offset means a different instant to each reader.
               case when d.occurred_at ~ '(Z|[+-]\d\d:?\d\d)$' then d.occurred_at::timestamptz end
                   as occurred_at,
               d.reference_code, coalesce(d.customer, '{}') as customer,
               coalesce(d.metadata, '{}') as metadata, d.reason, d.ledger_transfer_id
          from json_to_recordset(events) as e(type text, data json)
         cross join lateral json_to_record(e.data) as d(
                id text, transaction_id text, merchant_id text, type text, version int,
                status text, amount bigint, fee_molam bigint, currency text, channel text,
                provider text, occurred_at text, reference_code text, customer jsonb,
                metadata jsonb, reason text, ledger_transfer_id text)
         cross join lateral (
                select case e.type
                           when 'wallet_txn_created' then case d.type when 'refund' then 'refund' else 'payment' end
                           when 'wallet_txn_succeeded' then case d.type when 'refund' then 'refund' else 'payment' end
                           when 'refund_created' then 'refund'
                           when 'payout_created' then 'payout'
                           when 'dispute_created' then 'dispute'
                       end as kind,
                       case e.type
                           when 'wallet_txn_succeeded' then 'succeeded'
                           when 'dispute_created' then 'open'
                           else 'pending'
                       end as assumed
                ) as k
      ) as f;
end;

create table payments.payouts (
    merchant_id    text not null references tenancy.merchants (id),
    id             text not null constraint payout_id_bounded check (length(id) between 1 and 255),
    state          text not null constraint payout_state_known
                   check (state in ('pending', 'in_transit', 'paid', 'failed', 'cancelled', 'returned')),
    amount         bigint not null constraint payout_amount_in_range
                   check (amount between 0 and 9007199254740991),
    currency       text not null references tenancy.currencies (code),
    fee            bigint not null default 0 constraint payout_fee_in_range check (fee between 0 and amount),
    occurred_at    timestamptz not null,
    metadata       jsonb not null default '{}',
    posted_amount  bigint not null default 0,
    version        int not null constraint payout_version_positive check (version > 0),
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    primary key (merchant_id, id)
);

create table payments.disputes (
    merchant_id    text not null references tenancy.merchants (id),
    id             text not null constraint dispute_id_bounded check (length(id) between 1 and 255),
    transaction_id text,
    state          text not null constraint dispute_state_known
                   check (state in ('open', 'under_review', 'won', 'lost', 'accepted', 'escalated')),
    reason         text,
    amount         bigint not null constraint dispute_amount_in_range
                   check (amount between 0 and 9007199254740991),
    currency       text not null references tenancy.currencies (code),
    occurred_at    timestamptz not null,
    metadata       jsonb not null default '{}',
    posted_amount  bigint not null default 0,
    version        int not null constraint dispute_version_positive check (version > 0),
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    primary key (merchant_id, id)
);
create index disputes_transaction on payments.disputes (merchant_id, transaction_id);

do $$
declare
    name text;
begin
    foreach name in array array['wallet_transactions', 'payouts', 'disputes'] loop
        execute format('alter table payments.%I enable row level security', name);
        execute format(
            'create policy merchant_sees_own on payments.%I to molam_web
             using (merchant_id = current_setting(''molam.merchant_id'', true))', name);
        execute format(
            'create policy worker_sees_all on payments.%I to molam_worker using (true) with check (true)', name);
        execute format(
            'create policy refresh_sees_all on payments.%I for select to molam_refresh using (true)', name);
    end loop;
end
$$;
grant select on all tables in schema payments to molam_web, molam_refresh;
grant select, insert, update on all tables in schema payments to molam_worker;
