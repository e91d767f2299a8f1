"""The statements about agents: whose float is lowest, and who is near."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query


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


# Of the rules on floats, an agent's own decides before its currency's.
_AGENT = """
    select a.id, a.name, a.city, a.country, ops.region_of(a.country) as region, a.currency,
           coalesce(f.balance, 0) as float_available, r.fire_at::bigint as floor,
           coalesce(l.sales_30d, 0) as sales_30d, coalesce(l.transaction_count_30d, 0) as transaction_count_30d,
           l.latitude::float8 as latitude, l.longitude::float8 as longitude, {distance} as distance_km,
           l.last_activity_at
      from {agents}
      left join ledger.accounts f on f.id = 'agent:' || a.id || ':float:' || a.currency
      left join ops.agent_locations l on l.agent_id = a.id
      left join lateral (
            select fire_at
              from alerts.metric_rules
             where metric = 'float_available' and tenant_type = 'agent' and enabled and currency = a.currency
               and (tenant_id is null or tenant_id = a.id)
             order by tenant_id nulls last
             limit 1) as r on true
     where a.status = 'active'"""

LIST_AGENTS = Query(
    "/* dashboard.list_agents */"
    + _AGENT.format(distance="null::float8", agents="tenancy.agents a")
    + """
       and (:currency::text is null or a.currency = :currency)
       and (:country::text is null or a.country = :country)
     order by coalesce(f.balance, 0)::float8 / greatest(r.fire_at::float8, 1) nulls last, a.id
     limit :limit offset :offset
    """,
    row=Agent,
)

LIST_NEARBY = Query(
    "/* dashboard.list_agents_nearby */"
    + _AGENT.format(
        distance="n.distance_km",
        agents="ops.get_agents_nearby(:latitude, :longitude, :radius_km) n"
        " join tenancy.agents a on a.id = n.agent_id",
    )
    + """
     order by n.distance_km, a.id
     limit :limit
    """,
    row=Agent,
)
