-- Actions that several people must agree to, their votes, and the policies that say who.

set local search_path to approvals, audit, tenancy, public;

create table approvals.ops_actions (
    id                 uuid primary key,
    origin             text not null constraint origin_known
                       check (origin in ('sira', 'system', 'ops_ui', 'module', 'alert')),
    origin_id          text,
    action_type        text not null,
    schema             text not null,
    -- What will run. Validated, completed with defaults, hashed.
    params             jsonb not null,
    -- Why. Shown and audited, never hashed.
    context            jsonb not null default '{}',
    target_tenant_type text not null,
    target_tenant_id   text not null,
    intent_hash        bytea not null constraint intent_hash_is_sha256 check (length(intent_hash) = 32),
    -- What must still hold when it runs.
    expect             jsonb not null default '{}',
    -- What the rehearsal said would happen: before, after, effects.
    plan               jsonb not null,
    risk_level         text not null default 'medium'
                       constraint risk_level_known check (risk_level in ('low', 'medium', 'high', 'critical')),
    -- Two actions that would do the same thing to the same target share this.
    twin               text not null,

    state              text not null default 'pending' constraint state_known check (state in (
                           'pending', 'blocked', 'approved', 'scheduled', 'executing', 'executed', 'verified',
                           'ineffective', 'failed', 'execution_unknown', 'rejected', 'expired', 'cancelled',
                           'superseded', 'stale', 'compensating', 'compensated', 'compensation_failed')),
    level              smallint not null default 0 constraint level_bounded check (level between 0 and 9),
    votes_approve      integer not null default 0,
    votes_reject       integer not null default 0,
    votes_abstain      integer not null default 0,
    votes_cast         integer not null default 0,
    -- The specification's words for `state`; docs/guide/statuses.md has the table.
    status             text not null generated always as (
        case
            when state in ('pending', 'blocked') and level > 0 then 'escalated'
            when state = 'pending' and votes_cast = 0 then 'requested'
            when state in ('pending', 'blocked') then 'pending_approval'
            when state in ('approved', 'scheduled') then 'approved'
            when state in ('executing', 'execution_unknown') then 'executing'
            when state in ('executed', 'verified', 'ineffective', 'compensating', 'compensation_failed') then 'executed'
            when state = 'compensated' then 'rolled_back'
            when state in ('superseded', 'stale') then 'cancelled'
            else state
        end) stored,
    reason             text,

    -- The policy as it was, and what it came to for this action.
    policy_id          uuid,
    policy_name        text not null,
    policy_version     integer not null,
    policy_hash        bytea not null,
    policy_snapshot    jsonb not null,
    policy_trace       jsonb not null default '{}',
    required_quorum    jsonb not null,
    required_ratio     numeric(5, 4) not null constraint ratio_bounded check (required_ratio between 0 and 1),
    timeout_seconds    integer not null constraint timeout_positive check (timeout_seconds > 0),
    escalation_role    text,
    auto_execute       boolean not null default false,
    electorate_size    integer not null,
    -- Every role whose holders may decide it, at any level: what "my queue" looks for.
    voter_roles        text[] not null,
    voter_ids          text[] not null default '{}',
    -- Who may never vote on it, whatever roles they hold.
    excluded           text[] not null default '{}',

    idempotency_key    text constraint idempotency_key_bounded check (length(idempotency_key) between 1 and 255),
    request_hash       bytea not null,
    created_by         text not null,
    creator_roles      text[] not null default '{}',
    on_behalf_of       text,
    supersedes         uuid references approvals.ops_actions (id),
    superseded_by      uuid references approvals.ops_actions (id),
    compensates        uuid references approvals.ops_actions (id),
    rollback_action    jsonb,

    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    expires_at         timestamptz not null,
    escalates_at       timestamptz,
    escalated_at       timestamptz,
    not_before         timestamptz,
    decided_at         timestamptz,
    execution_deadline timestamptz,

    fence              bigint not null default 0,
    lease_owner        text,
    lease_until        timestamptz,
    attempts           smallint not null default 0,
    next_attempt_at    timestamptz,
    executed_at        timestamptz,
    executed_by        text,
    verify_at          timestamptz,
    result             jsonb,
    -- What one person found out about an unknown outcome; a second one must agree.
    reconciliation     jsonb,
    error_code         text,
    error_message      text,

    version            integer not null default 1,
    chain_seq          integer not null default -1,
    chain_hash         bytea not null default decode(repeat('00', 32), 'hex'),

    constraint expires_after_creation check (expires_at > created_at),
    constraint lease_is_whole check ((lease_owner is null) = (lease_until is null)),
    constraint only_executing_is_leased check (lease_owner is null or state in ('executing', 'compensating')),
    constraint executed_has_result check (state not in ('executed', 'verified', 'ineffective') or result is not null),
    constraint decided_has_time check (state not in ('approved', 'scheduled', 'rejected') or decided_at is not null),
    constraint nobody_compensates_themselves check (compensates is distinct from id)
) with (fillfactor = 70);

