-- Asking banks to give back what they were sent: what was asked, what they answered, and
-- whether the money came. The answer moves nothing; only money that comes back does.

set local search_path to payments, tenancy, public;

create table payments.recalls (
    id              uuid primary key,
    -- What the bank knows the request by; the same each time it is told of it.
    key             text not null unique constraint recall_key_bounded check (length(key) between 1 and 70),
    merchant_id     text not null references tenancy.merchants (id),
    payout_id       text not null,
    attempt_id      uuid not null references payments.bank_attempts (id),
    bank_profile_id text not null references payments.bank_profiles (id),
    amount          bigint not null constraint recall_amount_positive check (amount > 0),
    currency        text not null references tenancy.currencies (code),
    -- A code of ISO 20022's cancellation reasons (camt.056), and what people wrote.
    reason_code     text not null constraint recall_reason_code_short check (length(reason_code) between 1 and 8),
    reason          text constraint recall_reason_bounded check (length(reason) <= 500),
    action_id       text not null,
    proposal_id     text,
    state           text not null default 'requested'
                    constraint recall_state_known
                    check (state in ('requested', 'unknown', 'pending', 'accepted', 'rejected', 'returned', 'moot')),
    -- What the bank answered (camt.029): its code, and its words.
    answer_code     text constraint recall_answer_code_bounded check (length(answer_code) <= 64),
    answer_reason   text constraint recall_answer_reason_bounded check (length(answer_reason) <= 300),
    asks            integer not null default 0,
    requested_by    text not null,
    requested_at    timestamptz not null default now(),
    sent_at         timestamptz,
    answered_at     timestamptz,
    ended_at        timestamptz,
    lease_until     timestamptz not null default '-infinity',
    next_ask_at     timestamptz not null default now(),
    foreign key (merchant_id, payout_id) references payments.payouts (merchant_id, id)
) with (fillfactor = 75);
-- While one request may still be answered, or was granted, there is no other.
create unique index recalls_one_at_a_time on payments.recalls (payout_id)
    where state in ('requested', 'unknown', 'pending', 'accepted');
create index recalls_of on payments.recalls (payout_id, requested_at);
create index recalls_due on payments.recalls (next_ask_at)
    where state in ('requested', 'unknown', 'pending', 'accepted');
create index recalls_shown on payments.recalls (requested_at desc, id desc);
create index recalls_of_proposal on payments.recalls (proposal_id) where proposal_id is not null;

create table payments.recall_moves (
    old text not null,
    new text not null,
    primary key (old, new)
);
insert into payments.recall_moves (old, new) values
    ('requested', 'unknown'), ('requested', 'returned'), ('requested', 'moot'),
    ('unknown', 'pending'), ('unknown', 'accepted'), ('unknown', 'rejected'), ('unknown', 'returned'), ('unknown', 'moot'),
    ('pending', 'accepted'), ('pending', 'rejected'), ('pending', 'returned'), ('pending', 'moot'),
    ('accepted', 'returned'), ('accepted', 'moot'),
    -- Money may come back although the bank refused.
    ('rejected', 'returned');

create function payments.check_recall_move() returns trigger language plpgsql as $$
begin
    if (new.key, new.payout_id, new.attempt_id, new.amount, new.currency, new.reason_code)
       is distinct from (old.key, old.payout_id, old.attempt_id, old.amount, old.currency, old.reason_code) then
        raise exception 'what is asked of a bank never changes' using errcode = 'restrict_violation';
    end if;
    if new.state <> old.state and not exists (
        select from payments.recall_moves as m where m.old = old.state and m.new = new.state
    ) then
        raise exception 'a recall does not go from % to %', old.state, new.state using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;
create trigger recalls_move before update on payments.recalls
    for each row execute function payments.check_recall_move();

select platform.guard_tenant('payments.recalls');
grant select on payments.recall_moves to molam_web, molam_money, molam_ops, molam_worker, molam_refresh;

-- The lists in which people pick payouts, newest first.
create index payouts_shown on payments.payouts (scheduled_for desc, id desc) where origin = 'molam';
