-- Drills: outages of simulated banks, made on purpose and watched to their end.

set local search_path to mesh, payments, tenancy, public;

create table mesh.drills (
    id              text primary key,
    bank_profile_id text not null references payments.bank_profiles (id),
    severity        numeric(4, 3) not null constraint severity_is_share check (severity > 0 and severity <= 1),
    minutes         integer not null constraint drill_is_short check (minutes between 1 and 240),
    payouts         integer not null constraint drill_is_small check (payouts between 1 and 500),
    state           text not null default 'asked'
                    constraint drill_state_known check (state in ('asked', 'running', 'ended', 'failed')),
    -- What the bank's temper was before.
    temper          jsonb,
    reason          text,
    started_by      text not null,
    asked_at        timestamptz not null default now(),
    began_at        timestamptz,
    ends_at         timestamptz,
    ended_at        timestamptz
);
create unique index drills_one_a_bank on mesh.drills (bank_profile_id) where state in ('asked', 'running');
create index drills_newest on mesh.drills (asked_at desc);

-- Which payouts a drill made.
create table mesh.drill_payouts (
    drill_id    text not null references mesh.drills (id),
    payout_id   text not null,
    primary key (drill_id, payout_id)
);

grant select on mesh.drills, mesh.drill_payouts to molam_ops, molam_worker;
grant insert, update on mesh.drills to molam_ops, molam_worker;
grant insert on mesh.drill_payouts to molam_worker;
