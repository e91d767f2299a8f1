"""What the control room's first page reads: banks as they stand, what waits at them, what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class StandingRow:
    """A bank on one rail in one currency: what is believed of it, and whether payouts go there."""

    bank_profile_id: str
    bank_name: str
    country: str
    rail: str
    currency: str
    regions: list[str]
    is_member: bool
    is_usable: bool
    score: Decimal | None
    score_low: Decimal | None
    score_high: Decimal | None
    p_down: float | None
    signals: int
    last_signal_at: datetime | None
    last_failure_at: datetime | None
    mode: str
    left_at: datetime | None
    gate_is_open: bool
    gate_cause: str
    circuit: str
    outage_since: datetime | None
    outage_until: datetime | None
    short_of_funds_until: datetime | None
    is_stale: bool
    waiting: int
    waiting_value: int
    under_way: int
    under_way_value: int
    trend: list[Decimal]
    shut_from: list[int] = field(default_factory=list)
    shut_to: list[int | None] = field(default_factory=list)
    doubted_by: list[str] = field(default_factory=list)
    """Other regions that make us doubt it more than what we saw of it."""
    better_since: datetime | None = None
    """Since when a bank that was left is well, as the controller counts it."""
    left_by_hand: bool = False
    """People led its payouts away, and people lead them back."""
    carried_elsewhere: int | None = None
    """The largest payout that another member of its regions carries; None: of any size."""
    carried_here: int | None = None
    """The largest that it has agreed to carry itself."""
    largest_waiting: int = 0

    @property
    def is_beyond_it(self) -> bool:
        """Something waits that is larger than what it has agreed to carry."""
        return self.carried_here is not None and self.largest_waiting > self.carried_here

    @property
    def shut_amounts(self) -> list[tuple[int, int | None]]:
        """For which amounts no payout is handed to it."""
        return list(zip(self.shut_from, self.shut_to, strict=True))

    @property
    def is_shut_whole(self) -> bool:
        return (0, None) in self.shut_amounts

    @property
    def takes_none(self) -> bool:
        """Tell whether all is led elsewhere that somebody else carries, and it has nothing more."""
        if self.gate_is_open:
            return False
        return not self.shut_amounts or self.is_shut_whole or self._keeps_only_what_none_carries

    @property
    def _keeps_only_what_none_carries(self) -> bool:
        first, last = self.shut_amounts[0]
        largest = self.carried_elsewhere
        if first or last is None or largest is None:
            return False
        return max(largest, self.largest_waiting) <= last


_STANDINGS = """
    with waits as materialized (
        select p.bank_profile_id, p.currency,
               case when p.destination ->> 'provider' is null then 'bank'
                    else 'wallet:' || (p.destination ->> 'provider') end as rail,
               count(*) filter (where p.state <> 'in_transit')::int as waiting,
               coalesce(sum(p.amount) filter (where p.state <> 'in_transit'), 0)::bigint as waiting_value,
               count(*) filter (where p.state = 'in_transit')::int as under_way,
               coalesce(sum(p.amount) filter (where p.state = 'in_transit'), 0)::bigint as under_way_value,
               coalesce(max(p.amount) filter (where p.state <> 'in_transit'), 0)::bigint as largest_waiting
          from payments.payouts as p
         where p.origin = 'molam' and p.state in ('scheduled', 'held', 'pending', 'in_transit')
         group by 1, 2, 3
    ), places as (
        select h.bank_profile_id, h.rail, h.currency from mesh.member_health as h
         union
        select b.id, r.rail, c.currency
          from payments.bank_profiles as b, unnest(b.rails) as r(rail), unnest(b.currency_codes) as c(currency)
         where b.status = 'active'
    )
    select b.id as bank_profile_id, b.name as bank_name, b.country, k.rail, k.currency,
           coalesce(m.regions, '{}') as regions, m.regions is not null as is_member,
           b.enabled and b.status = 'active' as is_usable,
           h.score, h.score_low, h.score_high, h.p_down, coalesce(h.signals, 0) as signals,
           h.last_signal_at, h.last_failure_at, coalesce(h.mode, 'serving') as mode, h.left_at,
           coalesce(g.is_open and not coalesce(g.held_until > now(), false), true) as gate_is_open,
           coalesce(case when g.held_until > now() then g.held_cause else g.cause end, '') as gate_cause,
           coalesce(i.state, 'closed') as circuit,
           o.begins_at as outage_since, o.ends_at as outage_until, h.short_of_funds_until,
           coalesce(h.last_signal_at < now() - interval '10 minutes', true) as is_stale,
           coalesce(w.waiting, 0) as waiting, coalesce(w.waiting_value, 0) as waiting_value,
           coalesce(w.under_way, 0) as under_way, coalesce(w.under_way_value, 0) as under_way_value,
           coalesce(t.scores, '{}') as trend,
           coalesce(u.shut_from, '{}') as shut_from, coalesce(u.shut_to, '{}') as shut_to,
           '{}'::text[] as doubted_by, h.better_since,
           h.mode = 'left' and coalesce((
               select l.kind in ('manual', 'override')
                 from mesh.mesh_routing_proposals as l
                where l.from_bank_id = h.bank_profile_id and l.currency = h.currency and l.rail = h.rail
                  and l.status = 'applied' and not l.proposal ? 'payouts'
                order by l.applied_at desc limit 1), false) is true as left_by_hand,
           e.largest as carried_elsewhere, e.own as carried_here, coalesce(w.largest_waiting, 0) as largest_waiting
      from places as k
      join payments.bank_profiles as b on b.id = k.bank_profile_id
      left join mesh.member_health as h
        on (h.bank_profile_id, h.rail, h.currency) = (k.bank_profile_id, k.rail, k.currency)
      left join payments.bank_gates as g
        on (g.bank_profile_id, g.rail, g.currency) = (k.bank_profile_id, k.rail, k.currency)
      left join lateral (
          select array_agg(coalesce(lower(r.part), 0) order by r.part) as shut_from,
                 array_agg(upper(r.part) - 1 order by r.part) as shut_to
            from unnest(case when g.held_until > now() then '{(,)}' when not g.is_open then g.closed_for end)
                 as r(part)) as u on true
      left join payments.bank_circuits as i on i.bank_profile_id = k.bank_profile_id
      left join waits as w
        on (w.bank_profile_id, w.rail, w.currency) = (k.bank_profile_id, k.rail, k.currency)
      left join lateral (
          select array_agg(r.name order by r.name) as regions
            from mesh.mesh_members as e join mesh.mesh_regions as r on r.id = e.mesh_region_id
           where e.bank_profile_id = k.bank_profile_id and e.status = 'active') as m on true
      left join lateral (
          select max(l.size) filter (where x.bank_profile_id = k.bank_profile_id) as own,
                 case when bool_and(l.size is not null) filter (where x.bank_profile_id <> k.bank_profile_id)
                      then max(l.size) filter (where x.bank_profile_id <> k.bank_profile_id) end as largest
            from mesh.mesh_members as y
            join mesh.mesh_members as x on x.mesh_region_id = y.mesh_region_id
            join payments.bank_profiles as z on z.id = x.bank_profile_id,
                 lateral (select x.capabilities -> 'max_amount_per_txn' as agreed) as a,
                 lateral (select case jsonb_typeof(a.agreed) when 'object' then a.agreed -> k.currency::text
                                      else a.agreed end as said) as s,
                 lateral (select case jsonb_typeof(s.said) when 'number' then s.said::bigint end as size) as l
           where y.bank_profile_id = k.bank_profile_id
             and y.status = 'active' and x.status = 'active' and x.role <> 'observer'
             and z.enabled and z.status = 'active'
             and k.rail = any(z.rails) and k.currency = any(z.currency_codes)
             and (x.capabilities -> 'supported_currencies') ? k.currency::text) as e on true
      left join lateral (
          select d.begins_at, d.ends_at from mesh.declared_outages as d
           where d.bank_profile_id = k.bank_profile_id and d.begins_at <= now()
             and (d.ends_at is null or d.ends_at > now())
             and coalesce(d.rail, k.rail) = k.rail and coalesce(d.currency, k.currency) = k.currency
           order by d.begins_at limit 1) as o on true
      left join lateral (
          select array_agg(l.health_score order by l.checked_at) as scores
            from mesh.bank_health_logs as l
           where (l.bank_profile_id, l.rail, l.currency) = (k.bank_profile_id, k.rail, k.currency)
             and l.checked_at > now() - interval '60 minutes' and l.health_score is not null) as t on true
