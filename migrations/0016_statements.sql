-- What banks say they booked, what of it is ours, and the books of each day.

set local search_path to payments, ledger, tenancy, public;

-- Some money is nobody's but the platform's: what a bank charges, and what moves between
-- a wallet and our account there. Such transfers have no owner, so no merchant sees them.
alter table ledger.transfers drop constraint transfer_has_one_owner;
alter table ledger.transfers add constraint transfer_has_one_owner check (
    num_nonnulls(merchant_id, agent_id) = 1
    or (num_nonnulls(merchant_id, agent_id) = 0
        and cause in ('bank_fee', 'bank_opening', 'bank_collection', 'bank_refund', 'bank_difference')));
create index transfers_at_bank_in on ledger.transfers (target, occurred_at) where target like 'banks:%';
create index transfers_at_bank_out on ledger.transfers (source, occurred_at) where source like 'banks:%';

create index bank_attempts_outward_key on payments.bank_attempts (outward_key);
create index bank_attempts_amount on payments.bank_attempts (bank_profile_id, currency, amount, sent_at);
-- Payments are looked for by when they happened; they arrive nearly in that order.
create index wallet_transactions_when on payments.wallet_transactions using brin (occurred_at);

-- How one bank's statements are read and compared. Absent: the defaults.
create table payments.statement_rules (
    bank_profile_id        text primary key references payments.bank_profiles (id),
    -- Which columns of its tables mean what; null: known by their names.
    mapping                jsonb,
    -- The providers whose payments arrive on our account there.
    collects               text[] not null default '{}',
    -- What a bank may keep back of a payment without anybody being asked: the lesser of both.
    tolerance_minor        bigint not null default 100 constraint tolerance_not_negative check (tolerance_minor >= 0),
    tolerance_basis_points integer not null default 50
                           constraint tolerance_bounded check (tolerance_basis_points between 0 and 1000),
    window_days            smallint not null default 2 constraint window_bounded check (window_days between 0 and 30),
    -- How long a payment may be on its way before its absence has to be explained.
    transit_days           smallint not null default 3 constraint transit_bounded check (transit_days between 0 and 30),
    updated_by             text not null default 'system',
    updated_at             timestamptz not null default now()
);

-- The books of our account at a bank. They begin with the first statement.
create table payments.books (
    bank_profile_id text not null references payments.bank_profiles (id),
    currency        text not null references tenancy.currencies (code),
    begins_on       date not null,
    opening         bigint not null,
    -- No statement has said yet what there was before it; the first that does puts it right.
    opening_assumed boolean not null default false,
    closed_through  date,
    created_at      timestamptz not null default now(),
    primary key (bank_profile_id, currency),
    constraint closed_after_beginning check (closed_through >= begins_on)
);

create table payments.statements (
    id              uuid primary key,
    bank_profile_id text not null,
    currency        text not null,
    format          text not null constraint statement_format_known check (format in ('camt053', 'mt940', 'csv', 'xlsx')),
    sha256          bytea not null constraint statement_hash_is_sha256 check (length(sha256) = 32),
    -- A file may hold several statements.
    part            smallint not null constraint part_positive check (part > 0),
    file_name       text not null constraint file_name_bounded check (length(file_name) between 1 and 120),
    account         text not null default '',
    reference       text not null default '',
    first_day       date not null,
    last_day        date not null,
    opening         bigint,
    closing         bigint,
    lines           integer not null constraint lines_bounded check (lines between 0 and 200000),
    money_in        bigint not null,
    money_out       bigint not null,
    fees            bigint not null,
    imported_by     text not null,
    imported_at     timestamptz not null default now(),
    matched_at      timestamptz,
    discarded_by    text,
    discarded_at    timestamptz,
    discard_reason  text,
    foreign key (bank_profile_id, currency) references payments.books (bank_profile_id, currency),
    constraint days_in_order check (first_day <= last_day),
    constraint declared_balances_add_up check (opening + money_in - money_out - fees = closing),
    constraint discard_is_whole check (num_nonnulls(discarded_by, discarded_at, discard_reason) in (0, 3))
);
create unique index statement_imported_once on payments.statements (bank_profile_id, sha256, part)
    where discarded_at is null;
create index statements_newest on payments.statements (imported_at desc, id desc);
create index statements_days on payments.statements (bank_profile_id, currency, last_day);

