-- Approvals asked for by other modules: scored, decided by pools of people, proved by links.

set local search_path to approvals, sira, tenancy, public;

-- Who decides. Within a scope that fits, the lowest priority with enough people comes first.
create table approvals.approvals_pool (
    id          uuid primary key default gen_random_uuid(),
    name        text not null unique constraint pool_name_bounded check (length(name) between 1 and 120),
    description text not null default '',
    roles       text[] not null constraint pool_has_roles check (cardinality(roles) between 1 and 32),
    country     char(2),
    module      text,
    -- In francs CFA, so that one scale holds for all currencies.
    min_amount  bigint constraint pool_min_not_negative check (min_amount >= 0),
    max_amount  bigint constraint pool_max_not_negative check (max_amount >= 0),
    priority    integer not null default 10,
    active      boolean not null default true,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint pool_range_not_empty check (max_amount >= min_amount)
);
insert into approvals.approvals_pool (name, roles, priority) values
    ('Global Ops Approvers', '{pay_admin,finance_ops,compliance}', 10),
    ('Finance Team', '{finance_ops,finance_lead}', 20),
    ('Compliance Team', '{compliance,compliance_lead}', 5);

-- How many. The most specific that fits applies; among equals, the strictest of each column.
create table approvals.approvals_policy (
    id                      uuid primary key default gen_random_uuid(),
    name                    text not null unique
                            constraint risk_policy_name_bounded check (length(name) between 1 and 120),
    country                 char(2),
    module                  text,
    action_type             text,
    min_score_auto          integer not null default 25,
    min_score_single        integer not null default 60,
    min_score_double        integer not null default 85,
    max_approvals           integer not null default 3
                            constraint approvals_bounded check (max_approvals between 1 and 3),
    timeout_minutes         integer not null default 60
                            constraint timeout_bounded check (timeout_minutes between 1 and 43200),
    evidence_required_score integer not null default 85
                            constraint evidence_score_bounded check (evidence_required_score between 0 and 101),
    force_multichannel      boolean not null default false,
    active                  boolean not null default true,
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),
    constraint bands_in_order check (
        0 <= min_score_auto and min_score_auto <= min_score_single
        and min_score_single <= min_score_double and min_score_double <= 101)
);
insert into approvals.approvals_policy
    (name, module, min_score_auto, min_score_single, min_score_double, max_approvals, timeout_minutes,
     evidence_required_score, active) values
    ('Global Default', null, 25, 60, 85, 3, 60, 85, true),
    ('High-Value Payouts', 'pay', 20, 50, 75, 3, 30, 75, true),
    -- Without a scope it would tie with Global Default and shorten every deadline to a
    -- quarter of an hour: switched on where an installation gives it one.
    ('Emergency Actions', null, 50, 70, 90, 3, 15, 90, false),
    ('Low-Risk Ops', 'ops', 40, 70, 90, 2, 120, 95, true);

create table approvals.approvals_action (
    id                          uuid primary key,
    action_type                 text not null constraint risk_type_bounded check (length(action_type) between 1 and 120),
    origin_module               text not null constraint risk_module_bounded check (length(origin_module) between 1 and 64),
    origin_entity_id            text constraint risk_entity_bounded check (length(origin_entity_id) between 1 and 255),
    payload                     jsonb not null,
    payload_hash                bytea not null constraint payload_hash_is_sha256 check (length(payload_hash) = 32),
    created_by                  text not null,
    creator_roles               text[] not null default '{}',
    on_behalf_of                text,
    idempotency_key             text constraint risk_key_bounded check (length(idempotency_key) between 1 and 255),
    request_hash                bytea not null,

    -- held: waits for SIRA's score. The rest are the engine's words in short.
    status                      text not null constraint risk_status_known check (status in (
                                    'held', 'pending', 'approved', 'rejected', 'overridden', 'auto_approved', 'expired')),
    reason                      text,
    sira_score                  integer constraint score_bounded check (sira_score between 0 and 100),
    sira_tags                   text[] not null default '{}',
    sira_reason                 text,
    sira_recommended_approvals  integer,
    sira_recommended_channels   text[] not null default '{}',
    sira_model_version          text,
    sira_contributions          jsonb not null default '[]',
    policy_name                 text,
    pool_name                   text,
    required_approvals          integer not null default 1
                                constraint required_bounded check (required_approvals between 0 and 3),
    approved_count              integer not null default 0,
    rejected_count              integer not null default 0,
    evidence_required           boolean not null default false,
    evidence_uploaded           boolean not null default false,
    -- The engine's action, which the votes are on. None when nobody has to decide.
    ops_action_id               uuid unique references approvals.ops_actions (id),
    created_at                  timestamptz not null,
    updated_at                  timestamptz not null,
    decided_at                  timestamptz,
    expires_at                  timestamptz not null,
    override_by                 text,
    override_decision           text constraint override_decision_known check (override_decision in ('approve', 'reject')),
    override_reason             text,
    -- Whether those who asked have been told the outcome.
    notified                    boolean not null default false,
    metadata                    jsonb not null default '{}',

    constraint scored_unless_held check (status in ('held', 'expired', 'overridden') or sira_score is not null),
    constraint pending_is_decided_by_the_engine check (status not in ('pending', 'approved') or ops_action_id is not null),
    constraint ended_has_time check ((status in ('held', 'pending')) = (decided_at is null)),
    constraint override_is_whole check (
        (status = 'overridden') = (override_by is not null and override_decision is not null and override_reason is not null)),
    constraint only_ended_is_told check (not notified or decided_at is not null)
);
create unique index risk_idempotency_key on approvals.approvals_action (created_by, idempotency_key)
    where idempotency_key is not null;
