"""Statements about remedies that are asked for together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class HeldRow:
    """*why* it cannot be asked for any more; None: it can."""

    alert_id: UUID
    target_type: str
    target_id: str
    params: dict[str, Any]
    confidence: Decimal | None
    why: str | None


@dataclass(frozen=True, slots=True)
class KindRow:
    alert_type: str
    action_type: str


@dataclass(frozen=True, slots=True)
class HourRow:
    """*is_taken*: a group waits, or was asked for in this hour."""

    hour: datetime
    is_taken: bool


@dataclass(frozen=True, slots=True)
class ReasonRow:
    why: str | None


@dataclass(frozen=True, slots=True)
class ResultRow:
    alert_id: UUID
    is_done: bool
    said: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StandRow:
    """How the other remediations of an action stand."""

    unsettled: int
    ineffective: int
    verified: int


HOLD = Query(
    """
    /* remediation.hold */
    insert into alerts.held_remedies
           (alert_id, alert_type, action_type, target_type, target_id, params, confidence)
    values (:alert_id, :alert_type::text, :action_type, :target_type, :target_id, :params,
            :confidence::numeric)
        on conflict (alert_id)
        do update set action_type = excluded.action_type,
                      target_type = excluded.target_type,
                      target_id = excluded.target_id,
                      params = excluded.params,
                      confidence = excluded.confidence,
                      held_at = now(),
                      action_id = null,
                      let_go_at = null
    """,
    row=Nothing,
)

LIST_KINDS = Query(
    """
    /* remediation.list_held_kinds */
    select alert_type, action_type
      from alerts.held_remedies
     where action_id is null and let_go_at is null
     group by alert_type, action_type
    having min(held_at) <= now() - make_interval(secs => :gather_s)
    """,
    row=KindRow,
)

# One of each target, the first that was held; and none that anything else acts on.
LIST_HELD = Query(
    """
    /* remediation.list_held */
    select h.alert_id, h.target_type, h.target_id, h.params, h.confidence,
           case when a.resolved_at is not null then 'over'
                when a.remedied_by_action_id is not null then 'acted_on'
                when a.is_silenced or a.is_suppressed then 'silenced'
                when a.is_inhibited then 'inhibited'
                when a.is_in_maintenance then 'maintenance'
                when a.is_flapping then 'flapping'
                when exists (select from alerts.breakers as b
                              where b.action_type = h.action_type and b.closed_at is null
                                and (b.target_type, b.target_id) = (h.target_type, h.target_id))
                then 'breaker'
                when exists (select from alerts.remediations as r
                              where r.action_type = h.action_type
                                and (r.target_type, r.target_id) = (h.target_type, h.target_id)
                                and (r.state in ('asked', 'verifying')
                                     or r.created_at > now() - make_interval(secs => :cooldown_s)))
                then 'cooldown'
                when row_number() over (partition by h.target_type, h.target_id
                                        order by h.held_at, h.alert_id) > 1
                then 'twin_open' end as why
      from alerts.held_remedies as h
      join alerts.alerts as a on a.id = h.alert_id
     where h.alert_type = :alert_type::text and h.action_type = :action_type
       and h.action_id is null and h.let_go_at is null
     order by h.held_at, h.alert_id
     limit :limit
    """,
    row=HeldRow,
)

FIND_HOUR = Query(
    """
    /* remediation.find_group_hour */
    select date_trunc('hour', now(), 'UTC') as hour,
           exists (select from approvals.ops_actions as o
                    where o.action_type = 'REMEDIATE_GROUP' and o.target_tenant_id = :target_id
                      and (o.created_at >= date_trunc('hour', now(), 'UTC')
                           or o.state in ('pending', 'blocked', 'approved', 'scheduled',
                                          'executing', 'execution_unknown'))) as is_taken
    """,
    row=HourRow,
)

LET_GO = Query(
    """
    /* remediation.let_go */
    update alerts.held_remedies
       set let_go_at = now()
     where alert_id = any(:alert_ids::uuid[]) and action_id is null and let_go_at is null
    """,
    row=Nothing,
)

TAKE_IN = Query(
    """
    /* remediation.take_in */
    update alerts.held_remedies
       set action_id = :action_id
     where alert_id = any(:alert_ids::uuid[])
    """,
    row=Nothing,
)

# Asked for by itself a remedy leaves the group that it waits in.
LEAVE_GROUP = Query(
    """
    /* remediation.leave_group */
    update alerts.remediations
       set state = 'ended',
           decided_at = now()
     where alert_id = :alert_id and action_type = :action_type and is_group and state = 'asked'
    """,
    row=Nothing,
)

BEGIN_RESULT = Query(
    """
    /* remediation.begin_result */
    insert into alerts.group_results (action_id, alert_id)
    values (:action_id, :alert_id)
        on conflict do nothing
    """,
    row=Nothing,
)

END_RESULT = Query(
    """
    /* remediation.end_result */
    update alerts.group_results
       set is_done = :is_done,
           said = :said
     where action_id = :action_id and alert_id = :alert_id
    """,
    row=Nothing,
)

LIST_RESULTS = Query(
    """
    /* remediation.list_results */
    select alert_id, is_done, said
      from alerts.group_results
     where action_id = :action_id
     order by alert_id
    """,
    row=ResultRow,
)

FIND_RESULT = Query(
    """
    /* remediation.find_result */
    select alert_id, is_done, said
      from alerts.group_results
     where action_id = :action_id and alert_id = :alert_id
    """,
    row=ResultRow,
)

# Why a target is left out when it is its turn.
WHY_NOT = Query(
    """
    /* remediation.why_not */
    select case when a.resolved_at is not null then 'over'
                when a.remedied_by_action_id is distinct from :action_id then 'acted_on'
                when a.is_silenced or a.is_suppressed then 'silenced'
                when a.is_inhibited then 'inhibited'
                when a.is_in_maintenance then 'maintenance'
                when a.is_flapping then 'flapping'
                when exists (select from approvals.ops_actions as o
                              where o.twin = :twin
                                and o.state in ('approved', 'scheduled', 'executing',
                                                'execution_unknown'))
                  or exists (select from alerts.remediations as r
                               join approvals.ops_actions as d on d.id = r.action_id
                              where r.action_type = :action_type
                                and (r.target_type, r.target_id) = (:target_type, :target_id)
                                and d.id <> g.id and d.executed_at > g.created_at)
                then 'acted_on' end as why
      from alerts.alerts as a, approvals.ops_actions as g
     where a.id = :alert_id and g.id = :action_id
    """,
    row=ReasonRow,
)

STAND = Query(
    """
    /* remediation.stand_of_group */
    select count(*) filter (where state in ('asked', 'verifying')) as unsettled,
           count(*) filter (where state = 'ineffective') as ineffective,
           count(*) filter (where state = 'verified') as verified
      from alerts.remediations
     where action_id = :action_id
    """,
    row=StandRow,
)