create table payments.statement_lines (
    id              bigint generated always as identity primary key,
    statement_id    uuid not null references payments.statements (id),
    line_no         integer not null,
    bank_profile_id text not null,
    currency        text not null,
    booked_on       date not null,
    value_on        date not null,
    -- As the account's holder sees it: in is above zero.
    amount          bigint not null
                    constraint line_amount_in_range check (amount between -9007199254740991 and 9007199254740991),
    fee             bigint not null default 0 constraint line_fee_in_range check (fee between 0 and 9007199254740991),
    bank_ref        text not null default '',
    end_to_end_id   text not null default '',
    -- A key of ours that stands somewhere in its text.
    named_key       text not null default '',
    counterparty    text not null default '',
    text            text not null default '',
    is_return       boolean not null default false,
    is_fee          boolean not null default false,
    state           text not null default 'posted'
                    constraint line_state_known
                    check (state in ('posted', 'matched', 'partially_reconciled', 'mismatched', 'archived', 'void')),
    mismatch        text
                    constraint mismatch_known
                    check (mismatch in ('amount', 'direction', 'currency', 'duplicate', 'other_bank', 'refused')),
    status          text not null generated always as (
        case when state = 'matched' then 'matched'
             when state in ('mismatched', 'partially_reconciled') then 'suspicious'
             when state = 'archived' then 'manual_review'
             else 'unmatched' end
    ) stored,
    unique (statement_id, line_no),
    constraint mismatch_says_why check ((state = 'mismatched') = (mismatch is not null))
) with (fillfactor = 80);
create index statement_lines_open on payments.statement_lines (bank_profile_id, currency, booked_on, id)
    where state in ('posted', 'mismatched');
create index statement_lines_days on payments.statement_lines (bank_profile_id, currency, booked_on);

create table payments.statement_moves (
    old text not null,
    new text not null,
    primary key (old, new)
);
insert into payments.statement_moves (old, new) values
    ('posted', 'matched'), ('posted', 'partially_reconciled'), ('posted', 'mismatched'), ('posted', 'archived'),
    ('posted', 'void'), ('mismatched', 'posted'), ('mismatched', 'matched'), ('mismatched', 'partially_reconciled'),
    ('mismatched', 'archived'), ('mismatched', 'void'), ('partially_reconciled', 'posted'),
    ('partially_reconciled', 'matched'), ('matched', 'posted'), ('archived', 'posted');

create function payments.check_line_move() returns trigger language plpgsql as $$
begin
    if (new.statement_id, new.line_no, new.booked_on, new.value_on, new.amount, new.fee, new.currency)
       is distinct from
       (old.statement_id, old.line_no, old.booked_on, old.value_on, old.amount, old.fee, old.currency) then
        raise exception 'what a bank booked never changes' using errcode = 'restrict_violation';
    end if;
    if new.state <> old.state and not exists (
        select from payments.statement_moves as m where m.old = old.state and m.new = new.state
    ) then
        raise exception 'a line does not go from % to %', old.state, new.state using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;
create trigger statement_lines_move before update on payments.statement_lines
    for each row execute function payments.check_line_move();

-- What a line turned out to be. Undoing one keeps it, with who and why.
create table payments.statement_matches (
    id              uuid primary key default gen_random_uuid(),
    line_id         bigint not null references payments.statement_lines (id),
    statement_id    uuid not null references payments.statements (id),
    bank_profile_id text not null,
    currency        text not null,
    kind            text not null constraint match_kind_known
                    check (kind in ('payout', 'refund', 'collection', 'fee', 'write_off')),
    -- One attempt at sending (attempt:<id>), or one payment that arrives (payment:<merchant>/<id>).
    expectation     text,
    leg             text not null default 'sent' constraint leg_known check (leg in ('sent', 'returned')),
    attempt_id      uuid references payments.bank_attempts (id),
    object_id       text,
    merchant_id     text references tenancy.merchants (id),
    amount          bigint not null,
    fee             bigint not null default 0,
    -- By how much the line exceeds what we expected; below zero, the bank kept it.
    difference      bigint not null default 0,
    tier            text not null constraint tier_known
                    check (tier in ('exact_ref', 'provider_ref', 'fuzzy_amount_date', 'fee', 'manual', 'forced')),
    score           numeric(4, 3) not null constraint score_in_range check (score between 0 and 1),
    explanation     jsonb not null constraint explained_in_both check (explanation ?& array['fr', 'en']),
    reason          text,
    matched_by      text not null,
    matched_at      timestamptz not null default now(),
    action_id       text,
    -- When the payout's or refund's owner was told what the bank booked.
    told_at         timestamptz,
    undone_by       text,
    undone_at       timestamptz,
    undo_reason     text,
    constraint expectation_where_ours check ((expectation is null) = (kind in ('fee', 'write_off'))),
    constraint forced_says_why check (tier <> 'forced' or length(reason) > 0),
    constraint undoing_is_whole check (num_nonnulls(undone_by, undone_at, undo_reason) in (0, 3))
);
create unique index line_matched_once on payments.statement_matches (line_id) where undone_at is null;
create unique index expectation_matched_once on payments.statement_matches (expectation, leg)
    where undone_at is null and expectation is not null;