"""

LIST_STANDINGS = Query(
    "/* mesh.list_standings */"
    + _STANDINGS
    + """
     where (:bank::text is null or b.id = :bank)
     order by k.currency, k.rail, b.name, b.id
     limit :limit
    """,
    row=StandingRow,
)


@dataclass(frozen=True, slots=True)
class RouteInForceRow:
    currency: str
    rail: str
    min_amount: int
    max_amount: int | None
    bank_profile_ids: list[str]
    cause: str
    in_force_from: datetime


LIST_ROUTES = Query(
    """
    /* mesh.list_routes_in_force */
    select currency, rail, min_amount, max_amount, bank_profile_ids, cause, in_force_from
      from payments.bank_routes
     where replaced_at is null
     order by currency, rail, min_amount
     limit :limit
    """,
    row=RouteInForceRow,
)


@dataclass(frozen=True, slots=True)
class RegionNowRow:
    """How a region decides, and whether anybody has stopped it."""

    id: str
    name: str
    members: int
    policy_id: str | None
    policy_name: str | None
    mode: str | None
    threshold: Decimal | None
    stopped_by: str | None
    stopped_reason: str | None
    applied_last_hour: int


LIST_REGIONS = Query(
    """
    /* mesh.list_regions_now */
    select r.id, r.name,
           (select count(*) from mesh.mesh_members as m
             where m.mesh_region_id = r.id and m.status = 'active')::int as members,
           p.id as policy_id, p.name as policy_name, p.mode, p.auto_confidence_threshold as threshold,
           s.scope as stopped_by, s.reason as stopped_reason,
           (select count(*) from mesh.mesh_action_logs as a
             where a.mesh_region_id = r.id and a.created_at > now() - interval '1 hour'
               and a.action_type in ('apply_route', 'failover') and a.result in ('success', 'partial'))::int
               as applied_last_hour
      from mesh.mesh_regions as r
      left join lateral (
          select id, name, mode, auto_confidence_threshold from mesh.mesh_policies
           where mesh_region_id = r.id and active order by priority, id limit 1) as p on true
      left join lateral (
          select scope, reason from mesh.kill_switches
           where is_engaged and scope in ('global', 'region:' || r.id, 'policy:' || p.id)
           order by scope limit 1) as s on true
     order by 3 desc, r.name
     limit :limit
    """,
    row=RegionNowRow,
)


@dataclass(frozen=True, slots=True)
class OpenProposalRow:
    id: str
    mesh_region_id: str
    region_name: str
    currency: str
    rail: str
    kind: str
    status: str
    from_bank: str | None
    to_bank: str | None
    confidence: Decimal
    p_down: float
    shift_share: int
    created_by: str
    created_at: datetime
    expires_at: datetime
    is_expired: bool


_PROPOSALS = """
    select p.id, p.mesh_region_id, r.name as region_name, p.currency, p.rail, p.kind, p.status,
           f.name as from_bank, t.name as to_bank, p.confidence, p.p_down, p.shift_share, p.created_by,
           p.created_at, p.expires_at,
           p.status in ('proposed', 'simulated', 'approved') and p.expires_at <= now() as is_expired
      from mesh.mesh_routing_proposals as p
      join mesh.mesh_regions as r on r.id = p.mesh_region_id
      left join payments.bank_profiles as f on f.id = p.from_bank_id
      left join payments.bank_profiles as t on t.id = p.to_bank_id
