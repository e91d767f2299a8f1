-- Whether what was said came true: of moves an hour later, of intervals when their window
-- has passed; and the heartbeats of banks that send some.

set local search_path to mesh, payments, tenancy, public;

-- A route by which payouts left a bank, judged by the hour that followed. Where too little
-- was seen of either bank the outcome is unknown, which counts neither for nor against.
create table mesh.move_outcomes (
    proposal_id   text primary key references mesh.mesh_routing_proposals (id),
    applied_at    timestamptz not null,
    is_automatic  boolean not null,
    -- We made the bank fail ourselves: such moves are shown, and teach nothing.
    is_drill      boolean not null,
    -- What SIRA said before and after calibration; the former is null where it was not
    -- what signals said that decided, but an announcement.
    raw           numeric(5, 4) constraint raw_is_probability check (raw between 0 and 1),
    confidence    numeric(5, 4) not null constraint said_is_probability check (confidence between 0 and 1),
    from_seen     integer not null constraint from_seen_not_negative check (from_seen >= 0),
    -- Failures; an answer that came too late is half of one.
    from_failed   numeric(12, 1) not null constraint from_failed_within check (from_failed between 0 and from_seen),
    to_seen       integer not null constraint to_seen_not_negative check (to_seen >= 0),
    to_failed     numeric(12, 1) not null constraint to_failed_within check (to_failed between 0 and to_seen),
    outcome       text not null constraint outcome_known check (outcome in ('right', 'wrong', 'unknown')),
    judged_at     timestamptz not null default now(),
    constraint judged_is_seen check (outcome = 'unknown' or (from_seen > 0 and to_seen > 0))
);
create index move_outcomes_newest on mesh.move_outcomes (applied_at desc);
create index mesh_routing_proposals_to_judge on mesh.mesh_routing_proposals (applied_at)
    where applied_at is not null;

-- From what SIRA says to how often it was right, learnt from the moves above. The newest
-- is in use; proposals name the one that they used.
create table mesh.confidence_tables (
    digest    text primary key constraint digest_is_hex check (digest ~ '^[0-9a-f]{64}$'),
    fitted_at timestamptz not null default now(),
    moves     integer not null,
    right_moves integer not null,
    margins   double precision[] not null,
    shares    double precision[] not null,
    constraint table_has_points check (cardinality(margins) >= 1 and cardinality(margins) = cardinality(shares)),
    constraint right_within_moves check (right_moves between 0 and moves)
);
create index confidence_tables_newest on mesh.confidence_tables (fitted_at desc);

-- How often intervals of predictions have held, and how often they may miss from now on so
-- that four in five hold; sira/health_calibration.py says how it moves.
create table mesh.interval_states (
    bank_profile_id text not null references payments.bank_profiles (id),
    rail            text not null,
    currency        text not null references tenancy.currencies (code),
    alpha           double precision not null constraint alpha_is_probability check (alpha between 0 and 1),
    -- Of about the last five hundred.
    judged          double precision not null default 0,
    held            double precision not null default 0 constraint held_within_judged check (held between 0 and judged),
    judged_upto     timestamptz not null,
    updated_at      timestamptz not null default now(),
    primary key (bank_profile_id, rail, currency)
);

-- Banks that have sent heartbeats, and how these usually come.
create table mesh.heartbeats (
    bank_profile_id text primary key references payments.bank_profiles (id),
    last_at         timestamptz not null,
    -- Seconds between those before it, oldest first.
    gaps            double precision[] not null default '{}'
                    constraint gaps_bounded check (cardinality(gaps) <= 1000),
    silent_since    timestamptz
);

-- How payouts of a currency went, newest first: what a proposal is held against.
create index bank_attempts_logged on payments.bank_attempts (currency, created_at desc)
    where kind = 'payout' and state in ('settled', 'rejected', 'returned');

grant select on mesh.move_outcomes, mesh.confidence_tables, mesh.interval_states, mesh.heartbeats to molam_ops, molam_worker;
grant insert on mesh.move_outcomes, mesh.confidence_tables to molam_worker;
grant update (fitted_at) on mesh.confidence_tables to molam_worker;
grant insert, update on mesh.interval_states, mesh.heartbeats to molam_worker;
