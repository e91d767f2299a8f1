-- The failover mesh: regions and their members, how healthy each bank is, what is
-- predicted and proposed, what was done about it, and what came of the money.

create schema mesh;
do $$
begin
    execute format(
        'alter database %I set search_path to merchant, mesh, payments, ledger, tenancy, approvals, audit, notices, webhooks, sira, platform, public',
        current_database()
    );
end
$$;
set local search_path to mesh, payments, ledger, tenancy, public;
grant usage on schema mesh to molam_ops, molam_worker;

create table mesh.mesh_regions (
    id                    text primary key constraint region_id_bounded check (length(id) between 1 and 255),
    name                  text not null unique constraint region_name_bounded check (length(name) between 1 and 64),
    description           text not null default '',
    countries             text[] not null,
    auto_failover_enabled boolean not null default false,
    -- A payout above it never moves without approval; minor units.
    approval_threshold    bigint not null default 1000000 constraint threshold_not_negative check (approval_threshold >= 0),
    approval_currency     text not null references tenancy.currencies (code),
    allowed_crossborder   boolean not null default true,
    metadata              jsonb not null default '{}' constraint region_metadata_is_object check (jsonb_typeof(metadata) = 'object'),
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now()
);

create table mesh.mesh_members (
    id                   text primary key constraint member_id_bounded check (length(id) between 1 and 255),
    mesh_region_id       text not null references mesh.mesh_regions (id),
    bank_profile_id      text not null references payments.bank_profiles (id),
    role                 text not null default 'member'
                         constraint member_role_known
                         check (role in ('primary', 'secondary', 'tertiary', 'observer', 'member')),
    -- The smallest is preferred.
    prefer_order         integer not null default 100 constraint prefer_order_in_range check (prefer_order between 0 and 100000),
    status               text not null default 'pending_approval'
                         constraint member_status_known
                         check (status in ('active', 'disabled', 'suspended', 'pending_approval')),
    capabilities         jsonb not null constraint capabilities_are_object check (jsonb_typeof(capabilities) = 'object'),
    -- What members share and may fail together by: 'core:host-a', 'telecom:sn', 'switch:gim'.
    failure_domains      text[] not null default '{}',
    last_health_update   timestamptz,
    current_health_score numeric(5, 2) constraint health_score_in_range check (current_health_score between 0 and 100),
    kyc_verified         boolean not null default false,
    contract_signed      boolean not null default false,
    compliance_status    text not null default 'pending'
                         constraint compliance_status_known check (compliance_status in ('pending', 'approved', 'rejected')),
    -- The action by which it was asked for.
    ops_action_id        text,
    created_by           text not null default 'system',
    metadata             jsonb not null default '{}' constraint member_metadata_is_object check (jsonb_typeof(metadata) = 'object'),
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now(),
    unique (mesh_region_id, bank_profile_id),
    constraint active_is_cleared
        check (status <> 'active' or (kyc_verified and contract_signed and compliance_status = 'approved'))
);
create index mesh_members_bank on mesh.mesh_members (bank_profile_id);

create table mesh.mesh_policies (
    id                        text primary key constraint policy_id_bounded check (length(id) between 1 and 255),
    mesh_region_id            text not null references mesh.mesh_regions (id),
    name                      text not null constraint policy_name_bounded check (length(name) between 1 and 140),
    description               text not null default '',
    mode                      text not null default 'approval_required'
                              constraint policy_mode_known check (mode in ('auto', 'approval_required')),
    auto_confidence_threshold numeric(5, 4) not null default 0.85
                              constraint auto_threshold_in_range check (auto_confidence_threshold between 0.5 and 1),
    rules                     jsonb not null default '{}' constraint rules_are_object check (jsonb_typeof(rules) = 'object'),
    -- The smallest decides.
    priority                  integer not null default 100,
    active                    boolean not null default true,
    version                   integer not null default 1,
    created_by                text not null default 'system',
    ops_action_id             text,
    created_at                timestamptz not null default now(),
    updated_at                timestamptz not null default now(),
    unique (mesh_region_id, name)
);

-- Where nothing happens by itself any more; looked at in the transaction that would act.
create table mesh.kill_switches (
    scope      text primary key constraint switch_scope_known
               check (scope = 'global' or scope ~ '^(region|member|policy):.{1,255}$'),
    is_engaged boolean not null,
    reason     text not null constraint switch_reason_bounded check (length(reason) between 1 and 500),
    changed_by text not null,
    changed_at timestamptz not null default now()
);

