"""The statements about recommendations: the situations they come from, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class RecommendationRow:
    id: UUID
    tenant_type: str
    tenant_id: str | None
    recommendation_type: str
    priority: str
    title: str
    description: str
    suggested_action: dict[str, Any]
    estimated_impact: dict[str, Any]
    explanation: dict[str, Any]
    confidence_score: Decimal
    subject: str
    facts: dict[str, Any]
    state: str
    status: str
    ops_action_id: UUID | None
    applied_at: datetime | None
    applied_by: str | None
    rejected_at: datetime | None
    rejected_by: str | None
    rejection_reason: str | None
    expires_at: datetime
    created_at: datetime
    is_past: bool


@dataclass(frozen=True, slots=True)
class FloatRow:
    """An agent's float, its rule, and what left it on each of the last days, net of what came."""

    agent_id: str
    name: str
    currency: str
    balance: int
    fire_at: Decimal
    clear_at: Decimal
    amount_max: int | None
    outflows: list[int]


@dataclass(frozen=True, slots=True)
class HoldRow:
    """What a merchant's customers took back of what they had paid, against the rule's level."""

    merchant_id: str
    name: str
    currency: str
    kind: str
    sales: int
    bad: int
    recent_sales: int
    recent_bad: int
    limit: Decimal
    pending_amount: int