create unique index action_idempotency_key on approvals.ops_actions (idempotency_key) where idempotency_key is not null;
-- Until the outcome is known, nothing else may do the same thing to the same target.
create unique index action_twin on approvals.ops_actions (twin)
    where state in ('pending', 'blocked', 'approved', 'scheduled', 'executing', 'execution_unknown');
create index actions_open on approvals.ops_actions (expires_at, id) where state in ('pending', 'blocked');
create index actions_open_voters on approvals.ops_actions using gin (voter_roles, voter_ids) where state in ('pending', 'blocked');
create index actions_escalating on approvals.ops_actions (escalates_at) where state in ('pending', 'blocked');
create index actions_escalated on approvals.ops_actions (expires_at, id)
    where state in ('pending', 'blocked') and level > 0;
create index actions_granted on approvals.ops_actions (decided_at desc, id desc)
    where state in ('approved', 'scheduled', 'executing', 'execution_unknown', 'failed');
create index actions_ended on approvals.ops_actions (updated_at desc, id desc)
    where state not in ('pending', 'blocked', 'approved', 'scheduled', 'executing', 'execution_unknown', 'failed');
create index actions_executable on approvals.ops_actions (decided_at, id)
    where state in ('approved', 'scheduled') and auto_execute;
create index actions_waiting on approvals.ops_actions (execution_deadline)
    where state in ('approved', 'scheduled', 'failed');
create index actions_leased on approvals.ops_actions (lease_until) where lease_until is not null;
create index actions_unverified on approvals.ops_actions (verify_at) where verify_at is not null;
create index actions_status on approvals.ops_actions (status, created_at desc, id desc);
create index actions_newest on approvals.ops_actions (created_at desc, id desc);
create index actions_target on approvals.ops_actions (target_tenant_type, target_tenant_id, created_at desc);
create index actions_type on approvals.ops_actions (action_type, created_at desc);
create index actions_creator on approvals.ops_actions (created_by, created_at desc, id desc);
create index actions_executor on approvals.ops_actions (executed_by, created_at desc) where executed_by is not null;
create index actions_origin on approvals.ops_actions (origin, origin_id) where origin_id is not null;

-- Votes are appended, never changed. The last row of a voter counts.
create table approvals.ops_approvals (
    id              uuid primary key,
    ops_action_id   uuid not null references approvals.ops_actions (id),
    seq             integer not null,
    voter_id        text not null,
    voter_name      text not null,
    voter_email     text,
    voter_roles     text[] not null,
    -- Whose seat the vote fills: the voter's own, or that of the person they stand in for.
    seat            text not null,
    vote            text not null constraint vote_known check (vote in ('approve', 'reject', 'abstain', 'withdrawn')),
    comment         text,
    signed_jwt      text,
    jwt_fingerprint text,
    client_vote_id  text,
    -- What the voter was shown. Empty when the caller used the specification's short form.
    intent_hash     bytea,
    view_hash       bytea,
    auth            jsonb not null default '{}',
    channel         text not null default 'api',
    ip_address      text,
    user_agent      text,
    prev_vote_id    uuid references approvals.ops_approvals (id),
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    unique (ops_action_id, seq)
);
create unique index vote_given_once on approvals.ops_approvals (ops_action_id, voter_id, client_vote_id)
    where client_vote_id is not null;
create index votes_voter on approvals.ops_approvals (voter_id, created_at desc);

create view approvals.current_votes as
    select distinct on (ops_action_id, voter_id) *
      from approvals.ops_approvals
     order by ops_action_id, voter_id, seq desc;

create table approvals.action_comments (
    id            uuid primary key,
    ops_action_id uuid not null references approvals.ops_actions (id),
    author_id     text not null,
    author_name   text not null,
    kind          text not null default 'comment' constraint comment_kind_known check (kind in ('comment', 'late_reject')),
    text          text not null constraint comment_bounded check (length(text) between 1 and 4000),
    created_at    timestamptz not null
);
create index comments_action on approvals.action_comments (ops_action_id, created_at);

create table approvals.execution_attempts (
    ops_action_id uuid not null references approvals.ops_actions (id),
    fence         bigint not null,
    worker        text not null,
    started_by    text not null,
    began_at      timestamptz not null,
    ended_at      timestamptz,
    outcome       text constraint attempt_outcome_known
                  check (outcome in ('executed', 'transient', 'permanent', 'unknown', 'lost')),
    error         text,
    primary key (ops_action_id, fence)
);

create table approvals.approval_policies (
    id          uuid primary key,
    name        text not null constraint policy_name_bounded check (length(name) between 1 and 120),
    description text not null default '',
    criteria    jsonb not null,
    policy      jsonb not null,
    priority    integer not null default 100 constraint priority_positive check (priority >= 1),
    enabled     boolean not null default true,
    -- A floor is added to whichever policy wins.
    baseline    boolean not null default false,
    valid_from  timestamptz,
    valid_until timestamptz,
    version     integer not null default 1,
    hash        bytea not null,
    created_by  text not null,
    updated_by  text not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    deleted_at  timestamptz
);
create unique index policy_name on approvals.approval_policies (name) where deleted_at is null;
create index policies_enabled on approvals.approval_policies (priority desc) where enabled and deleted_at is null;

