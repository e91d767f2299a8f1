-- Gates that are closed for some amounts only, what banks charge, and practice runs.

set local search_path to payments, mesh, tenancy, public;

-- A bank that was left for some amounts goes on serving the others: those that no other bank
-- carries. While a gate is open this says nothing; whoever does not know it closes it whole.
alter table payments.bank_gates add column closed_for int8multirange not null default '{(,)}';

drop function payments.share_gate(text, text, text);
-- Without an amount it is closed if it is closed for any.
create function payments.share_gate(
    bank text, wanted_rail text, wanted_currency text, wanted_amount bigint default null) returns boolean
language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock_shared(payments.gate_lock(bank, wanted_rail, wanted_currency));
    return not exists (
        select from payments.bank_gates as g
         where g.bank_profile_id = bank and g.rail = wanted_rail and g.currency = wanted_currency
           and (g.held_until > clock_timestamp()
                or (not g.is_open and (wanted_amount is null or g.closed_for @> wanted_amount))));
end
$$;

-- Closes or opens a gate for ranges of amounts, both ends included, and returns those that
-- were otherwise before. No last amount: without end.
create function payments.change_gate(
    bank text, wanted_rail text, wanted_currency text, wanted_open boolean, why text,
    lows bigint[], highs bigint[]) returns table (low bigint, high bigint)
language plpgsql volatile as $$
declare
    wanted  int8multirange;
    was     int8multirange;
    becomes int8multirange;
begin
    perform pg_advisory_xact_lock(payments.gate_lock(bank, wanted_rail, wanted_currency));
    select coalesce(range_agg(int8range(nullif(u.first, 0), u.last, '[]')), '{}') into wanted
      from unnest(lows, highs) as u(first, last);
    select case when g.is_open then '{}' else g.closed_for end into was
      from payments.bank_gates as g
     where g.bank_profile_id = bank and g.rail = wanted_rail and g.currency = wanted_currency;
    was := coalesce(was, '{}');
    becomes := case when wanted_open then was - wanted else was + wanted end;
    insert into payments.bank_gates as g
           (bank_profile_id, rail, currency, is_open, closed_for, cause, changed_at)
    values (bank, wanted_rail, wanted_currency, isempty(becomes),
            case when isempty(becomes) then '{(,)}' else becomes end, why, now())
        on conflict (bank_profile_id, rail, currency) do update
       set is_open = excluded.is_open, closed_for = excluded.closed_for, cause = excluded.cause,
           changed_at = now();
    return query
        select coalesce(lower(r.part), 0), upper(r.part) - 1
          from unnest(case when wanted_open then was - becomes else becomes - was end) as r(part)
         order by 1;
end
$$;

-- For processes of the release before, which know gates as open or closed.
create or replace function payments.set_gate(
    bank text, wanted_rail text, wanted_currency text, wanted_open boolean, why text) returns boolean
language sql volatile as $$
    select count(*) > 0
      from payments.change_gate(bank, wanted_rail, wanted_currency, wanted_open, why, '{0}', '{null}')
$$;

-- What a bank charges by its tariff: a flat fee and a share, together within bounds, in
-- whole units. A bound that is no whole amount bounds nothing.
create function payments.fee_bound(fees jsonb, bound text) returns bigint
language sql immutable parallel safe as $$
    select case when jsonb_typeof(fees -> bound) = 'number' and (fees ->> bound) ~ '^[0-9]{1,18}$'
                then (fees ->> bound)::bigint end
$$;
create function payments.bank_fee(fees jsonb, flat_fee bigint, percent_fee numeric, amount bigint) returns bigint
language sql immutable parallel safe as $$
    select least(greatest(round(flat_fee + amount * percent_fee / 100)::bigint, payments.fee_bound(fees, 'min')),
                 payments.fee_bound(fees, 'max'))
$$;