"""

# To be decided, or being shifted step by step.
LIST_OPEN_PROPOSALS = Query(
    "/* mesh.list_open_proposals */"
    + _PROPOSALS
    + """
     where (p.status in ('proposed', 'simulated', 'approved') and p.expires_at > now())
        or (p.status = 'applied' and p.shift_due_at is not null)
     order by p.created_at desc
     limit :limit
    """,
    row=OpenProposalRow,
)

# Which tab shows what: 'open' is what can still be decided.
LIST_PROPOSALS = Query(
    "/* mesh.list_proposals_shown */"
    + _PROPOSALS
    + """
     where (:region::text is null or p.mesh_region_id = :region)
       and (:currency::text is null or p.currency = :currency)
       and case :show::text
               when 'open' then p.status in ('proposed', 'simulated', 'approved') and p.expires_at > now()
               when 'expired' then p.status in ('proposed', 'simulated', 'approved') and p.expires_at <= now()
               when 'all' then true
               else p.status = :show end
       and (p.created_at, p.id) < (:at::timestamptz, :id::text)
     order by p.created_at desc, p.id desc
     limit :limit
    """,
    row=OpenProposalRow,
)


@dataclass(frozen=True, slots=True)
class HourRow:
    """What was tried within the last hour, what waits for a bank, and who paid how much."""

    tried: int
    failed: int
    timeouts: int
    waiting: int
    under_way: int
    without_bank: int
    reconciling: int
    overdue: int


COUNT_HOUR = Query(
    """
    /* mesh.count_hour */
    select coalesce(l.tried, 0)::int as tried, coalesce(l.failed, 0)::int as failed,
           coalesce(l.timeouts, 0)::int as timeouts, p.waiting, p.under_way, p.without_bank,
           r.reconciling, r.overdue
      from (select sum(attempts) as tried, sum(failures) as failed, sum(timeouts) as timeouts
              from mesh.bank_health_logs where checked_at > now() - interval '60 minutes') as l,
           (select count(*) filter (where state <> 'in_transit')::int as waiting,
                   count(*) filter (where state = 'in_transit')::int as under_way,
                   count(*) filter (where state <> 'in_transit' and bank_profile_id is null)::int as without_bank
              from payments.payouts
             where origin = 'molam' and state in ('scheduled', 'held', 'pending', 'in_transit')) as p,
           (select count(*)::int as reconciling,
                   count(*) filter (where promised_settlement < now())::int as overdue
              from mesh.mesh_reconciliations where reconciliation_status = 'pending') as r
    """,
    row=HourRow,
)


@dataclass(frozen=True, slots=True)
class LatestActionRow:
    id: str
    action_type: str
    region_name: str | None
    proposal_id: str | None
    actor_type: str
    actor_id: str
    actor_name: str | None
    affected_count: int
    affected_value: int
    currency: str | None
    from_bank: str | None
    to_bank: str | None
    result: str
    duration_ms: int | None
    created_at: datetime


ACTIONS = """
    select a.id, a.action_type, r.name as region_name, a.routing_proposal_id as proposal_id,
           a.actor_type, a.actor_id, n.name as actor_name, a.affected_count, a.affected_value,
           p.currency, f.name as from_bank, t.name as to_bank, a.result, a.duration_ms, a.created_at
      from mesh.mesh_action_logs as a
      left join mesh.mesh_regions as r on r.id = a.mesh_region_id
      left join mesh.mesh_routing_proposals as p on p.id = a.routing_proposal_id
      left join payments.bank_profiles as f on f.id = p.from_bank_id
      left join payments.bank_profiles as t on t.id = p.to_bank_id
      left join tenancy.people as n on n.id = a.actor_id
"""

LIST_LATEST_ACTIONS = Query(
    "/* mesh.list_latest_actions */"
    + ACTIONS
    + " order by a.created_at desc, a.id desc limit :limit",
    row=LatestActionRow,
)
