"""What the controller looks at, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.mesh.routing.scope_store import PAYOUTS_IN_SCOPE
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class LockedRow:
    is_locked: bool


@dataclass(frozen=True, slots=True)
class PlaceRow:
    bank_profile_id: str
    degraded_since: datetime | None
    suppressed_since: datetime | None
    left_by_hand: bool
    read_at: datetime


@dataclass(frozen=True, slots=True)
class WaitingRow:
    bank_profile_id: str | None
    value: int


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """What the controller did lately."""

    applies_last_hour: int
    last_apply_at: datetime | None
    last_reorder_at: datetime | None


@dataclass(frozen=True, slots=True)
class AskedRow:
    id: str
    from_bank_id: str | None
    kind: str
    is_fresh: bool
    is_recent: bool
    waits_for_people: bool
    to_bank_id: str | None
    policy_version: int | None


@dataclass(frozen=True, slots=True)
class ShiftRow:
    proposal_id: str
    from_bank_id: str | None
    to_bank_id: str | None
    share: int
    is_due: bool
    outcomes: int
    failures: int


@dataclass(frozen=True, slots=True)
class RouteRow:
    min_amount: int
    bank_profile_ids: list[str]


@dataclass(frozen=True, slots=True)
class ScopeRow:
    currency: str
    rail: str


@dataclass(frozen=True, slots=True)
class VerdictRow:
    mesh_region_id: str
    currency: str
    rail: str
    verdict: str
    reason: str
    detail: dict[str, Any]
    from_bank_id: str | None
    to_bank_id: str | None
    proposal_id: str | None
    since: datetime
    decided_at: datetime


# Two decisions about one scope would ask twice, or move twice.
LOCK_DECISION = Query(
    """
    /* control.lock_decision */
    select pg_advisory_xact_lock(hashtextextended(
               'mesh.decide/' || :region::text || '/' || :currency::text || '/' || :rail::text, 0)) is not null
           as is_locked
    """,
    row=LockedRow,
    locks=Rank.BANK_ROUTE,
)

LIST_PLACES = Query(
    """
    /* control.list_places */
    select h.bank_profile_id, h.degraded_since, h.suppressed_since,
           coalesce((select p.kind in ('manual', 'override')
                       from mesh.mesh_routing_proposals as p
                      where p.from_bank_id = h.bank_profile_id and p.currency = h.currency
                        and p.rail = h.rail and p.status = 'applied' and not p.proposal ? 'payouts'
                      order by p.applied_at desc
                      limit 1), false) as left_by_hand,
           now() as read_at
      from mesh.member_health as h
     where h.currency = :currency and h.rail = :rail and h.bank_profile_id = any(:banks::text[])
    """,
    row=PlaceRow,
)

SET_PLACES = Query(
    """
    /* control.set_places */
    update mesh.member_health as h
       set degraded_since = n.degraded_since,
           better_since = n.better_since,
           suppressed_since = n.suppressed_since,
           strikes = n.strikes
      from unnest(:banks::text[], :degraded::timestamptz[], :better::timestamptz[],
                  :suppressed::timestamptz[], :strikes::int[])
           as n(bank_id, degraded_since, better_since, suppressed_since, strikes)
     where h.bank_profile_id = n.bank_id and h.currency = :currency and h.rail = :rail
       and (h.degraded_since, h.better_since, h.suppressed_since, h.strikes)
           is distinct from (n.degraded_since, n.better_since, n.suppressed_since, n.strikes::smallint)
    """,
    row=Nothing,
    locks=Rank.MEMBER_HEALTH,
)

LIST_WAITING = Query(
    "/* control.list_waiting */"
    " select p.bank_profile_id, sum(p.amount)::bigint as value"
    + PAYOUTS_IN_SCOPE
    + """
       and p.attempts = 0
     group by p.bank_profile_id
     order by p.bank_profile_id""",
    row=WaitingRow,
)

FIND_HISTORY = Query(
    """
    /* control.find_history */
    select (select count(*)::int
              from mesh.mesh_routing_proposals as p
             where p.mesh_region_id = :region and p.reviewed_by = 'mesh-controller'
               and p.kind <> 'practice' and p.applied_at > now() - interval '1 hour') as applies_last_hour,
           (select max(p.applied_at)
              from mesh.mesh_routing_proposals as p
             where p.mesh_region_id = :region and p.currency = :currency and p.rail = :rail
               and p.applied_at is not null and p.reviewed_by = 'mesh-controller'
               and p.kind <> 'practice') as last_apply_at,
           (select max(p.created_at)
              from mesh.mesh_routing_proposals as p
             where p.mesh_region_id = :region and p.currency = :currency and p.rail = :rail
               and p.kind = 'reorder') as last_reorder_at
    """,
    row=HistoryRow,
)

LIST_ASKED = Query(
    """
    /* control.list_asked */
    select p.id, p.from_bank_id, p.kind, p.created_at > now() - interval '30 seconds' as is_fresh,
           p.created_at > now() - make_interval(mins => :recent_min::int) as is_recent,
           p.ops_action_id is not null as waits_for_people, p.to_bank_id, p.policy_version
      from mesh.mesh_routing_proposals as p
     where p.mesh_region_id = :region and p.currency = :currency and p.rail = :rail
       and p.status in ('proposed', 'simulated', 'approved') and p.expires_at > now()
     order by p.created_at desc
     limit 100
    """,
    row=AskedRow,
)

FIND_SHIFT = Query(
    """
    /* control.find_shift */
    select p.id as proposal_id, p.from_bank_id, p.to_bank_id, p.shift_share::int as share,
           p.shift_due_at <= now() as is_due,
           coalesce(sum(l.attempts), 0)::int as outcomes, coalesce(sum(l.failures), 0)::int as failures
      from mesh.mesh_routing_proposals as p
      join mesh.shift_steps as s on s.proposal_id = p.id and s.share = p.shift_share
      left join mesh.bank_health_logs as l
        on l.bank_profile_id = p.to_bank_id and l.rail = p.rail and l.currency = p.currency
       and l.checked_at >= s.began_at
     where p.mesh_region_id = :region and p.currency = :currency and p.rail = :rail
       and p.status = 'applied' and p.shift_due_at is not null
     group by p.id
     order by p.applied_at desc
     limit 1
    """,
    row=ShiftRow,
)

END_STEP = Query(
    """
    /* control.end_step */
    update mesh.shift_steps
       set ended_at = now(), result = :result, outcomes = :outcomes, failures = :failures, log_ratio = :log_ratio
     where proposal_id = :proposal_id and share = :share::int and ended_at is null
    """,
    row=Nothing,
)

END_SHIFT = Query(
    """
    /* control.end_shift */
    update mesh.mesh_routing_proposals
       set shift_due_at = null, last_failure = :why
     where id = :id and status = 'applied' and shift_due_at is not null
    """,
    row=Nothing,
)

LIST_ROUTES = Query(
    """
    /* control.list_routes */
    select min_amount, bank_profile_ids
      from payments.bank_routes
     where currency = :currency and rail = :rail and replaced_at is null
     order by min_amount
    """,
    row=RouteRow,
)

LIST_SCOPES = Query(
    """
    /* control.list_scopes */
    select distinct h.currency, h.rail
      from mesh.member_health as h
      join mesh.mesh_members as m on m.bank_profile_id = h.bank_profile_id
     where m.mesh_region_id = :region and m.status = 'active'
     order by h.currency, h.rail
     limit 200
    """,
    row=ScopeRow,
)

PUT_VERDICT = Query(
    """
    /* control.put_verdict */
    insert into mesh.verdicts as v
           (mesh_region_id, currency, rail, verdict, reason, detail, from_bank_id, to_bank_id, proposal_id)
    values (:region, :currency, :rail, :verdict, :reason, :detail::jsonb, :from_bank, :to_bank, :proposal_id)
        on conflict (mesh_region_id, currency, rail) do update
       set verdict = excluded.verdict, reason = excluded.reason, detail = excluded.detail,
           from_bank_id = excluded.from_bank_id, to_bank_id = excluded.to_bank_id,
           proposal_id = excluded.proposal_id, decided_at = now(),
           since = case when (v.verdict, v.reason) = (excluded.verdict, excluded.reason)
                        then v.since else now() end
    """,
    row=Nothing,
)

LIST_VERDICTS = Query(
    """
    /* control.list_verdicts */
    select mesh_region_id, currency, rail, verdict, reason, detail, from_bank_id, to_bank_id, proposal_id,
           since, decided_at
      from mesh.verdicts
     where :region::text is null or mesh_region_id = :region::text
     order by mesh_region_id, currency, rail
     limit :limit
    """,
    row=VerdictRow,
)

END_EXPIRED = Query(
    """
    /* control.end_expired */
    update mesh.mesh_routing_proposals
       set status = 'rejected', rejected_reason = 'expired', reviewed_at = now()
     where id in (select id
                    from mesh.mesh_routing_proposals
                   where status in ('proposed', 'simulated', 'approved') and expires_at <= now()
                   order by expires_at
                   limit :limit)
       and status in ('proposed', 'simulated', 'approved')
    """,
    row=Nothing,
)