create table approvals.policy_versions (
    policy_id  uuid not null references approvals.approval_policies (id),
    version    integer not null,
    document   jsonb not null,
    hash       bytea not null,
    change     text not null constraint change_known
               check (change in ('created', 'tightened', 'loosened', 'deleted')),
    changed_by text not null,
    changed_at timestamptz not null,
    -- The action that allowed it, when loosening needed one.
    action_id  uuid references approvals.ops_actions (id),
    primary key (policy_id, version)
);

create table approvals.delegations (
    id           uuid primary key,
    delegator_id text not null,
    delegate_id  text not null,
    role         text not null,
    action_types text[] not null default '{}',
    starts_at    timestamptz not null,
    ends_at      timestamptz not null,
    reason       text not null,
    created_at   timestamptz not null,
    revoked_at   timestamptz,
    constraint delegation_ends check (ends_at > starts_at),
    constraint delegation_bounded check (ends_at <= starts_at + interval '30 days'),
    constraint nobody_delegates_to_themselves check (delegator_id <> delegate_id)
);
create index delegations_delegate on approvals.delegations (delegate_id) where revoked_at is null;
create index delegations_delegator on approvals.delegations (delegator_id) where revoked_at is null;

-- Times in which nothing is carried out; action_types empty means all. A kill switch
-- is one without an end.
create table approvals.freezes (
    id           uuid primary key,
    reason       text not null constraint freeze_reason_bounded check (length(reason) between 1 and 500),
    action_types text[] not null default '{}',
    starts_at    timestamptz not null,
    ends_at      timestamptz,
    created_by   text not null,
    created_at   timestamptz not null,
    ended_at     timestamptz,
    ended_by     text,
    constraint freeze_ends check (ends_at is null or ends_at > starts_at)
);
create index freezes_open on approvals.freezes (starts_at) where ended_at is null;

-- Running at once, without votes; everybody is told, and somebody must review it.
create table approvals.break_glass_uses (
    ops_action_id uuid primary key references approvals.ops_actions (id),
    used_by       text not null,
    reason        text not null,
    used_at       timestamptz not null,
    review_due    timestamptz not null,
    reviewed_by   text,
    reviewed_at   timestamptz,
    review        text,
    constraint reviewer_differs check (reviewed_by <> used_by)
);
create index break_glass_unreviewed on approvals.break_glass_uses (review_due) where reviewed_at is null;

-- Passkeys (WebAuthn) with which people confirm a vote.
create table approvals.passkeys (
    credential_id bytea primary key,
    person_id     text not null,
    public_key    bytea not null,
    sign_count    bigint not null,
    label         text not null,
    created_at    timestamptz not null,
    last_used_at  timestamptz
);
create index passkeys_person on approvals.passkeys (person_id);

create table approvals.passkey_challenges (
    id         uuid primary key,
    person_id  text not null,
    challenge  bytea not null,
    -- What an answer to it may decide; empty while a passkey is being registered.
    binding    jsonb not null default '{}',
    expires_at timestamptz not null
);

create function approvals.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'votes and policy history are append-only' using errcode = 'restrict_violation';
end
$$;
do $$
declare
    name text;
begin
    foreach name in array array['ops_approvals', 'policy_versions', 'action_comments'] loop
        execute format('create trigger append_only before update or delete on approvals.%I
                        for each row execute function approvals.refuse_change()', name);
        execute format('create trigger no_truncate before truncate on approvals.%I
                        for each statement execute function approvals.refuse_change()', name);
    end loop;
end
$$;

-- The specification's two views.
create view approvals.pending_actions_summary as
    select id, action_type, status, required_ratio, created_at, expires_at,
           votes_approve + votes_reject + votes_abstain as total_votes,
           votes_approve as approve_votes, votes_reject as reject_votes,
           round(votes_approve::numeric / nullif(votes_approve + votes_reject, 0), 4) as current_ratio
      from approvals.ops_actions
     where state in ('pending', 'blocked');

create view approvals.approval_performance_stats as
    select action_type,
           count(*) as total_actions,
           count(*) filter (where decided_at is not null and state <> 'rejected') as approved_count,
           count(*) filter (where state = 'rejected') as rejected_count,
           count(*) filter (where state = 'expired') as expired_count,
           avg(extract(epoch from decided_at - created_at))
               filter (where decided_at is not null and state <> 'rejected') as avg_approval_time_seconds
      from approvals.ops_actions
     group by action_type;

grant select on all tables in schema approvals to molam_ops;
grant insert on all tables in schema approvals to molam_ops;
grant update on approvals.ops_actions, approvals.approval_policies, approvals.delegations,
                approvals.freezes, approvals.break_glass_uses, approvals.passkeys,
                approvals.execution_attempts to molam_ops;
grant delete on approvals.passkeys, approvals.passkey_challenges to molam_ops;