-- What is believed of a bank, for each rail and currency it serves; sira/health_filter.py
-- says what the numbers mean. Probabilities, not money.
create table mesh.member_health (
    bank_profile_id  text not null references payments.bank_profiles (id),
    rail             text not null,
    currency         text not null references tenancy.currencies (code),
    belief           jsonb not null constraint belief_is_object check (jsonb_typeof(belief) = 'object'),
    p_down           double precision not null constraint p_down_is_probability check (p_down between 0 and 1),
    score            numeric(5, 2) not null constraint score_in_range check (score between 0 and 100),
    score_low        numeric(5, 2) not null,
    score_high       numeric(5, 2) not null,
    signals          bigint not null default 0,
    last_signal_at   timestamptz,
    last_failure_at  timestamptz,
    probes_ok_in_row integer not null default 0,
    short_of_funds_until timestamptz,
    -- Where the controller has it: payouts go there, or have been led away.
    mode             text not null default 'serving' constraint health_mode_known check (mode in ('serving', 'left')),
    left_at          timestamptz,
    better_since     timestamptz,
    penalty          double precision not null default 0,
    penalty_at       timestamptz not null default now(),
    strikes          smallint not null default 0,
    version          bigint not null default 1,
    updated_at       timestamptz not null default now(),
    primary key (bank_profile_id, rail, currency),
    constraint left_says_when check ((mode = 'left') = (left_at is not null))
) with (fillfactor = 50);

-- A minute of a bank, from signals: what charts, features and SIRA's history read.
create table mesh.bank_health_logs (
    bank_profile_id text not null references payments.bank_profiles (id),
    rail            text not null,
    currency        text not null references tenancy.currencies (code),
    checked_at      timestamptz not null,
    attempts        integer not null default 0,
    failures        integer not null default 0,
    sla_misses      integer not null default 0,
    timeouts        integer not null default 0,
    not_its_fault   integer not null default 0,
    probes          integer not null default 0,
    probe_failures  integer not null default 0,
    latency_sum_ms  bigint not null default 0,
    latency_max_ms  integer not null default 0,
    latencies       integer not null default 0,
    volume          bigint not null default 0,
    success_rate    numeric(6, 5) generated always as (
        case when attempts + probes > 0
             then 1 - (failures + probe_failures)::numeric / (attempts + probes) end) stored,
    health_score    numeric(5, 2),
    p_down          double precision,
    primary key (bank_profile_id, rail, currency, checked_at)
) with (fillfactor = 70);
create index bank_health_logs_age on mesh.bank_health_logs (checked_at);

-- Outages that a bank or an operator has announced.
create table mesh.declared_outages (
    id              uuid primary key,
    bank_profile_id text not null references payments.bank_profiles (id),
    rail            text,
    currency        text,
    begins_at       timestamptz not null,
    ends_at         timestamptz,
    note            text not null default '',
    source          text not null constraint outage_source_known check (source in ('bank', 'operator', 'drill')),
    created_by      text not null,
    created_at      timestamptz not null default now(),
    constraint outage_has_length check (ends_at is null or ends_at > begins_at)
);
create index declared_outages_of on mesh.declared_outages (bank_profile_id, begins_at desc);

create table mesh.bank_health_predictions (
    id                        text primary key,
    bank_profile_id           text not null references payments.bank_profiles (id),
    mesh_region_id            text references mesh.mesh_regions (id),
    rail                      text not null,
    currency                  text not null references tenancy.currencies (code),
    predicted_score           numeric(5, 2) not null constraint predicted_score_in_range check (predicted_score between 0 and 100),
    confidence                numeric(5, 4) not null constraint confidence_in_range check (confidence between 0 and 1),
    prediction_window_minutes integer not null constraint window_positive check (prediction_window_minutes > 0),
    prediction_reason         text not null,
    risk_factors              text[] not null default '{}',
    recommended_action        text not null constraint recommended_action_known
                              check (recommended_action in ('failover', 'prepare_failover', 'monitor', 'increase_reserve')),
    sira_model_version        text not null,
    sira_confidence_intervals jsonb not null,
    explanation               jsonb not null default '{}',
    p_down                    double precision not null,
    served_by                 text not null constraint served_by_known check (served_by in ('tier1', 'tier2', 'fallback')),
    sira_signature            text not null,
    token_id                  text not null unique,
    content                   jsonb not null,
    valid_from                timestamptz not null,
    valid_until               timestamptz not null,
    created_at                timestamptz not null default now(),
    constraint valid_for_a_time check (valid_until > valid_from)
);
create index bank_health_predictions_newest
    on mesh.bank_health_predictions (bank_profile_id, rail, currency, created_at desc);