@dataclass(frozen=True, slots=True)
class RouteRow:
    proposal_id: str
    mesh_region_id: str
    currency: str
    rail: str
    from_bank_id: str
    from_name: str
    to_bank_id: str
    to_name: str
    confidence: Decimal
    p_down_from: float
    p_down_to: float
    waiting_count: int
    waiting_amount: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule, and how its alerts of the last 30 days ended: *quiet* did so without anybody."""

    rule_id: str
    alert_type: str
    metric: str
    tenant_type: str
    tenant_id: str | None
    currency: str | None
    comparison: str
    unit: str
    fire_at: Decimal
    clear_at: Decimal
    critical_at: Decimal | None
    fired: int
    quiet: int
    flapped: int
    values: list[Decimal]


@dataclass(frozen=True, slots=True)
class SubjectRow:
    subject: str


@dataclass(frozen=True, slots=True)
class EndedRow:
    id: UUID
    state: str
    ended_by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """What became of recommendations of one type in the last 90 days."""

    made: int
    applied: int
    rejected: int
    expired: int
    effective: int


_COLUMNS = """id, tenant_type, tenant_id, recommendation_type, priority, title, description, suggested_action,
           estimated_impact, explanation, confidence_score, subject, facts, state, status, ops_action_id, applied_at,
           applied_by, rejected_at, rejected_by, rejection_reason, expires_at, created_at,
           expires_at <= now() as is_past"""

LIST = Query(
    f"""
    /* dashboard.list_recommendations */
    select {_COLUMNS}
      from ops.sira_dash_recommendations
     where status = :status
       and (status <> 'pending' or expires_at > now())
       and (:tenant_type::text = 'platform' or (tenant_type = :tenant_type and tenant_id = :tenant_id)
            or ops.lies_in(:tenant_type, :tenant_id, tenant_type, tenant_id))
     order by array_position(array['critical', 'high', 'medium', 'low'], priority), confidence_score desc,
              created_at desc, id
     limit :limit offset :offset
    """,
    row=RecommendationRow,
)

FIND = Query(
    f"""
    /* dashboard.find_recommendation */
    select {_COLUMNS}
      from ops.sira_dash_recommendations
     where id = :id
    """,
    row=RecommendationRow,
)

LOCK = Query(
    f"""
    /* dashboard.lock_recommendation */
    select {_COLUMNS}
      from ops.sira_dash_recommendations
     where id = :id
       for update
    """,
    row=RecommendationRow,
    locks=Rank.ALERT_GROUP,
)

LIST_OPEN = Query(
    f"""
    /* dashboard.list_open_recommendations */
    select {_COLUMNS}
      from ops.sira_dash_recommendations
     where state in ('pending', 'asked')
     order by subject
       for update
    """,
    row=RecommendationRow,
    locks=Rank.ALERT_GROUP,
)

# What people have said no to is not said again for a week; what was done needs a day to show.
LIST_SETTLED = Query(
    """
    /* dashboard.list_settled_subjects */
    select distinct subject
      from ops.sira_dash_recommendations
     where (state = 'rejected' and rejected_at > now() - interval '7 days')
        or (state = 'applied' and applied_at > now() - interval '1 day')
    """,
    row=SubjectRow,
)

INSERT = Query(
    """
    /* dashboard.insert_recommendation */
    insert into ops.sira_dash_recommendations
           (id, tenant_type, tenant_id, recommendation_type, priority, title, description, suggested_action,
            estimated_impact, explanation, confidence_score, subject, facts, expires_at)
    values (:id, :tenant_type, :tenant_id, :recommendation_type, :priority, :title, :description,
            :suggested_action, :estimated_impact, :explanation, :confidence_score, :subject, :facts,
            now() + make_interval(secs => :lasts_s))
        on conflict (subject) where state in ('pending', 'asked') do nothing
    """,
    row=Nothing,
)

SET_STATE = Query(
    """
    /* dashboard.set_recommendation_state */
    update ops.sira_dash_recommendations
       set state = :state, updated_at = now(),
           ops_action_id = coalesce(:ops_action_id, ops_action_id),
           applied_at = case when :state = 'applied' then now() end,
           applied_by = case when :state = 'applied' then :by end,
           rejected_at = case when :state = 'rejected' then now() end,
           rejected_by = case when :state = 'rejected' then :by end,
           rejection_reason = case when :state = 'rejected' then :reason end
     where id = :id
    """,
    row=Nothing,
    locks=Rank.ALERT_GROUP,
)

EXPIRE = Query(
    """
    /* dashboard.expire_recommendations */
    update ops.sira_dash_recommendations
       set state = 'expired', updated_at = now()
     where state = 'pending' and expires_at <= now()
    """,
    row=Nothing,
    locks=Rank.ALERT_GROUP,
)

LIST_ENDED = Query(
    """
    /* dashboard.list_ended_actions */
    select r.id, a.state, a.executed_by as ended_by, a.reason
      from ops.sira_dash_recommendations r
      join approvals.ops_actions a on a.id = r.ops_action_id
     where r.state = 'asked'
       and a.state in ('executed', 'verified', 'ineffective', 'compensating', 'compensated', 'compensation_failed',
                       'rejected', 'expired', 'cancelled', 'superseded', 'stale', 'failed')
     order by r.id
    """,
    row=EndedRow,
)

FIND_RECORD = Query(
    """
    /* dashboard.find_track_record */
    select count(*) as made,
           count(*) filter (where r.state = 'applied') as applied,
           count(*) filter (where r.state = 'rejected') as rejected,
           count(*) filter (where r.state = 'expired') as expired,
           count(*) filter (where r.state = 'applied' and a.state in ('executed', 'verified')) as effective
      from ops.sira_dash_recommendations r
      left join approvals.ops_actions a on a.id = r.ops_action_id
     where r.recommendation_type = :type and r.created_at > now() - interval '90 days'
       and r.state <> 'superseded'
    """,
    row=Record,
)

# Days without a movement are days with an outflow of nothing. Top-ups are not what
# customers brought, so they are left out.
LIST_FLOATS = Query(
    """
    /* dashboard.list_floats_to_forecast */
    select a.id as agent_id, a.name, a.currency, coalesce(f.balance, 0) as balance, r.fire_at, r.clear_at,
           (select (p.bounds -> 'ADJUST_FLOAT' -> 'amount_max' ->> a.currency)::bigint
              from alerts.remediation_policies p where p.alert_type = 'float_low') as amount_max,
           o.outflows
      from tenancy.agents a
      join lateral (
            select fire_at, clear_at
              from alerts.metric_rules
             where metric = 'float_available' and tenant_type = 'agent' and enabled and currency = a.currency
               and (tenant_id is null or tenant_id = a.id)
             order by tenant_id nulls last
             limit 1) as r on true
      left join ledger.accounts f on f.id = 'agent:' || a.id || ':float:' || a.currency
      join lateral (
            select array_agg(coalesce(m.out, 0)::bigint order by d.ago desc) as outflows, count(m.out) as moved
              from generate_series(1, 28) as d(ago)
              left join (
                    select floor(extract(epoch from now() - t.posted_at) / 86400)::int + 1 as ago,
                           sum(case when t.source = 'agent:' || a.id || ':float:' || a.currency
                                    then t.amount else -t.amount end) as out
                      from ledger.transfers t
                     where t.agent_id = a.id and t.currency = a.currency and t.cause <> 'float.adjusted'
                       and t.posted_at > now() - interval '28 days'
                     group by 1) as m on m.ago = d.ago
           ) as o on o.moved >= 7
     where a.status = 'active'
       and not exists (select from approvals.ops_actions x
                        where x.target_tenant_type = 'agent' and x.target_tenant_id = a.id
                          and x.action_type = 'ADJUST_FLOAT'
                          and x.state in ('pending', 'blocked', 'approved', 'scheduled', 'executing'))
     order by a.id
    """,
    row=FloatRow,
)

LIST_HOLDS = Query(
    """
    /* dashboard.list_merchants_to_hold */
    with counted as (
        select tenant_id, currency, sum(transaction_count) as sales,
               sum(chargebacks_count) as chargebacks, sum(refunds_count) as refunds,
               sum(transaction_count) filter (where bucket_ts > now() - interval '7 days') as recent_sales,
               sum(chargebacks_count) filter (where bucket_ts > now() - interval '7 days') as recent_chargebacks,
               sum(refunds_count) filter (where bucket_ts > now() - interval '7 days') as recent_refunds,
               sum(payout_pending_amount) as pending_amount
          from ops.dash_aggregates_hourly
         where tenant_type = 'merchant' and bucket_ts > now() - interval '30 days'
         group by tenant_id, currency
    )
    select m.id as merchant_id, m.name, c.currency, k.kind, c.sales::bigint as sales, k.bad::bigint as bad,
           coalesce(c.recent_sales, 0)::bigint as recent_sales, coalesce(k.recent, 0)::bigint as recent_bad,
           r.fire_at as "limit", c.pending_amount::bigint as pending_amount
      from counted c
      join tenancy.merchants m on m.id = c.tenant_id and m.status = 'active'
     cross join lateral (values ('chargeback_rate', c.chargebacks, c.recent_chargebacks),
                                ('refund_rate', c.refunds, c.recent_refunds)) as k(kind, bad, recent)
      join lateral (
            select fire_at
              from alerts.metric_rules
             where metric = k.kind and tenant_type = 'merchant' and enabled
               and (tenant_id is null or tenant_id = m.id) and (currency is null or currency = c.currency)
             order by tenant_id nulls last, currency nulls last
             limit 1) as r on true
     where c.sales >= 30 and k.bad > c.sales * r.fire_at
       and not exists (select from payments.payout_pauses p
                        where p.merchant_id = m.id and p.ended_at is null and p.until > now())
     order by m.id, c.currency, k.kind
    """,
    row=HoldRow,
)

LIST_ROUTES = Query(
    """
    /* dashboard.list_routes_to_take */
    select p.id as proposal_id, p.mesh_region_id, p.currency, p.rail, p.from_bank_id, f.name as from_name,
           p.to_bank_id, t.name as to_name, p.confidence,
           coalesce((select max(h.p_down) from mesh.member_health h
                      where h.bank_profile_id = p.from_bank_id and h.currency = p.currency and h.rail = p.rail),
                    p.p_down) as p_down_from,
           coalesce((select max(h.p_down) from mesh.member_health h
                      where h.bank_profile_id = p.to_bank_id and h.currency = p.currency and h.rail = p.rail), 0)
               as p_down_to,
           w.count as waiting_count, w.amount as waiting_amount, p.expires_at
      from mesh.mesh_routing_proposals p
      join payments.bank_profiles f on f.id = p.from_bank_id
      join payments.bank_profiles t on t.id = p.to_bank_id
     cross join lateral (
            select count(*) as count, coalesce(sum(x.amount), 0)::bigint as amount
              from payments.payouts x
             where x.bank_profile_id = p.from_bank_id and x.currency = p.currency
               and x.state in ('scheduled', 'held', 'pending')) as w
     where p.status in ('proposed', 'simulated') and p.ops_action_id is null and p.kind = 'failover'
       and p.from_bank_id <> p.to_bank_id and p.expires_at > now()
     order by p.id
    """,
    row=RouteRow,
)

LIST_RULES = Query(
    """
    /* dashboard.list_rules_that_cry */
    select r.id as rule_id, r.alert_type, r.metric, r.tenant_type, r.tenant_id, r.currency, r.comparison, r.unit,
           r.fire_at, r.clear_at, r.critical_at, a.fired, a.quiet, a.flapped, a.values
      from alerts.metric_rules r
      join lateral (
            select count(*) as fired,
                   count(*) filter (where x.state = 'resolved' and x.remedied_by_action_id is null
                                      and x.acknowledged_at is null and x.resolved_by in ('system', 'rules')) as quiet,
                   count(*) filter (where x.is_flapping) as flapped,
                   array_agg((x.metric ->> 'value')::numeric order by x.created_at)
                       filter (where x.metric ->> 'value' is not null) as values
              from alerts.alerts x
             where x.rule_id = r.id and x.severity <> 'critical' and x.created_at > now() - interval '30 days') as a
        on a.fired >= 8
     where r.enabled
     order by r.id
    """,
    row=RuleRow,
)
