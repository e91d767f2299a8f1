-- Files that merchants ask for, and the accounts their books use.

set local search_path to merchant, payments, ledger, tenancy, platform, public;

-- What a spreadsheet would take for a formula gets an apostrophe in front; exports/cells.py
-- does the same. The first test lets nearly every text pass without a closer look. What is
-- blank is spelt out, because \s means something else in each locale.
create function platform.export_text(given text) returns text
language sql immutable parallel safe
return case
    when ascii(given) between 65 and 126 or ascii(given) between 48 and 57 or ascii(given) between 161 and 5759
    then given
    when given ~ '^([\t\r\n]|[\u0009-\u000D\u001C-\u0020\u0085\u00A0\u1680\u2000-\u200F\u2028\u2029\u202F\u205F\u3000\uFEFF]*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20])'
    then '''' || given
    else given end;

-- Plain decimals in major units.
create function platform.export_amount(minor bigint, exponent smallint) returns text
language sql immutable parallel safe
return case exponent when 0 then minor::text
            else round(minor / (10::numeric ^ exponent), exponent)::text end;

create table merchant.exports (
    id           uuid primary key,
    merchant_id  text not null references tenancy.merchants (id),
    kind         text not null constraint export_kind_known check (kind in (
                     'transactions', 'refunds', 'payouts', 'payout_lines', 'disputes', 'ledger', 'journal',
                     'statement')),
    format       text not null constraint export_format_known
                 check (format in ('csv', 'xlsx', 'pdf', 'hledger', 'beancount')),
    asked        jsonb not null,
    fingerprint  bytea not null,
    minute       bigint not null,
    state        text not null default 'queued' constraint export_state_known
                 check (state in ('queued', 'running', 'done', 'failed', 'expired')),
    rows_done    bigint not null default 0,
    rows_total   bigint,
    file_path    text,
    file_name    text not null,
    bytes        bigint,
    sha256       text constraint sha256_is_one check (sha256 ~ '^[0-9a-f]{64}$'),
    reason       text,
    requested_by text not null,
    created_at   timestamptz not null default now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    expires_at   timestamptz,
    constraint done_has_a_file check (
        state <> 'done' or (file_path is not null and bytes is not null and sha256 is not null
                            and finished_at is not null and expires_at is not null)),
    constraint failed_says_why check ((state = 'failed') = (reason is not null))
);
create index exports_newest on merchant.exports (merchant_id, created_at desc, id desc);
create index exports_old on merchant.exports (expires_at) where state = 'done';
-- Asking twice at once makes one file.
create unique index exports_asked_once on merchant.exports (merchant_id, fingerprint, minute)
    where state <> 'failed';
select platform.guard_tenant('merchant.exports');
grant delete on merchant.exports to molam_worker;

-- Which account of a merchant's books each kind of movement goes to; what is not here
-- goes to the default.
create table merchant.account_mappings (
    merchant_id text not null references tenancy.merchants (id),
    slot        text not null constraint slot_bounded check (length(slot) between 1 and 64),
    account     text not null constraint account_is_digits check (account ~ '^[1-9][0-9]{1,11}$'),
    label       text not null constraint account_label_bounded check (length(label) between 1 and 80),
    updated_by  text not null,
    updated_at  timestamptz not null default now(),
    primary key (merchant_id, slot)
);
select platform.guard_tenant('merchant.account_mappings');
grant delete on merchant.account_mappings to molam_money;

-- From a fact to the payout that paid it out.
create index payout_entries_of_cause on payments.payout_entries (merchant_id, cause_id);
