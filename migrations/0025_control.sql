-- What the controller decides by: where each bank stands, what was decided last for each
-- currency and rail, and how far a gradual shift has come.

set local search_path to mesh, payments, tenancy, public;

alter table mesh.member_health
    -- Since when it has been more likely down than not.
    add column degraded_since timestamptz,
    -- Since when it has flapped too often for anything to be done about it by itself.
    add column suppressed_since timestamptz;

-- Why something was done, or was not: the newest decision of each scope.
create table mesh.verdicts (
    mesh_region_id text not null references mesh.mesh_regions (id),
    currency       text not null references tenancy.currencies (code),
    rail           text not null,
    verdict        text not null constraint verdict_known
                   check (verdict in ('stay', 'ask', 'move', 'return', 'reorder', 'step', 'halt', 'freeze')),
    reason         text not null constraint verdict_reason_bounded check (length(reason) between 1 and 64),
    detail         jsonb not null default '{}' constraint verdict_detail_is_object check (jsonb_typeof(detail) = 'object'),
    from_bank_id   text references payments.bank_profiles (id),
    to_bank_id     text references payments.bank_profiles (id),
    proposal_id    text references mesh.mesh_routing_proposals (id),
    since          timestamptz not null default now(),
    decided_at     timestamptz not null default now(),
    primary key (mesh_region_id, currency, rail)
) with (fillfactor = 70);

-- Each step of a gradual shift, and what the bank it goes to made of it.
create table mesh.shift_steps (
    proposal_id text not null references mesh.mesh_routing_proposals (id),
    share       smallint not null constraint step_share_is_percent check (share between 1 and 100),
    began_at    timestamptz not null default now(),
    ended_at    timestamptz,
    result      text constraint step_result_known check (result in ('well', 'ill', 'no_evidence')),
    outcomes    integer,
    failures    integer,
    log_ratio   double precision,
    primary key (proposal_id, share),
    constraint ended_steps_say_how check ((ended_at is null) = (result is null))
);

-- Applied by itself or by people, newest first: cool-down, rate and rollback ask for it.
create index mesh_routing_proposals_applied
    on mesh.mesh_routing_proposals (mesh_region_id, currency, rail, applied_at desc)
    where applied_at is not null;
create index mesh_action_logs_proposal on mesh.mesh_action_logs (routing_proposal_id, created_at);

grant select, insert, update on mesh.verdicts, mesh.shift_steps to molam_ops, molam_worker;

-- What was not paid may be after all, and what a statement says comes days later.
create index mesh_reconciliations_ended_ill on mesh.mesh_reconciliations (id)
    where reconciliation_status in ('unmatched', 'disputed');
create index statement_matches_of_payouts on payments.statement_matches (matched_at)
    where kind = 'payout' and undone_at is null;