create index bank_health_predictions_region on mesh.bank_health_predictions (mesh_region_id, created_at desc);
create index bank_health_predictions_age on mesh.bank_health_predictions (created_at);

create table mesh.mesh_routing_proposals (
    id                 text primary key,
    mesh_region_id     text not null references mesh.mesh_regions (id),
    currency           text not null references tenancy.currencies (code),
    rail               text not null default 'bank',
    min_amount         bigint not null default 0 constraint proposal_min_not_negative check (min_amount >= 0),
    max_amount         bigint constraint proposal_range_not_empty check (max_amount >= min_amount),
    proposal           jsonb not null constraint proposal_is_object check (jsonb_typeof(proposal) = 'object'),
    status             text not null default 'proposed'
                       constraint proposal_status_known
                       check (status in ('proposed', 'simulated', 'approved', 'rejected', 'applied', 'rolled_back')),
    -- Whom payouts would leave, and whom they would go to first.
    from_bank_id       text references payments.bank_profiles (id),
    to_bank_id         text references payments.bank_profiles (id),
    kind               text not null default 'failover' constraint proposal_kind_known
                       check (kind in ('failover', 'return', 'reorder', 'manual', 'override')),
    confidence         numeric(5, 4) not null default 0 constraint proposal_confidence_in_range check (confidence between 0 and 1),
    p_down             double precision not null default 0,
    simulation_results jsonb,
    simulated_at       timestamptz,
    created_by         text not null,
    reviewed_by        text,
    reviewed_at        timestamptz,
    applied_at         timestamptz,
    rolled_back_at     timestamptz,
    rollback_reason    text,
    rejected_reason    text,
    sira_signature     text not null,
    token_id           text not null unique,
    -- The approval engine's actions that decide it and its rollback.
    ops_action_id      text,
    rollback_action_id text,
    policy_id          text,
    policy_version     integer,
    -- A gradual shift: the share of value moved so far, and when the next step is due.
    shift_share        smallint not null default 0 constraint shift_share_is_percent check (shift_share between 0 and 100),
    shift_due_at       timestamptz,
    last_failure       text,
    created_at         timestamptz not null default now(),
    expires_at         timestamptz not null
);
create index mesh_routing_proposals_newest on mesh.mesh_routing_proposals (mesh_region_id, created_at desc);
create index mesh_routing_proposals_open on mesh.mesh_routing_proposals (mesh_region_id, currency, rail)
    where status in ('proposed', 'simulated', 'approved');
create index mesh_routing_proposals_shifting on mesh.mesh_routing_proposals (shift_due_at)
    where status = 'applied' and shift_due_at is not null;

create table mesh.proposal_moves (
    old text not null,
    new text not null,
    primary key (old, new)
);
insert into mesh.proposal_moves (old, new) values
    ('proposed', 'simulated'), ('proposed', 'approved'), ('proposed', 'rejected'),
    ('simulated', 'approved'), ('simulated', 'rejected'), ('approved', 'applied'),
    ('proposed', 'applied'), ('simulated', 'applied'), ('approved', 'rejected'),
    ('applied', 'rolled_back');
create function mesh.check_proposal_move() returns trigger language plpgsql as $$
begin
    if (new.mesh_region_id, new.currency, new.rail, new.min_amount, new.max_amount, new.proposal, new.sira_signature, new.token_id)
       is distinct from
       (old.mesh_region_id, old.currency, old.rail, old.min_amount, old.max_amount, old.proposal, old.sira_signature, old.token_id) then
        raise exception 'what was proposed and signed never changes' using errcode = 'restrict_violation';
    end if;
    if new.status <> old.status and not exists (
        select from mesh.proposal_moves as m where m.old = old.status and m.new = new.status
    ) then
        raise exception 'a proposal does not go from % to %', old.status, new.status using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;
create trigger proposal_move before update on mesh.mesh_routing_proposals
    for each row execute function mesh.check_proposal_move();