-- Practice: for half an hour a small share of new payouts goes to the bank that would stand
-- in. Whoever makes payouts reads this, and by its end everybody has stopped, whoever lives.
create table payments.bank_practices (
    id            text primary key,
    currency      text not null references tenancy.currencies (code),
    rail          text not null,
    from_bank_id  text not null references payments.bank_profiles (id),
    to_bank_id    text not null references payments.bank_profiles (id),
    to_account_id text not null references payments.treasury_accounts (id),
    amounts       int8multirange not null,
    share         smallint not null constraint practice_share_is_small check (share between 1 and 25),
    value_max     bigint not null constraint practice_value_not_negative check (value_max >= 0),
    begins_at     timestamptz not null default now(),
    ends_at       timestamptz not null,
    ended_at      timestamptz,
    constraint practice_is_between_two check (from_bank_id <> to_bank_id),
    constraint practice_is_short check (ends_at between begins_at and begins_at + interval '2 hours')
);
create unique index bank_practices_one_at_a_time on payments.bank_practices (currency, rail)
    where ended_at is null;

-- Which payouts it gave away, and whose they would have been.
create table payments.practice_payouts (
    payout_id           text primary key,
    practice_id         text not null references payments.bank_practices (id),
    original_bank_id    text not null references payments.bank_profiles (id),
    original_account_id text,
    amount              bigint not null,
    taken_at            timestamptz not null default now()
);
create index practice_payouts_of on payments.practice_payouts (practice_id);

-- What was asked and what came of it.
create table mesh.practice_runs (
    proposal_id    text primary key references mesh.mesh_routing_proposals (id),
    mesh_region_id text not null references mesh.mesh_regions (id),
    action_id      text not null,
    currency       text not null,
    rail           text not null,
    from_bank_id   text not null references payments.bank_profiles (id),
    to_bank_id     text not null references payments.bank_profiles (id),
    share          smallint not null,
    promise_s      integer not null,
    began_at       timestamptz not null default now(),
    ends_at        timestamptz not null,
    ended_at       timestamptz,
    end_reason     text constraint practice_end_known
                   check (end_reason in ('time', 'bank_suffers', 'stopped', 'taken_back')),
    outcome        text constraint practice_outcome_known check (outcome in ('works', 'fails', 'nothing_came')),
    payouts        integer not null default 0,
    value          bigint not null default 0,
    paid           integer not null default 0,
    failed         integer not null default 0,
    given_back     integer not null default 0,
    fees           bigint not null default 0,
    usual_fees     bigint not null default 0,
    seconds        integer,
    usual_seconds  integer,
    judged_at      timestamptz,
    constraint ended_practice_says_why check ((ended_at is null) = (end_reason is null)),
    constraint judged_practice_has_outcome check ((judged_at is null) = (outcome is null))
);
create index practice_runs_newest on mesh.practice_runs (mesh_region_id, began_at desc);
create index practice_runs_of_bank on mesh.practice_runs (to_bank_id, began_at desc);
create index practice_runs_open on mesh.practice_runs (began_at) where judged_at is null;

alter table mesh.mesh_routing_proposals
    drop constraint proposal_kind_known,
    add constraint proposal_kind_known
        check (kind in ('failover', 'return', 'reorder', 'manual', 'override', 'practice'));

grant select on payments.bank_practices, payments.practice_payouts to molam_web, molam_money, molam_ops, molam_worker;
grant insert, update on payments.bank_practices to molam_ops, molam_worker;
grant insert on payments.practice_payouts to molam_web, molam_money, molam_ops, molam_worker;
grant select, insert, update on mesh.practice_runs to molam_ops, molam_worker;

-- What nobody can read is no limit that anybody agreed to: such a member takes nothing.
create or replace function mesh.amount_in(amounts jsonb, wanted_currency text) returns bigint
language sql immutable parallel safe as $$
    select case when said is null or jsonb_typeof(said) = 'null' then null
                when said #>> '{}' ~ '^[0-9]{1,18}$' and jsonb_typeof(said) = 'number' then (said #>> '{}')::bigint
                else 0 end
      from (select case when jsonb_typeof(amounts) = 'object' then amounts -> wanted_currency
                        else amounts end as said) as s
$$;
