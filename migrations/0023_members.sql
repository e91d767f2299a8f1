-- Gates of banks as locks, policies with a history, and members' amounts by currency.

set local search_path to mesh, payments, tenancy, public;

-- Note [A gate's lock]
--
-- Who hands a payout to a bank holds the gate's lock in shared mode until it commits, and
-- whoever leads payouts away holds it alone. It is an advisory lock and no row lock: row
-- locks let shared holders overtake somebody who waits to be alone, so that a busy bank
-- could not be left while it is busy. Each statement of a volatile function sees what was
-- committed before that statement, hence also what was changed while the lock was waited for.
create function payments.gate_lock(bank text, rail text, currency text) returns bigint
language sql immutable strict parallel safe as $$
    select hashtextextended('payments.gate/' || $1 || '/' || $2 || '/' || $3, 0)
$$;

-- Two things close a gate: whoever leads payouts away from a bank, and people who hold it
-- shut, for a while or until they let go. Neither undoes what the other has done.
alter table payments.bank_gates
    add column held_until timestamptz,
    add column held_cause text not null default '';

create function payments.share_gate(bank text, wanted_rail text, wanted_currency text) returns boolean
language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock_shared(payments.gate_lock(bank, wanted_rail, wanted_currency));
    return not exists (
        select from payments.bank_gates as g
         where g.bank_profile_id = bank and g.rail = wanted_rail and g.currency = wanted_currency
           and (not g.is_open or g.held_until > clock_timestamp()));
end
$$;

create function payments.set_gate(
    bank text, wanted_rail text, wanted_currency text, wanted_open boolean, why text) returns boolean
language plpgsql volatile as $$
declare
    was boolean;
begin
    perform pg_advisory_xact_lock(payments.gate_lock(bank, wanted_rail, wanted_currency));
    select g.is_open into was from payments.bank_gates as g
     where g.bank_profile_id = bank and g.rail = wanted_rail and g.currency = wanted_currency;
    insert into payments.bank_gates as g (bank_profile_id, rail, currency, is_open, cause, changed_at)
    values (bank, wanted_rail, wanted_currency, wanted_open, why, now())
        on conflict (bank_profile_id, rail, currency) do update
       set is_open = excluded.is_open, cause = excluded.cause, changed_at = now();
    return coalesce(was, true) <> wanted_open;
end
$$;

-- Without an end of its own a hold ends when people end it; *ends* null lets go.
create function payments.hold_gate(
    bank text, wanted_rail text, wanted_currency text, why text, ends timestamptz) returns boolean
language plpgsql volatile as $$
declare
    was timestamptz;
begin
    perform pg_advisory_xact_lock(payments.gate_lock(bank, wanted_rail, wanted_currency));
    select g.held_until into was from payments.bank_gates as g
     where g.bank_profile_id = bank and g.rail = wanted_rail and g.currency = wanted_currency;
    insert into payments.bank_gates as g (bank_profile_id, rail, currency, held_until, held_cause, changed_at)
    values (bank, wanted_rail, wanted_currency, ends, why, now())
        on conflict (bank_profile_id, rail, currency) do update
       set held_until = excluded.held_until, held_cause = excluded.held_cause, changed_at = now();
    return coalesce(was > now(), false) <> (ends is not null);
end
$$;

-- What a policy said before, for each version that a later one replaced.
create table mesh.mesh_policy_history (
    policy_id   text not null references mesh.mesh_policies (id),
    version     integer not null,
    document    jsonb not null constraint policy_document_is_object check (jsonb_typeof(document) = 'object'),
    changed_by  text not null,
    action_id   text,
    replaced_at timestamptz not null default now(),
    primary key (policy_id, version)
);
alter table mesh.mesh_policies
    add constraint policy_priority_in_range check (priority between 1 and 1000000),
    add constraint policy_description_bounded check (length(description) <= 2000);
create index mesh_policies_deciding on mesh.mesh_policies (mesh_region_id, priority, id) where active;

-- Amounts are one integer, or one for each currency.
create function mesh.amount_in(amounts jsonb, wanted_currency text) returns bigint
language sql immutable parallel safe as $$
    select case jsonb_typeof(amounts)
               when 'number' then amounts::bigint
               when 'object' then (amounts ->> wanted_currency)::bigint end
$$;

create or replace function mesh.get_active_routing(region text, wanted_currency text, wanted_amount bigint)
returns table (bank_profile_id text, role text, prefer_order integer, health_score numeric)
language sql stable as $$
    select m.bank_profile_id, m.role, m.prefer_order, m.current_health_score
      from mesh.mesh_members as m
      join mesh.mesh_regions as r on r.id = m.mesh_region_id
      join payments.bank_profiles as b on b.id = m.bank_profile_id
     where region in (r.id, r.name)
       and m.status = 'active' and m.role <> 'observer'
       and b.enabled and b.status = 'active'
       and wanted_currency = any(b.currency_codes)
       and (m.capabilities -> 'supported_currencies') ? wanted_currency
       and wanted_amount <= coalesce(mesh.amount_in(m.capabilities -> 'max_amount_per_txn', wanted_currency), wanted_amount)
     order by m.prefer_order, m.current_health_score desc nulls last, m.bank_profile_id
$$;

grant select, insert on mesh.mesh_policy_history to molam_ops, molam_worker;
