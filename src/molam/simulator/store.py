"""Every statement the simulator runs itself; the rest it asks of the domains."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class TrafficRow:
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class BankIdRow:
    id: str


PUT_DASHBOARD = Query(
    """
    /* simulator.put_dashboard */
    insert into merchant.merchant_dashboards (merchant_id, default_currency, timezone, locale)
    values (:merchant_id, :currency, :timezone, :locale)
    on conflict (merchant_id) do nothing
    """,
    row=Nothing,
)

PUT_PLACE = Query(
    """
    /* simulator.put_place */
    insert into ops.agent_locations (agent_id, latitude, longitude, country, region, city)
    values (:agent_id, :latitude, :longitude, :country, ops.region_of(:country), :city)
    on conflict (agent_id) do update set (latitude, longitude) = (excluded.latitude, excluded.longitude)
    """,
    row=Nothing,
)

# The log is read from both ends, and only so far: beyond that others have written
# a great deal since, and starting over costs no more than repeated facts.
FIND_TRAFFIC = Query(
    """
    /* simulator.find_traffic */
    select (select (payload ->> 'time')::timestamptz
              from platform.events
             where id < (select min(id) from platform.events) + 100000
               and payload ->> 'source' = :source
             order by id
             limit 1) as first_at,
           (select (payload ->> 'time')::timestamptz
              from platform.events
             where id > (select max(id) from platform.events) - 100000
               and payload ->> 'source' = :source
             order by id desc
             limit 1) as last_at
    """,
    row=TrafficRow,
)

LIST_UNHEARD_MEMBERS = Query(
    """
    /* simulator.list_unheard_members */
    select b.id
      from payments.bank_profiles as b
     where exists (select from mesh.mesh_members as m where m.bank_profile_id = b.id and m.status = 'active')
       and not exists (select from mesh.member_health as h where h.bank_profile_id = b.id)
     order by b.id
     limit 500
    """,
    row=BankIdRow,
)