create index risk_newest on approvals.approvals_action (created_at desc, id desc);
create index risk_status on approvals.approvals_action (status, created_at desc, id desc);
create index risk_module on approvals.approvals_action (origin_module, created_at desc, id desc);
create index risk_creator on approvals.approvals_action (created_by, created_at desc, id desc);
create index risk_held on approvals.approvals_action (expires_at) where status = 'held';
create index risk_untold on approvals.approvals_action (decided_at, id) where not notified and decided_at is not null;

-- The engine decides; this row follows in the same transaction, whoever moved it. It says
-- `approved` once the approval has been carried out, when the engine has looked again at
-- everything it rests on.
create function approvals.follow_risk_approval() returns trigger language plpgsql as $$
begin
    update approvals.approvals_action as a
       set status = case
               when new.state in ('executed', 'verified', 'ineffective') then 'approved'
               when new.state = 'expired' then 'expired'
               when new.state in ('rejected', 'cancelled', 'superseded', 'stale') then 'rejected'
               else 'pending' end,
           reason = case when new.state in ('rejected', 'expired') then new.reason
                         when new.state in ('cancelled', 'superseded', 'stale') then new.state end,
           approved_count = new.votes_approve,
           rejected_count = new.votes_reject,
           decided_at = case
               when new.state in ('executed', 'verified', 'ineffective', 'expired', 'rejected', 'cancelled',
                                  'superseded', 'stale') then coalesce(a.decided_at, new.updated_at) end,
           updated_at = new.updated_at
     where a.ops_action_id = new.id
       and a.status = 'pending';
    return null;
end
$$;
create trigger follow_risk_approval after update on approvals.ops_actions
    for each row
    when (new.action_type = 'RISK_APPROVAL'
          and (old.state, old.votes_approve, old.votes_reject)
              is distinct from (new.state, new.votes_approve, new.votes_reject))
    execute function approvals.follow_risk_approval();

-- One decision of one person on one request, to be taken once. The link itself is not
-- kept, only its HMAC under a key that the database does not have.
create table approvals.approvals_tokens (
    id          uuid primary key,
    approval_id uuid not null references approvals.approvals_action (id),
    token_hash  text not null unique constraint token_hash_is_hex check (token_hash ~ '^[0-9a-f]{64}$'),
    approver_id text not null,
    decision    text not null constraint token_decision_known check (decision in ('approve', 'reject')),
    intent_hash bytea not null constraint token_intent_is_sha256 check (length(intent_hash) = 32),
    expires_at  timestamptz not null,
    used        boolean not null default false,
    used_at     timestamptz,
    used_by_ip  text,
    created_at  timestamptz not null,
    constraint used_has_time check (used = (used_at is not null))
);
create index tokens_approval on approvals.approvals_tokens (approval_id, approver_id);
create index tokens_age on approvals.approvals_tokens (expires_at);

create table approvals.approvals_evidence (
    id                uuid primary key,
    approval_id       uuid not null references approvals.approvals_action (id),
    uploaded_by       text not null,
    file_name         text not null constraint file_name_bounded check (length(file_name) between 1 and 255),
    file_size         integer not null constraint file_size_positive check (file_size > 0),
    file_type         text not null,
    -- Where in the file store; never an address somebody else serves.
    storage_url       text not null,
    encryption_key_id text,
    checksum          text not null constraint checksum_is_sha256 check (checksum ~ '^[0-9a-f]{64}$'),
    description       text not null default '',
    created_at        timestamptz not null,
    unique (approval_id, checksum)
);

create view approvals.approvals_vote as
    select v.id, a.id as approval_id, v.voter_id as approver_id, v.vote as decision, v.comment,
           v.created_at as voted_at, v.ip_address
      from approvals.approvals_action as a
      join approvals.current_votes as v on v.ops_action_id = a.ops_action_id
     where v.vote in ('approve', 'reject');

-- Every score that was used, and every one that was wanted and could not be trusted.
create table sira.sira_scoring_audit (
    id                   uuid primary key,
    approval_id          uuid,
    payload              jsonb not null,
    score                integer not null constraint audited_score_bounded check (score between 0 and 100),
    tags                 text[] not null,
    reason               text not null,
    recommended_approvals integer not null,
    contributions        jsonb not null,
    model_version        text not null,
    latency_ms           integer not null,
    signature            text,
    -- Why there was no score to trust; the highest stands for it.
    failure              text,
    created_at           timestamptz not null
);
create index scoring_audit_approval on sira.sira_scoring_audit (approval_id);
create index scoring_audit_age on sira.sira_scoring_audit (created_at);

create function sira.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the record of scores is append-only' using errcode = 'restrict_violation';
end
$$;
create trigger append_only before update or delete on sira.sira_scoring_audit
    for each row execute function sira.refuse_change();
create trigger no_truncate before truncate on sira.sira_scoring_audit
    for each statement execute function sira.refuse_change();
create trigger append_only before update or delete on approvals.approvals_evidence
    for each row execute function approvals.refuse_change();
create trigger no_truncate before truncate on approvals.approvals_evidence
    for each statement execute function approvals.refuse_change();

grant select on approvals.approvals_pool, approvals.approvals_policy, approvals.approvals_vote to molam_ops;
grant select, insert, update on approvals.approvals_action to molam_ops;
grant select, insert on approvals.approvals_tokens to molam_ops;
grant update (used, used_at, used_by_ip) on approvals.approvals_tokens to molam_ops;
grant delete on approvals.approvals_tokens to molam_ops;
grant select, insert on approvals.approvals_evidence to molam_ops;
grant select, insert on sira.sira_scoring_audit to molam_ops;
