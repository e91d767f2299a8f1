-- How likely the bank of a payout was to be chosen, and confidence learnt apart for emergencies.

set local search_path to payments, mesh, tenancy, public;

-- Where lots decided about a payout's bank (a step of a gradual shift, a practice run): which
-- bank it got, and how likely that was. Whoever is not here got its bank surely.
create table payments.bank_choices (
    payout_id       text primary key,
    bank_profile_id text not null references payments.bank_profiles (id),
    propensity      double precision not null
                    constraint choice_is_possible check (propensity > 0 and propensity <= 1),
    chosen_at       timestamptz not null default now()
);

-- Written with the attempt and never after it; attempts of before have none.
alter table payments.bank_attempts add column propensity double precision
    constraint attempt_was_possible check (propensity > 0 and propensity <= 1);
comment on column payments.bank_attempts.propensity is
    'How likely this bank was to be chosen; 1 where nothing was left to lots.';

-- Moves from a bank that is surely down are judged among themselves: how often ordinary
-- moves were right says nothing of them.
alter table mesh.confidence_tables
    add column stratum text not null default 'ordinary'
        constraint table_stratum_known check (stratum in ('ordinary', 'emergency'));
drop index mesh.confidence_tables_newest;
create index confidence_tables_newest on mesh.confidence_tables (stratum, fitted_at desc);

grant select on payments.bank_choices to molam_web, molam_money, molam_ops, molam_worker;
grant insert on payments.bank_choices to molam_web, molam_money, molam_ops, molam_worker;
grant update (bank_profile_id, propensity, chosen_at) on payments.bank_choices to molam_ops, molam_worker;
