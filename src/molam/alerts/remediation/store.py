"""Statements about what is done about alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing

_REMEDIATION = """
       id, alert_id, action_id, action_type, target_type, target_id, is_manual, is_group,
       confidence, state, executed_at, verify_by, decided_at, created_at
"""


@dataclass(frozen=True, slots=True)
class RemediationRow:
    id: UUID
    alert_id: UUID
    action_id: UUID
    action_type: str
    target_type: str
    target_id: str
    is_manual: bool
    is_group: bool
    confidence: Decimal | None
    state: str
    executed_at: datetime | None
    verify_by: datetime | None
    decided_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LimitsRow:
    """What has been done lately, of one action type, and to one target."""

    now: datetime
    last_at: datetime | None
    targets: int
    is_broken: bool
    active: int


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


@dataclass(frozen=True, slots=True)
class IdRow:
    id: UUID


@dataclass(frozen=True, slots=True)
class DecisionRow:
    id: int
    decision: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BreakerRow:
    action_type: str
    target_type: str
    target_id: str
    opened_at: datetime


# How many there are of a kind of tenant; the platform is one.
LIMITS = Query(
    """
    /* remediation.limits */
    select now() as now,
           (select max(r.created_at)
              from alerts.remediations as r
             where r.action_type = :action_type and r.target_type = :target_type
               and r.target_id = :target_id) as last_at,
           (select count(distinct (r.target_type, r.target_id))
              from alerts.remediations as r
             where r.action_type = :action_type and not r.is_manual and not r.is_group
               and r.created_at > now() - interval '1 hour'
               and (r.target_type, r.target_id) <> (:target_type, :target_id)) as targets,
           exists (select from alerts.breakers as b
                    where b.action_type = :action_type and b.target_type = :target_type
                      and b.target_id = :target_id and b.closed_at is null) as is_broken,
           case :target_type
               when 'agent' then (select count(*) from tenancy.agents where status = 'active')
               when 'merchant' then (select count(*) from tenancy.merchants where status = 'active')
               when 'bank' then (select count(*) from payments.bank_profiles)
               else 1 end as active
    """,
    row=LimitsRow,
)

ADD_DECISION = Query(
    """
    /* remediation.add_decision */
    insert into alerts.alert_decisions (alert_id, decision)
    values (:alert_id, :decision)
    """,
    row=Nothing,
)

LIST_DECISIONS = Query(
    """
    /* remediation.list_decisions */
    select id, decision, created_at
      from alerts.alert_decisions
     where alert_id = :alert_id
     order by id
     limit 200
    """,
    row=DecisionRow,
)

ADD_REMEDIATION = Query(
    """
    /* remediation.add_remediation */
    insert into alerts.remediations
           (id, alert_id, action_id, action_type, target_type, target_id, is_manual, is_group,
            confidence)
    values (:id, :alert_id, :action_id, :action_type, :target_type, :target_id, :is_manual,
            :is_group, :confidence::numeric)
        on conflict do nothing
    """,
    row=Nothing,
)

FIND_REMEDIATION = Query(
    """
    /* remediation.find_remediation */
    select """
    + _REMEDIATION
    + """
      from alerts.remediations
     where id = :id
    """,
    row=RemediationRow,
)

FIND_OF_ACTION = Query(
    """
    /* remediation.find_of_action */
    select """
    + _REMEDIATION
    + """
      from alerts.remediations
     where action_id = :action_id
     order by alert_id
    """,
    row=RemediationRow,
)

LIST_OF_ALERT = Query(
    """
    /* remediation.list_of_alert */
    select """
    + _REMEDIATION
    + """
      from alerts.remediations
     where alert_id = :alert_id
     order by created_at, id
     limit 50
    """,
    row=RemediationRow,
)

LIST_ASKED_OF_ALERT = Query(
    """
    /* remediation.list_asked_of_alert */
    select """
    + _REMEDIATION
    + """
      from alerts.remediations
     where alert_id = :alert_id and state = 'asked'
     order by created_at, id
    """,
    row=RemediationRow,
)

LIST_UNSETTLED = Query(
    """
    /* remediation.list_unsettled */
    select """
    + _REMEDIATION
    + """
      from alerts.remediations
     where state in ('asked', 'verifying')
     order by created_at, id
     limit :limit
    """,
    row=RemediationRow,
)

# Told of by an action alone, as when people or other programs asked for it.
LIST_UNLINKED = Query(
    """
    /* remediation.list_unlinked */
    select a.id
      from approvals.ops_actions as a
     where a.state in ('executed', 'verified')
       and a.executed_at > now() - interval '1 hour'
       and a.context ? 'alert_id'
       and not exists (select from alerts.remediations as r where r.action_id = a.id)
     order by a.executed_at
     limit :limit
    """,
    row=IdRow,
)

SET_VERIFYING = Query(
    """
    /* remediation.set_verifying */
    update alerts.remediations
       set state = 'verifying',
           executed_at = :executed_at,
           verify_by = now() + make_interval(secs => :within_s)
     where id = :id and state = 'asked'
    """,
    row=Nothing,
)

SETTLE = Query(
    """
    /* remediation.settle */
    update alerts.remediations
       set state = :state,
           decided_at = now()
     where id = :id and state in ('asked', 'verifying')
    """,
    row=Nothing,
)

IS_DUE = Query(
    """
    /* remediation.is_due */
    select count(*) as count
      from alerts.remediations
     where id = :id and state = 'verifying' and verify_by <= now()
    """,
    row=CountRow,
)

COUNT_INEFFECTIVE = Query(
    """
    /* remediation.count_ineffective */
    select count(*) as count
      from alerts.remediations
     where action_type = :action_type and target_type = :target_type and target_id = :target_id
       and state = 'ineffective' and decided_at > now() - interval '4 hours'
    """,
    row=CountRow,
)

OPEN_BREAKER = Query(
    """
    /* remediation.open_breaker */
    insert into alerts.breakers (action_type, target_type, target_id)
    values (:action_type, :target_type, :target_id)
        on conflict do nothing
    """,
    row=Nothing,
)

CLOSE_BREAKER = Query(
    """
    /* remediation.close_breaker */
    update alerts.breakers
       set closed_at = now(),
           closed_by = :by
     where action_type = :action_type and target_type = :target_type and target_id = :target_id
       and closed_at is null
    """,
    row=Nothing,
)

LIST_BREAKERS = Query(
    """
    /* remediation.list_breakers */
    select action_type, target_type, target_id, opened_at
      from alerts.breakers
     where closed_at is null
     order by opened_at desc
     limit 100
    """,
    row=BreakerRow,
)

SET_REOPENED = Query(
    """
    /* remediation.set_reopened */
    update alerts.alerts
       set remedied_by_action_id = null,
           version = version + 1,
           updated_at = clock_timestamp()
     where id = :id and resolved_at is null
    """,
    row=Nothing,
)

TELL = Query(
    """
    /* remediation.tell */
    select 1 as count from pg_notify('alerts', :alert_id)
    """,
    row=CountRow,
)

SET_RECOMMENDATION_ASKED = Query(
    """
    /* remediation.set_recommendation_asked */
    update ops.sira_dash_recommendations
       set state = 'asked',
           ops_action_id = :action_id,
           updated_at = now()
     where id = :id and state = 'pending'
    """,
    row=Nothing,
)
