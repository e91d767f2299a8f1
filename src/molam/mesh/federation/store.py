"""Every statement about peers, what they said, and our signed routes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PeerRow:
    mesh_region_id: str
    region: str
    url: str
    squared_error: float
    squared_error_climatology: float
    judged: int
    last_heard_at: datetime | None
    last_told_at: datetime | None
    last_failure: str | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    token_id: str
    mesh_region_id: str
    region: str
    kind: str
    subject: str | None
    rail: str | None
    currency: str | None
    p_down: float | None
    content: dict[str, object]
    issued_at: datetime
    expires_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class TableRow:
    mesh_region_id: str
    version: int
    content: dict[str, object]
    token: str
    issued_at: datetime
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class RouteRow:
    currency: str
    rail: str
    min_amount: int
    max_amount: int | None
    bank_profile_ids: list[str]


USE_TOKEN = Query(
    """
    /* federation.use_token */
    insert into mesh.used_tokens (token_id, used_for) values (:token_id, :used_for) on conflict do nothing
    """,
    row=Nothing,
)

INSERT_MESSAGE = Query(
    """
    /* federation.insert_message */
    insert into mesh.foreign_messages
           (token_id, mesh_region_id, kind, subject, rail, currency, p_down, content, token, issued_at, expires_at)
    values (:token_id, :mesh_region_id, :kind, :subject, :rail, :currency, :p_down, :content::jsonb, :token,
            :issued_at, :expires_at)
    """,
    row=Nothing,
)

HEARD = Query(
    """
    /* federation.heard */
    insert into mesh.peers as p (mesh_region_id, url, last_heard_at)
    values (:mesh_region_id, :url, now())
        on conflict (mesh_region_id) do update
       set url = excluded.url, last_heard_at = now(), updated_at = now()
    """,
    row=Nothing,
)

TOLD = Query(
    """
    /* federation.told */
    insert into mesh.peers as p (mesh_region_id, url, last_told_at, last_failure)
    values (:mesh_region_id, :url, case when :failure::text is null then now() end, :failure::text)
        on conflict (mesh_region_id) do update
       set url = excluded.url, last_told_at = coalesce(excluded.last_told_at, p.last_told_at),
           last_failure = excluded.last_failure, updated_at = now()
    """,
    row=Nothing,
)

LIST_PEERS = Query(
    """
    /* federation.list_peers */
    select p.mesh_region_id, r.name as region, p.url, p.squared_error, p.squared_error_climatology, p.judged,
           p.last_heard_at, p.last_told_at, p.last_failure
      from mesh.peers as p
      join mesh.mesh_regions as r on r.id = p.mesh_region_id
     order by r.name
     limit 100
    """,
    row=PeerRow,
)

LIST_MESSAGES = Query(
    """
    /* federation.list_messages */
    select m.token_id, m.mesh_region_id, r.name as region, m.kind, m.subject, m.rail, m.currency, m.p_down, m.content,
           m.issued_at, m.expires_at, m.received_at
      from mesh.foreign_messages as m
      join mesh.mesh_regions as r on r.id = m.mesh_region_id
     where (:region::text is null or m.mesh_region_id = :region)
     order by m.received_at desc, m.token_id desc
     limit :limit
    """,
    row=MessageRow,
)

# A prediction is judged once its quarter of an hour is over, by what we saw of the bank
# ourselves: it was down if half of all tries failed. Of fewer than three tries nothing is
# concluded. What is usual is one such quarter in a hundred. Errors lose half of their weight
# in a week, so that a region can win trust back.
JUDGE = Query(
    """
    /* federation.judge */
    with due as (
        select m.token_id, m.mesh_region_id, m.p_down,
               (select case when sum(h.attempts + h.probes) >= 3
                            then case when sum(h.failures + h.probe_failures) * 2 >= sum(h.attempts + h.probes)
                                      then 1.0 else 0.0 end end
                  from mesh.bank_health_logs as h
                 where h.bank_profile_id = m.subject and h.rail = m.rail and h.currency = m.currency
                   and h.checked_at >= date_trunc('minute', m.issued_at)
                   and h.checked_at < m.issued_at + interval '15 minutes')::float8 as was_down
          from mesh.foreign_messages as m
         where m.kind = 'prediction' and m.judged_at is null and m.issued_at < now() - interval '15 minutes'
         order by m.issued_at
         limit 500
           for update of m skip locked
    ),
    marked as (
        update mesh.foreign_messages as m set judged_at = now() from due where m.token_id = due.token_id
    ),
    sums as (
        select mesh_region_id, count(*)::int as judged, sum((p_down - was_down) ^ 2) as squared,
               sum((0.01 - was_down) ^ 2) as usual
          from due
         where was_down is not null
         group by mesh_region_id
    ),
    faded as (
        select p.mesh_region_id,
               0.5 ^ (extract(epoch from now() - coalesce(p.judged_at, now()))::float8 / 604800) as left_over
          from mesh.peers as p
    )
    update mesh.peers as p
       set squared_error = p.squared_error * f.left_over + s.squared,
           squared_error_climatology = p.squared_error_climatology * f.left_over + s.usual,
           judged = p.judged + s.judged, judged_at = now(), updated_at = now()
      from sums as s
      join faded as f on f.mesh_region_id = s.mesh_region_id
     where p.mesh_region_id = s.mesh_region_id
    """,
    row=Nothing,
)

LIST_ROUTES = Query(
    """
    /* federation.list_routes */
    select r.currency, r.rail, r.min_amount, r.max_amount, r.bank_profile_ids
      from payments.bank_routes as r
     where r.replaced_at is null
     order by r.currency, r.rail, r.min_amount
     limit 1000
    """,
    row=RouteRow,
)

FIND_TABLE = Query(
    """
    /* federation.find_table */
    select mesh_region_id, version, content, token, issued_at, issued_at > now() - interval '12 hours' as is_fresh
      from mesh.route_tables
     where mesh_region_id = :region
     order by version desc
     limit 1
    """,
    row=TableRow,
)

INSERT_TABLE = Query(
    """
    /* federation.insert_table */
    insert into mesh.route_tables (mesh_region_id, version, content, token, token_id)
    values (:region, :version, :content::jsonb, :token, :token_id)
        on conflict do nothing
    """,
    row=Nothing,
)

PURGE_MESSAGES = Query(
    """
    /* federation.purge_messages */
    delete from mesh.foreign_messages where received_at < now() - make_interval(days => :days::int)
    """,
    row=Nothing,
)

NOTIFY_PAGES = Query(
    """
    /* federation.notify_pages */
    select pg_notify('mesh', '')
    """,
    row=Nothing,
)