create table mesh.mesh_action_logs (
    id                     text primary key,
    action_type            text not null constraint mesh_action_known check (action_type in (
                               'apply_route', 'rollback', 'override', 'failover', 'manual_switch', 'emergency_stop')),
    mesh_region_id         text references mesh.mesh_regions (id),
    routing_proposal_id    text references mesh.mesh_routing_proposals (id),
    payload                jsonb not null default '{}',
    payload_hash           bytea not null,
    actor_type             text not null constraint mesh_actor_known check (actor_type in ('sira', 'user', 'system', 'policy_engine')),
    actor_id               text not null,
    affected_payouts       text[] not null default '{}',
    affected_count         integer not null default 0,
    affected_value         bigint not null default 0,
    affected_bank_profiles text[] not null default '{}',
    result                 text not null constraint mesh_result_known check (result in ('pending', 'success', 'partial', 'failed', 'rolled_back')),
    error_details          text,
    timings                jsonb not null default '{}',
    started_at             timestamptz not null,
    completed_at           timestamptz,
    duration_ms            integer,
    idempotency_key        text not null unique,
    created_at             timestamptz not null default now()
);
create index mesh_action_logs_newest on mesh.mesh_action_logs (created_at desc, id desc);
create index mesh_action_logs_region on mesh.mesh_action_logs (mesh_region_id, created_at desc);
create function mesh.refuse_log_change() returns trigger language plpgsql as $$
begin
    raise exception 'this log is append-only' using errcode = 'restrict_violation';
end
$$;
create trigger mesh_action_logs_append_only before update or delete on mesh.mesh_action_logs
    for each row execute function mesh.refuse_log_change();

-- Each token has had its effect once, whoever brings it again.
create table mesh.used_tokens (
    token_id text primary key,
    used_for text not null,
    used_at  timestamptz not null default now()
);

create table mesh.mesh_reconciliations (
    id                            text primary key,
    payout_id                     text not null,
    merchant_id                   text not null,
    mesh_region_id                text references mesh.mesh_regions (id),
    -- A payout that had no bank yet came from none.
    original_bank_profile_id      text references payments.bank_profiles (id),
    original_treasury_account_id  text references payments.treasury_accounts (id),
    rerouted_bank_profile_id      text references payments.bank_profiles (id),
    rerouted_treasury_account_id  text references payments.treasury_accounts (id),
    routing_proposal_id           text references mesh.mesh_routing_proposals (id),
    action_log_id                 text not null references mesh.mesh_action_logs (id) deferrable initially deferred,
    original_amount               bigint not null,
    original_currency             text not null,
    rerouted_amount               bigint,
    rerouted_currency             text,
    fx_rate                       numeric(18, 8),
    original_estimated_cost       bigint,
    rerouted_estimated_cost       bigint,
    actual_cost                   bigint,
    cost_delta                    bigint,
    original_estimated_settlement timestamptz,
    promised_settlement           timestamptz,
    actual_settlement             timestamptz,
    settlement_delta_seconds      integer,
    version_before                bigint not null,
    version_after                 bigint not null,
    reconciliation_status         text not null default 'pending'
                                  constraint reconciliation_status_known
                                  check (reconciliation_status in ('pending', 'matched', 'unmatched', 'disputed', 'resolved')),
    outcome                       text,
    ledger_entry_ids              text[] not null default '{}',
    bank_statement_line_ids       text[] not null default '{}',
    metadata                      jsonb not null default '{}',
    overdue_told_at               timestamptz,
    created_at                    timestamptz not null default now(),
    reconciled_at                 timestamptz,
    unique (action_log_id, payout_id),
    foreign key (merchant_id, payout_id) references payments.payouts (merchant_id, id)
) with (fillfactor = 70);
create index mesh_reconciliations_of_payout on mesh.mesh_reconciliations (payout_id, created_at desc);
create index mesh_reconciliations_open on mesh.mesh_reconciliations (promised_settlement)
    where reconciliation_status = 'pending';
create index mesh_reconciliations_proposal on mesh.mesh_reconciliations (routing_proposal_id, payout_id);
create index mesh_reconciliations_newest on mesh.mesh_reconciliations (created_at desc, id desc);

create table mesh.mesh_liquidity_pools (
    id                         text primary key constraint pool_id_bounded check (length(id) between 1 and 255),
    mesh_region_id             text not null references mesh.mesh_regions (id),
    name                       text not null,
    currency                   text not null references tenancy.currencies (code),
    participant_bank_profiles  text[] not null default '{}',
    total_available            bigint not null default 0 constraint pool_not_negative check (total_available >= 0),
    reserved                   bigint not null default 0 constraint pool_reserved_within check (reserved between 0 and total_available),
    max_single_draw            bigint constraint max_single_draw_positive check (max_single_draw > 0),
    daily_draw_limit           bigint constraint daily_draw_limit_positive check (daily_draw_limit > 0),
    auto_rebalance_enabled     boolean not null default false,
    rebalance_threshold_pct    smallint not null default 20 constraint rebalance_threshold_in_range check (rebalance_threshold_pct between 0 and 100),
    created_at                 timestamptz not null default now(),
    updated_at                 timestamptz not null default now(),
    unique (mesh_region_id, name)
);

