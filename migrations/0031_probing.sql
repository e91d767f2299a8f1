-- How much a bank is asked and sent, so that one in trouble is not run over by those who wait for it.

set local search_path to payments, tenancy, public;

-- Requests to pay, in slots of ten seconds; lanes, so that those who count do not wait for each other.
create table payments.bank_traffic (
    bank_profile_id text not null references payments.bank_profiles (id),
    slot            timestamptz not null,
    lane            smallint not null constraint lane_in_range check (lane between 0 and 3),
    -- Requests that were really made; those that the bank did its work for; those that were no repetition.
    requests        integer not null constraint requests_not_negative check (requests >= 0),
    accepts         integer not null constraint accepts_not_negative check (accepts between 0 and requests),
    live            integer not null constraint live_not_negative check (live between 0 and requests),
    primary key (bank_profile_id, slot, lane)
);
create index bank_traffic_age on payments.bank_traffic using brin (slot);

-- What is left for questions and for repetitions. A row appears with the first.
create table payments.bank_budgets (
    bank_profile_id text not null references payments.bank_profiles (id),
    purpose         text not null constraint purpose_known check (purpose in ('inquiry', 'retry')),
    tokens          double precision not null constraint tokens_not_negative check (tokens >= 0),
    filled_at       timestamptz not null default now(),
    -- Live traffic of earlier slots is in the tokens.
    counted_until   timestamptz not null,
    primary key (bank_profile_id, purpose)
);

-- Time fills a budget up to its floor; a share of live traffic fills it further, up to its top.
create function payments.tokens_now(
    budget payments.bank_budgets, share double precision, per_s double precision,
    floor_max double precision, most double precision
) returns double precision language sql stable as $$
    select greatest(budget.tokens, least(
               most,
               greatest(budget.tokens,
                        least(floor_max,
                              budget.tokens + per_s * greatest(extract(epoch from now() - budget.filled_at), 0)))
               + share * coalesce((
                     select sum(t.live)
                       from payments.bank_traffic as t
                      where t.bank_profile_id = budget.bank_profile_id
                        and t.slot >= budget.counted_until
                        and t.slot < date_bin('10 seconds', now(), 'epoch')), 0)))
$$;

grant select, insert, update, delete on payments.bank_traffic to molam_worker;
grant select, insert, update on payments.bank_budgets to molam_worker;
grant select on payments.bank_traffic, payments.bank_budgets to molam_ops;

-- What is due at one bank, oldest first.
create index bank_attempts_open_at on payments.bank_attempts (bank_profile_id, next_inquiry_at)
    where state in ('sending', 'accepted', 'unknown');
create index bank_attempts_watched_at on payments.bank_attempts (bank_profile_id, next_inquiry_at)
    where state = 'settled' and watch_until is not null;
