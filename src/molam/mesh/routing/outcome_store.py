"""The statements about what came of moves, and about what is learnt from that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DueRow:
    """A move whose hour has passed, with what was seen of both banks in it."""

    proposal_id: str
    applied_at: datetime
    is_automatic: bool
    is_drill: bool
    raw: Decimal | None
    confidence: Decimal
    from_seen: int
    from_failed: Decimal
    to_seen: int
    to_failed: Decimal


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """A move that was judged."""

    proposal_id: str
    mesh_region_id: str
    currency: str
    rail: str
    from_bank_id: str
    to_bank_id: str
    applied_at: datetime
    is_automatic: bool
    is_drill: bool
    raw: Decimal | None
    confidence: Decimal
    from_seen: int
    from_failed: Decimal
    to_seen: int
    to_failed: Decimal
    outcome: str
    judged_at: datetime


@dataclass(frozen=True, slots=True)
class SaidRow:
    raw: float
    was_right: bool


@dataclass(frozen=True, slots=True)
class TableRow:
    digest: str
    fitted_at: datetime
    moves: int
    right_moves: int
    margins: list[float]
    shares: list[float]


_HOUR = """
         (select coalesce(sum(l.attempts + l.probes), 0)::int as seen,
                 coalesce(least(sum(l.failures + l.probe_failures) + sum(l.sla_misses) / 2.0,
                                sum(l.attempts + l.probes)), 0)::numeric(12, 1) as failed
            from mesh.bank_health_logs as l
           where l.rail = p.rail and l.currency = p.currency
             and l.checked_at >= date_trunc('minute', p.applied_at) + interval '1 minute'
             and l.checked_at < date_trunc('minute', p.applied_at)
                                + make_interval(mins => 1 + :minutes::int)
             and l.bank_profile_id = """

# From the minute after the move on: what had decided it says nothing of what came of it.
LIST_DUE = Query(
    """
    /* outcomes.list_due */
    select p.id as proposal_id, p.applied_at, p.reviewed_by = :controller as is_automatic,
           exists (select from mesh.drills as d
                    where d.bank_profile_id = p.from_bank_id and d.began_at <= p.applied_at
                      and coalesce(d.ended_at, d.ends_at) >= p.applied_at) as is_drill,
           (p.proposal -> 'sureness' ->> 'raw')::numeric as raw, p.confidence,
           f.seen as from_seen, f.failed as from_failed, t.seen as to_seen, t.failed as to_failed
      from mesh.mesh_routing_proposals as p
     cross join lateral"""
    + _HOUR
    + """p.from_bank_id) as f
     cross join lateral"""
    + _HOUR
    + """p.to_bank_id) as t
     where p.applied_at <= now() - make_interval(mins => :after_min::int)
       and p.applied_at > now() - interval '30 days'
       and p.kind = any(:kinds::text[]) and p.from_bank_id <> p.to_bank_id
       and not exists (select from mesh.move_outcomes as o where o.proposal_id = p.id)
     order by p.applied_at, p.id
     limit :limit
    """,
    row=DueRow,
)

APPEND = Query(
    """
    /* outcomes.append */
    insert into mesh.move_outcomes
           (proposal_id, applied_at, is_automatic, is_drill, raw, confidence, from_seen, from_failed,
            to_seen, to_failed, outcome)
    values (:proposal_id, :applied_at, :is_automatic, :is_drill, :raw, :confidence, :from_seen, :from_failed,
            :to_seen, :to_failed, :outcome)
        on conflict (proposal_id) do nothing
    """,
    row=Nothing,
)

LIST_NEWEST = Query(
    """
    /* outcomes.list_newest */
    select o.proposal_id, p.mesh_region_id, p.currency, p.rail, p.from_bank_id, p.to_bank_id, o.applied_at,
           o.is_automatic, o.is_drill, o.raw, o.confidence, o.from_seen, o.from_failed, o.to_seen,
           o.to_failed, o.outcome, o.judged_at
      from mesh.move_outcomes as o
      join mesh.mesh_routing_proposals as p on p.id = o.proposal_id
     order by o.applied_at desc, o.proposal_id desc
     limit :limit
    """,
    row=OutcomeRow,
)

LIST_SAID = Query(
    """
    /* outcomes.list_said */
    select o.raw::float8 as raw, o.outcome = 'right' as was_right
      from mesh.move_outcomes as o
      join mesh.mesh_routing_proposals as p on p.id = o.proposal_id
     where o.raw is not null and not o.is_drill and o.outcome <> 'unknown'
       -- Those of before say by their P(DOWN) what they were.
       and coalesce(p.proposal -> 'sureness' ->> 'stratum',
                    case when p.p_down >= 0.99 then 'emergency' else 'ordinary' end) = :stratum::text
     order by o.applied_at desc, o.proposal_id desc
     limit :limit
    """,
    row=SaidRow,
)

PUT_TABLE = Query(
    """
    /* outcomes.put_table */
    insert into mesh.confidence_tables (digest, stratum, moves, right_moves, margins, shares)
    values (:digest, :stratum, :moves, :right_moves, :margins::float8[], :shares::float8[])
        on conflict (digest) do update set fitted_at = now()
    """,
    row=Nothing,
)

FIND_TABLE = Query(
    """
    /* outcomes.find_table */
    select digest, fitted_at, moves, right_moves, margins, shares
      from mesh.confidence_tables
     where stratum = :stratum
     order by fitted_at desc, digest
     limit 1
    """,
    row=TableRow,
)
