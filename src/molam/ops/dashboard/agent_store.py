"""The statements about agents: whose float is lowest, and who is near."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.ops.dashboard.aggregate_store import TouchedRow
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class Agent:
    """*floor* is where a float is too low, by the rule that watches it."""

    id: str
    name: str
    city: str | None
    country: str
    region: str
    currency: str
    float_available: int
    floor: int | None
    sales_30d: int
    transaction_count_30d: int
    latitude: float | None
    longitude: float | None
    distance_km: float | None
    last_activity_at: datetime | None


# As floats were at the last look, so that an index has those in need; what is left is what
# there is now.
_AGENT = """
    select a.id, a.name, a.city, a.country, ops.region_of(a.country) as region, a.currency,
           coalesce(f.balance, 0) as float_available, l.floor, l.sales_30d, l.transaction_count_30d,
           l.latitude::float8 as latitude, l.longitude::float8 as longitude, {distance} as distance_km,
           l.last_activity_at
      from {agents}
      join tenancy.agents a on a.id = l.agent_id
      left join ledger.accounts f on f.id = 'agent:' || a.id || ':float:' || a.currency"""

LIST_AGENTS = Query(
    "/* dashboard.list_agents */"
    + _AGENT.format(distance="null::float8", agents="ops.agent_locations l")
    + """
     where l.active
       and (:currency::text is null or a.currency = :currency)
       and (:tenant_type::text = 'platform'
            or :tenant_type = 'country' and l.country = :tenant_id
            or :tenant_type = 'region' and ops.region_of(l.country) = :tenant_id
            or :tenant_type = 'agent' and l.agent_id = :tenant_id)
     order by l.float_share, l.agent_id
     limit :limit offset :offset
    """,
    row=Agent,
)

LIST_NEARBY = Query(
    "/* dashboard.list_agents_nearby */"
    + _AGENT.format(
        distance="n.distance_km",
        agents="ops.get_agents_nearby(:latitude, :longitude, :radius_km) n"
        " join ops.agent_locations l on l.agent_id = n.agent_id",
    )
    + """
     order by n.distance_km, a.id
     limit :limit
    """,
    row=Agent,
)

# Of the rules on floats, an agent's own decides before its currency's.
LOOK_AT_AGENTS = Query(
    """
    /* dashboard.look_at_agents */
    insert into ops.agent_locations as l (agent_id, country, region, city, float_available, floor, active)
    select a.id, a.country, ops.region_of(a.country), a.city, coalesce(f.balance, 0),
           coalesce(own.fire_at, usual.fire_at)::bigint, a.status = 'active'
      from tenancy.agents a
      left join ledger.accounts f on f.id = 'agent:' || a.id || ':float:' || a.currency
      left join alerts.metric_rules own
        on own.metric = 'float_available' and own.tenant_type = 'agent' and own.enabled
       and own.alert_type = 'float_low' and own.currency = a.currency and own.tenant_id = a.id
      left join alerts.metric_rules usual
        on usual.metric = 'float_available' and usual.tenant_type = 'agent' and usual.enabled
       and usual.alert_type = 'float_low' and usual.currency = a.currency and usual.tenant_id is null
        on conflict (agent_id) do update
       set (country, region, city, float_available, floor, active, updated_at) = (
           excluded.country, excluded.region, excluded.city, excluded.float_available, excluded.floor,
           excluded.active, now())
     where (l.country, l.city, l.float_available, l.floor, l.active)
           is distinct from (excluded.country, excluded.city, excluded.float_available, excluded.floor,
                             excluded.active)
    """,
    row=Nothing,
)

ADD_UP_SALES = Query(
    """
    /* dashboard.add_up_sales */
    update ops.agent_locations l
       set sales_30d = t.amount, transaction_count_30d = t.count, last_activity_at = t.last_at, updated_at = now()
      from (select a.id, max(m.posted_at) as last_at, count(m.id) as count,
                   coalesce(sum(m.amount), 0)::bigint as amount
              from tenancy.agents a
              left join ledger.transfers m
                on m.agent_id = a.id and m.posted_at > now() - interval '30 days'
               and m.source = 'agent:' || a.id || ':float:' || a.currency and m.cause <> 'float.adjusted'
             group by a.id) as t
     where l.agent_id = t.id
       and (l.sales_30d, l.transaction_count_30d, l.last_activity_at) is distinct from (t.amount, t.count, t.last_at)
    """,
    row=Nothing,
)

# Every agent has a row in the present hour, so that a region's float is the sum of all. What
# it was given after the last look of the hour before is put there now. Reserved is what
# sweeps that were asked for would take.
LOOK_AT_FLOATS = Query(
    """
    /* dashboard.look_at_floats */
    with looked as (
        select a.id, a.country, a.city, a.currency, coalesce(f.balance, 0) as balance,
               date_trunc('hour', now(), 'UTC') as hour, r.reserved, g.now as given, g.before as given_before
          from tenancy.agents a
          left join ledger.accounts f on f.id = 'agent:' || a.id || ':float:' || a.currency
         cross join lateral (
                select coalesce(sum((x.params -> 'amount' ->> 'minor')::bigint), 0) as reserved
                  from approvals.ops_actions x
                 where x.target_tenant_type = 'agent' and x.target_tenant_id = a.id
                   and x.action_type = 'ADJUST_FLOAT' and x.params ->> 'adjustment' = 'sweep'
                   and x.params -> 'amount' ->> 'currency' = a.currency
                   and x.state in ('pending', 'blocked', 'approved', 'scheduled', 'executing',
                                   'execution_unknown')) as r
         cross join lateral (
                select coalesce(sum(t.amount) filter (where t.posted_at >= date_trunc('hour', now(), 'UTC')), 0)
                           as now,
                       sum(t.amount) filter (where t.posted_at < date_trunc('hour', now(), 'UTC')) as before
                  from ledger.transfers t
                 where t.agent_id = a.id and t.currency = a.currency and t.cause = 'float.adjusted'
                   and t.target = 'agent:' || a.id || ':float:' || a.currency
                   and t.posted_at >= date_trunc('hour', now(), 'UTC') - interval '1 hour') as g
         where a.status = 'active'
    ),
    written as (
        insert into ops.dash_aggregates_hourly as d
               (bucket_ts, tenant_type, tenant_id, country, region, city, currency, float_available,
                float_reserved, float_distributed)
        select hour, 'agent', id, country, ops.region_of(country), city, currency, balance, reserved, given
          from looked
         union all
        select hour - interval '1 hour', 'agent', id, country, ops.region_of(country), city, currency, null, null,
               given_before
          from looked
         where given_before is not null
            on conflict (scope, currency, bucket_ts)
            do update set float_available = coalesce(excluded.float_available, d.float_available),
                          float_reserved = coalesce(excluded.float_reserved, d.float_reserved),
                          float_distributed = excluded.float_distributed, updated_at = now()
         where (d.float_available, d.float_reserved, d.float_distributed)
               is distinct from (coalesce(excluded.float_available, d.float_available),
                                 coalesce(excluded.float_reserved, d.float_reserved),
                                 excluded.float_distributed)
     returning currency, bucket_ts
    )
    select (select json_agg(json_build_object('tenant_type', 'agent', 'tenant_id', '', 'currency', currency,
                                              'hour', bucket_ts))
              from (select distinct currency, bucket_ts from written) as w)::text as touched,
           (select count(*) from written) as marks
    """,
    row=TouchedRow,
)
