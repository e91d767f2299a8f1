-- Disputes: their stages, what the network said of them, the evidence, and the answer.

set local search_path to payments, tenancy, public;

-- What the network or the wallet said, every report of it. Where a dispute stands is read
-- from all of them in order of their versions, so the order they come in does not matter.
create table payments.dispute_reports (
    merchant_id    text not null references tenancy.merchants (id),
    dispute_id     text not null constraint report_id_bounded check (length(dispute_id) between 1 and 255),
    version        int not null constraint report_version_positive check (version > 0),
    word           text not null constraint report_word_known
                   check (word in ('open', 'under_review', 'won', 'lost', 'accepted', 'escalated')),
    amount         bigint not null constraint report_amount_in_range
                   check (amount between 0 and 9007199254740991),
    fee            bigint not null default 0 constraint report_fee_in_range check (fee between 0 and amount),
    currency       text not null references tenancy.currencies (code),
    -- False: whoever reported it has moved the money already.
    posts          boolean not null default true,
    provider       text,
    transaction_id text,
    reason         text,
    occurred_at    timestamptz not null,
    metadata       jsonb not null default '{}',
    received_at    timestamptz not null default now(),
    primary key (merchant_id, dispute_id, version, word, amount, fee, currency)
);
select platform.guard_tenant('payments.dispute_reports');
revoke insert, update on payments.dispute_reports from molam_money, molam_ops;

insert into payments.dispute_reports
       (merchant_id, dispute_id, version, word, amount, currency, posts, transaction_id, reason,
        occurred_at, metadata, received_at)
select merchant_id, id, version, state, amount, currency, posted_amount > 0 or state = 'won',
       transaction_id, reason, occurred_at, metadata, created_at
  from payments.disputes;

-- reported_state is the network's last word. state is ours: it also knows what the merchant
-- did and what the clock did. status is the specification's word for it.
alter table payments.disputes rename column state to reported_state;
alter table payments.disputes
    add column state text not null default 'needs_response'
        constraint workflow_state_known check (state in (
            'early_warning', 'prevented', 'needs_response', 'under_review', 'won', 'lost', 'accepted', 'expired')),
    add column stage int not null default 1 constraint stage_not_negative check (stage >= 0),
    add column type text not null default 'chargeback'
        constraint dispute_type_known check (type in ('chargeback', 'retrieval_request', 'merchant_dispute')),
    add column provider text,
    add column provider_dispute_id text,
    add column network_case_id text,
    add column network_reason_code text,
    add column fee bigint not null default 0 constraint dispute_fee_in_range check (fee between 0 and amount),
    add column posted_fee bigint not null default 0,
    -- What of posted_amount is still held; the rest went back to the customer.
    add column held_amount bigint not null default 0,
    -- How often money has moved; part of the id of each movement.
    add column moves int not null default 0,
    add column opened_at timestamptz,
    add column evidence_due_at timestamptz,
    -- What the merchant, or the clock, did at this stage.
    add column response text constraint response_known
        check (response in ('submitted', 'accepted', 'expired', 'forfeited', 'prevented')),
    add column submitted_at timestamptz,
    add column resolved_at timestamptz,
    -- Counts every change that others are told of.
    add column revision int not null default 1,
    add constraint no_more_is_held_than_taken check (held_amount between 0 and posted_amount);
update payments.disputes
   set state = case reported_state when 'open' then 'needs_response' when 'escalated' then 'needs_response'
                                   else reported_state end,
       stage = case reported_state when 'escalated' then 2 else 1 end,
       held_amount = posted_amount,
       opened_at = occurred_at,
       -- Nobody was asked before this release, so nobody is late.
       evidence_due_at = case when reported_state in ('open', 'escalated') then now() + interval '10 days' end,
       resolved_at = case when reported_state in ('won', 'lost', 'accepted') then updated_at end;
alter table payments.disputes
    alter column opened_at set not null,
    add column status text not null generated always as (
        case when state in ('won', 'accepted', 'under_review') then state
             when state = 'prevented' then 'accepted'
             when state in ('lost', 'expired') then 'lost'
             when stage > 1 then 'escalated'
             else 'open' end
    ) stored;