-- Whether payouts may be handed to a bank. Senders share-lock the row before the
-- payout's; whoever leads payouts away locks it alone, so that none slips through.
create table payments.bank_gates (
    bank_profile_id text not null references payments.bank_profiles (id),
    rail            text not null,
    currency        text not null references tenancy.currencies (code),
    is_open         boolean not null default true,
    cause           text not null default '',
    changed_at      timestamptz not null default now(),
    primary key (bank_profile_id, rail, currency)
);

create function mesh.get_active_routing(region text, wanted_currency text, wanted_amount bigint)
returns table (bank_profile_id text, role text, prefer_order integer, health_score numeric)
language sql stable as $$
    select m.bank_profile_id, m.role, m.prefer_order, m.current_health_score
      from mesh.mesh_members as m
      join payments.bank_profiles as b on b.id = m.bank_profile_id
     where m.mesh_region_id = region
       and m.status = 'active' and m.role <> 'observer'
       and b.enabled and b.status = 'active'
       and wanted_currency = any(b.currency_codes)
       and (m.capabilities -> 'supported_currencies') ? wanted_currency
       and wanted_amount <= coalesce((m.capabilities ->> 'max_amount_per_txn')::bigint, wanted_amount)
     order by m.prefer_order, m.current_health_score desc nulls last, m.bank_profile_id
$$;

insert into mesh.mesh_regions (id, name, description, countries, approval_threshold, approval_currency) values
    ('region_cedeao', 'CEDEAO', 'Economic Community of West African States',
     '{CI,SN,ML,BF,NE,TG,BJ,GN,GW,LR,SL,NG,GH,GM,CV}', 10000000, 'XOF'),
    ('region_eu', 'EU', 'European Union',
     '{AT,BE,BG,HR,CY,CZ,DK,EE,FI,FR,DE,GR,HU,IE,IT,LV,LT,LU,MT,NL,PL,PT,RO,SK,SI,ES,SE}', 5000000, 'EUR'),
    ('region_us', 'US', 'United States', '{US}', 10000000, 'USD'),
    ('region_global', 'GLOBAL', 'Everywhere else', '{}', 50000000, 'USD');

insert into mesh.mesh_policies (id, mesh_region_id, name, description, mode, auto_confidence_threshold, rules)
    select 'policy_' || lower(name), id, name || ' default', 'As delivered', 'approval_required', 0.85,
           jsonb_build_object(
               'auto_failover_enabled', false, 'approval_required_threshold', approval_threshold,
               'max_cascading_depth', 3, 'min_confidence_for_auto', '0.85', 'allowed_crossborder', true,
               'require_multisig_for_new_member', true, 'rollback_window_hours', 24,
               'max_cost_increase_pct', '10', 'compliance_checks', jsonb_build_array('kyc_verified', 'contract_signed'))
      from mesh.mesh_regions;

grant select on all tables in schema mesh to molam_ops, molam_worker;
grant insert, update on
      mesh.mesh_regions, mesh.mesh_members, mesh.mesh_policies, mesh.kill_switches, mesh.member_health,
      mesh.bank_health_logs, mesh.declared_outages, mesh.bank_health_predictions, mesh.mesh_routing_proposals,
      mesh.mesh_reconciliations, mesh.mesh_liquidity_pools
   to molam_ops, molam_worker;
grant insert on mesh.mesh_action_logs, mesh.used_tokens to molam_ops, molam_worker;
grant delete on mesh.bank_health_logs, mesh.bank_health_predictions to molam_worker;
grant execute on function mesh.get_active_routing(text, text, bigint) to molam_ops, molam_worker;
alter table mesh.mesh_reconciliations enable row level security;
create policy platform_sees_all on mesh.mesh_reconciliations to molam_ops, molam_worker using (true) with check (true);

grant select on payments.bank_gates to molam_web, molam_money, molam_ops, molam_worker;
grant insert, update on payments.bank_gates to molam_ops, molam_worker;
-- Re-pointing is done to many at once, by whoever carries out an approved route.
grant update on payments.payouts to molam_ops;