create index statement_matches_line on payments.statement_matches (line_id);
create index statement_matches_untold on payments.statement_matches (matched_at)
    where told_at is null and undone_at is null and attempt_id is not null;

-- The same UUID that kernel.ids.uuid8 makes of a text.
create function payments.uuid_of(text) returns uuid language sql immutable parallel safe
begin atomic
    select overlay(overlay(h placing '8' from 13)
                   placing substr('89ab', (('x' || substr(h, 17, 1))::bit(4)::int & 3) + 1, 1) from 17)::uuid
      from (select left(encode(sha256(convert_to($1, 'UTF8')), 'hex'), 32)) as hashed(h);
end;

-- Why an open item may stay open when a day is closed.
create table payments.books_explanations (
    bank_profile_id text not null,
    currency        text not null,
    item            text not null constraint item_bounded check (length(item) between 1 and 300),
    reason          text not null constraint explanation_bounded check (length(reason) between 3 and 500),
    explained_by    text not null,
    explained_at    timestamptz not null default now(),
    primary key (bank_profile_id, currency, item),
    foreign key (bank_profile_id, currency) references payments.books (bank_profile_id, currency)
);

create table payments.books_days (
    bank_profile_id text not null,
    currency        text not null,
    day             date not null,
    opening         bigint not null,
    money_in        bigint not null,
    money_out       bigint not null,
    fees            bigint not null,
    closing         bigint not null,
    -- Our ledger's view of the same account at the end of the day.
    ledger_closing  bigint not null,
    -- What is open and explained accounts for the whole difference, or the day stays open.
    open_items      integer not null,
    open_amount     bigint not null,
    difference      bigint not null generated always as (closing - ledger_closing) stored,
    items           jsonb not null default '[]',
    closed_by       text not null,
    closed_at       timestamptz not null default now(),
    checked_at      timestamptz,
    -- By how much the ledger's view of the day has changed since it was closed: nothing, ever.
    drift           bigint not null default 0,
    primary key (bank_profile_id, currency, day),
    foreign key (bank_profile_id, currency) references payments.books (bank_profile_id, currency),
    constraint day_adds_up check (opening + money_in - money_out - fees = closing),
    constraint control_account_is_zero check (closing - ledger_closing = open_amount)
);

create function payments.keep_closed_day() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE'
       and to_jsonb(new) - array['checked_at', 'drift', 'difference'] = to_jsonb(old) - array['checked_at', 'drift', 'difference'] then
        return new;
    end if;
    raise exception 'a closed day stays as it was closed' using errcode = 'restrict_violation';
end
$$;
create trigger books_days_kept before update or delete on payments.books_days
    for each row execute function payments.keep_closed_day();

-- A line of a closed day neither comes nor goes. An item that was carried open may still
-- find its counterpart, which counts on the day it is found.
create function payments.keep_closed_lines() returns trigger language plpgsql as $$
begin
    if exists (
        select from payments.books as b
         where b.bank_profile_id = new.bank_profile_id and b.currency = new.currency
           and new.booked_on <= b.closed_through
    ) and (tg_op = 'INSERT'
           or new.state = 'void'
           or (new.state = 'posted' and old.state not in ('posted', 'mismatched'))) then
        raise exception 'the day % is closed', new.booked_on
              using errcode = 'restrict_violation', constraint = 'day_is_closed';
    end if;
    return new;
end
$$;
create trigger statement_lines_closed before insert or update of state on payments.statement_lines
    for each row execute function payments.keep_closed_lines();

-- Letters and digits alone, in capitals, so that names can be compared as banks write them.
create function payments.plain_name(text) returns text
language sql immutable parallel safe
return regexp_replace(upper(tenancy.folded($1)), '[^A-Z0-9]', '', 'g');

grant select, insert, update on payments.statement_rules, payments.books, payments.statements, payments.statement_lines,
      payments.statement_matches, payments.books_explanations, payments.books_days to molam_ops, molam_worker;
grant select on payments.statement_moves to molam_ops, molam_worker;