create unique index disputes_provider_id on payments.disputes (provider, provider_dispute_id)
    where provider_dispute_id is not null;
create index disputes_newest on payments.disputes (merchant_id, occurred_at desc, id desc);
create index disputes_due on payments.disputes (evidence_due_at)
    where state in ('early_warning', 'needs_response', 'expired');
create index disputes_waiting on payments.disputes (merchant_id, evidence_due_at)
    where state in ('early_warning', 'needs_response');
create index disputes_to_settle on payments.disputes (merchant_id, id)
    where held_amount > 0 and state in ('lost', 'accepted');
grant insert, update on payments.disputes to molam_money, molam_ops;
grant select on payments.dispute_reports to molam_refresh;
create policy refresh_sees_all on payments.dispute_reports for select to molam_refresh using (true);

-- What the merchant and the clock may do. The network may say anything at any time.
create table payments.dispute_moves (
    old text not null,
    new text not null,
    primary key (old, new)
);
insert into payments.dispute_moves (old, new) values
    ('early_warning', 'prevented'),
    ('needs_response', 'under_review'),
    ('needs_response', 'accepted'),
    ('needs_response', 'expired'),
    ('expired', 'lost');
grant select on payments.dispute_moves to molam_web, molam_money, molam_ops, molam_worker;

create function payments.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'what happened to a dispute is append-only' using errcode = 'restrict_violation';
end
$$;

create table payments.dispute_events (
    id          uuid primary key,
    merchant_id text not null,
    dispute_id  text not null,
    kind        text not null constraint dispute_event_known check (kind in (
        'opened', 'reported', 'escalated', 'evidence_added', 'evidence_removed', 'draft_saved', 'submitted',
        'accepted', 'expired', 'forfeited', 'prevented', 'reminded', 'settled')),
    stage       int not null,
    old_state   text,
    new_state   text not null,
    actor_kind  text not null constraint actor_kind_known check (actor_kind in ('network', 'person', 'clock', 'policy')),
    actor       text,
    details     jsonb not null default '{}',
    at          timestamptz not null default now(),
    -- Null, and so not looked up, where nothing moved or the network moved it.
    moved_from  text generated always as (
        case when actor_kind <> 'network' and old_state <> new_state then old_state end) stored,
    moved_to    text generated always as (
        case when actor_kind <> 'network' and old_state <> new_state then new_state end) stored,
    foreign key (merchant_id, dispute_id) references payments.disputes (merchant_id, id),
    constraint move_is_known foreign key (moved_from, moved_to) references payments.dispute_moves (old, new)
);
create index dispute_events_of on payments.dispute_events (merchant_id, dispute_id, at, id);
select platform.guard_tenant('payments.dispute_events');
revoke update on payments.dispute_events from molam_money, molam_ops, molam_worker;
create trigger dispute_events_append_only before update or delete on payments.dispute_events
    for each row execute function payments.refuse_change();

create table payments.dispute_evidence (
    id           uuid primary key,
    merchant_id  text not null,
    dispute_id   text not null,
    stage        int not null,
    kind         text not null constraint evidence_kind_known check (kind in (
        'receipt', 'delivery_proof', 'invoice', 'customer_communication', 'refund_proof',
        'product_description', 'terms', 'identity', 'other')),
    file_name    text not null constraint evidence_name_bounded check (length(file_name) between 1 and 150),
    media_type   text not null,
    size_bytes   int not null constraint evidence_size_bounded check (size_bytes between 1 and 10485760),
    sha256       text not null constraint evidence_sha256_shaped check (sha256 ~ '^[0-9a-f]{64}$'),
    path         text not null unique,
    description  text not null default '' constraint evidence_description_bounded check (length(description) <= 500),
    uploaded_by  text not null,
    uploaded_at  timestamptz not null default now(),
    removed_at   timestamptz,
    removed_by   text,
    foreign key (merchant_id, dispute_id) references payments.disputes (merchant_id, id),
    constraint removal_is_whole check ((removed_at is null) = (removed_by is null))
);
create index dispute_evidence_of on payments.dispute_evidence (merchant_id, dispute_id, stage);
create unique index dispute_evidence_once on payments.dispute_evidence (merchant_id, dispute_id, stage, sha256)
    where removed_at is null;
