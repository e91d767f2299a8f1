-- Which payouts a region's routes are about.

set local search_path to mesh, payments, tenancy, public;

-- The countries that a region answers for. One that names none has all that no other names.
-- It is not written in SQL because it would then be planned as part of whatever asks, as if
-- a region had hundreds of countries, and payouts be sorted by their country on disk.
create function mesh.countries_of(region text) returns setof text
language plpgsql stable rows 20 as $$
begin
    return query
    select unnest(r.countries) from mesh.mesh_regions as r where r.id = region
     union all
    (select chr(first) || chr(second)
       from mesh.mesh_regions as r
      cross join generate_series(65, 90) as first
      cross join generate_series(65, 90) as second
      where r.id = region and cardinality(r.countries) = 0
     except
     select unnest(o.countries) from mesh.mesh_regions as o);
end
$$;

-- What carries a payout to where it is paid; payments/banks/queries.py says the same.
create function mesh.rail_of(destination jsonb) returns text
language sql immutable parallel safe as $$
    select case destination ->> 'type' when 'wallet' then 'wallet:' || (destination ->> 'provider')
                                       else 'bank' end
$$;

grant execute on function mesh.countries_of(text), mesh.rail_of(jsonb) to molam_ops, molam_worker;

-- What a bank was sent today, and when banks have been down together.
create index bank_attempts_by_day on payments.bank_attempts (bank_profile_id, currency, created_at);
create index bank_health_logs_down on mesh.bank_health_logs (checked_at) where p_down >= 0.5;
