"""Every statement about peers, what they said, our signed routes, and corridors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class RegionIdRow:
    id: str
    name: str


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
class ObservationRow:
    mesh_region_id: str
    p_down: float
    age_s: float


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


@dataclass(frozen=True, slots=True)
class OwnPredictionRow:
    bank_profile_id: str
    rail: str
    currency: str
    p_down: float
    predicted_score: float
    window_minutes: int


@dataclass(frozen=True, slots=True)
class QuoteRow:
    to_region_id: str
    currency: str
    path: list[str]
    available: int


@dataclass(frozen=True, slots=True)
class CorridorRow:
    id: str
    from_region_id: str
    from_region: str
    to_region_id: str
    to_region: str
    currency: str
    path: list[str]
    cover: int
    net_debit_cap: int
    position: int
    reserved: int
    state: str
    approved_from: str | None
    approved_to: str | None
    created_by: str
    created_at: datetime


FIND_REGION = Query(
    """
    /* federation.find_region */
    select id, name from mesh.mesh_regions where id = :region or name = :region
    """,
    row=RegionIdRow,
)

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

LIST_OBSERVATIONS = Query(
    """
    /* federation.list_observations */
    select distinct on (m.mesh_region_id) m.mesh_region_id, m.p_down,
           extract(epoch from now() - m.issued_at)::float8 as age_s
      from mesh.foreign_messages as m
     where m.kind = 'prediction' and m.subject = :bank_profile_id and m.rail = :rail and m.currency = :currency
       and m.expires_at > now() and m.issued_at > now() - interval '2 hours'
     order by m.mesh_region_id, m.issued_at desc
    """,
    row=ObservationRow,
)

# A prediction is judged once its window is over, by the minutes that we saw of the bank
# ourselves: down is a minute in which half of all tries failed. What is usual is one such
# minute in a hundred. Older judgements fade, so that a region can win trust back.
JUDGE = Query(
    """
    /* federation.judge */
    with due as (
        select m.token_id, m.mesh_region_id, m.p_down,
               (select max(case when (h.failures + h.probe_failures) * 2 >= h.attempts + h.probes then 1.0 else 0.0 end)
                  from mesh.bank_health_logs as h
                 where h.bank_profile_id = m.subject and h.rail = m.rail and h.currency = m.currency
                   and h.attempts + h.probes > 0
                   and h.checked_at >= date_trunc('minute', m.issued_at)
                   and h.checked_at < m.issued_at + interval '15 minutes') as was_down
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
    )
    update mesh.peers as p
       set squared_error = p.squared_error * 0.99 ^ s.judged + s.squared,
           squared_error_climatology = p.squared_error_climatology * 0.99 ^ s.judged + s.usual,
           judged = p.judged + s.judged, updated_at = now()
      from sums as s
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

LIST_OWN_PREDICTIONS = Query(
    """
    /* federation.list_own_predictions */
    select distinct on (bank_profile_id, rail, currency) bank_profile_id, rail, currency, p_down,
           predicted_score::float8 as predicted_score, prediction_window_minutes as window_minutes
      from mesh.bank_health_predictions
     where created_at > now() - interval '10 minutes' and valid_until > now()
       and (mesh_region_id = :region or mesh_region_id is null)
     order by bank_profile_id, rail, currency, created_at desc
     limit :limit
    """,
    row=OwnPredictionRow,
)

LIST_QUOTES = Query(
    """
    /* federation.list_quotes */
    select to_region_id, currency, path, least(cover, net_debit_cap) - position - reserved as available
      from mesh.corridors
     where state = 'active' and from_region_id = :region
     order by to_region_id, currency
     limit 100
    """,
    row=QuoteRow,
)

_CORRIDOR = """
    select c.id, c.from_region_id, f.name as from_region, c.to_region_id, t.name as to_region, c.currency, c.path,
           c.cover, c.net_debit_cap, c.position, c.reserved, c.state, c.approved_from, c.approved_to, c.created_by,
           c.created_at
      from mesh.corridors as c
      join mesh.mesh_regions as f on f.id = c.from_region_id
      join mesh.mesh_regions as t on t.id = c.to_region_id
"""

LIST_CORRIDORS = Query(
    f"""
    /* federation.list_corridors */
    {_CORRIDOR}
     order by c.created_at desc, c.id
     limit :limit
    """,
    row=CorridorRow,
)

FIND_CORRIDOR = Query(
    f"""
    /* federation.find_corridor */
    {_CORRIDOR}
     where c.id = :id
    """,
    row=CorridorRow,
)

LOCK_CORRIDOR = Query(
    """
    /* federation.lock_corridor */
    select from mesh.corridors where id = :id for update
    """,
    row=Nothing,
    locks=Rank.LIQUIDITY_POOL,
)

INSERT_CORRIDOR = Query(
    """
    /* federation.insert_corridor */
    insert into mesh.corridors
           (id, from_region_id, to_region_id, currency, path, cover, net_debit_cap, created_by)
    values (:id, :from_region_id, :to_region_id, :currency, :path::text[], :cover, :net_debit_cap, :by)
        on conflict do nothing
    """,
    row=Nothing,
)

SET_CORRIDOR = Query(
    """
    /* federation.set_corridor */
    update mesh.corridors
       set state = :state, approved_from = :approved_from, approved_to = :approved_to, updated_at = now()
     where id = :id
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