select platform.guard_tenant('payments.dispute_evidence');
revoke update on payments.dispute_evidence from molam_money, molam_ops, molam_worker;
grant update (removed_at, removed_by) on payments.dispute_evidence to molam_money;

-- The set of files is the merchant's to change until it is sent, or until it is too late.
-- The dispute's row is locked, so that a file and the sending of all files cannot cross.
create function payments.evidence_is_open() returns trigger language plpgsql as $$
declare
    found record;
begin
    if tg_op = 'DELETE' then
        raise exception 'evidence is never deleted' using errcode = 'restrict_violation';
    end if;
    if tg_op = 'UPDATE' and (old.removed_at is not null
            or (new.id, new.merchant_id, new.dispute_id, new.stage, new.kind, new.file_name, new.media_type,
                new.size_bytes, new.sha256, new.path, new.uploaded_by, new.uploaded_at)
            is distinct from
               (old.id, old.merchant_id, old.dispute_id, old.stage, old.kind, old.file_name, old.media_type,
                old.size_bytes, old.sha256, old.path, old.uploaded_by, old.uploaded_at)) then
        raise exception 'evidence is append-only' using errcode = 'restrict_violation';
    end if;
    select d.state, d.stage, d.evidence_due_at, d.response into found
      from payments.disputes d
     where d.merchant_id = new.merchant_id and d.id = new.dispute_id
       for update;
    if found.state is distinct from 'needs_response' or found.stage <> new.stage
            or found.response is not null or found.evidence_due_at <= now() then
        raise exception 'evidence of this dispute is frozen'
              using errcode = 'check_violation', constraint = 'evidence_is_open';
    end if;
    return new;
end
$$;
create trigger evidence_is_open before insert or update or delete on payments.dispute_evidence
    for each row execute function payments.evidence_is_open();

-- A place that was given to somebody to leave a file at; it becomes evidence when confirmed.
create table payments.dispute_uploads (
    id           uuid primary key,
    merchant_id  text not null,
    dispute_id   text not null,
    stage        int not null,
    path         text not null unique,
    kind         text not null,
    file_name    text not null,
    asked_by     text not null,
    expires_at   timestamptz not null,
    confirmed_at timestamptz,
    created_at   timestamptz not null default now(),
    foreign key (merchant_id, dispute_id) references payments.disputes (merchant_id, id)
);
create index dispute_uploads_of on payments.dispute_uploads (merchant_id, dispute_id);
create index dispute_uploads_age on payments.dispute_uploads (created_at);
select platform.guard_tenant('payments.dispute_uploads');
grant delete on payments.dispute_uploads to molam_worker;

create table payments.dispute_drafts (
    merchant_id text not null,
    dispute_id  text not null,
    stage       int not null,
    statement   text not null constraint draft_bounded check (length(statement) <= 20000),
    updated_by  text not null,
    updated_at  timestamptz not null default now(),
    primary key (merchant_id, dispute_id, stage),
    foreign key (merchant_id, dispute_id) references payments.disputes (merchant_id, id)
);
select platform.guard_tenant('payments.dispute_drafts');

-- What was sent, once a stage, word for word and file by file.
create table payments.dispute_submissions (
    merchant_id     text not null,
    dispute_id      text not null,
    stage           int not null,
    statement       text not null,
    manifest        jsonb not null,
    manifest_sha256 text not null constraint manifest_sha256_shaped check (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    by_policy       boolean not null,
    submitted_by    text not null,
    submitted_at    timestamptz not null default now(),
    primary key (merchant_id, dispute_id, stage),
    foreign key (merchant_id, dispute_id) references payments.disputes (merchant_id, id)
);
select platform.guard_tenant('payments.dispute_submissions');
revoke update on payments.dispute_submissions from molam_money, molam_ops, molam_worker;
create trigger submissions_append_only before update or delete on payments.dispute_submissions
    for each row execute function payments.refuse_change();
