"""Every statement about plans of rebalancing, and transfers between our accounts at banks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PlanRow:
    id: str
    mesh_region_id: str | None
    first_day: date
    days: int
    state: str
    effects: list[dict[str, object]]
    shortages: list[dict[str, object]]
    cost_bps: Decimal
    notes: list[str]
    took_ms: int
    failure: str | None
    ops_action_id: str | None
    steps: int
    created_by: str
    created_at: datetime
    executed_by: str | None
    executed_at: datetime | None


@dataclass(frozen=True, slots=True)
class StepRow:
    plan_id: str
    step_no: int
    day: date
    kind: str
    from_bank_id: str | None
    from_bank: str | None
    to_bank_id: str
    to_bank: str
    pool_id: str | None
    pool: str | None
    amount: int
    currency: str
    arrives: int
    to_currency: str
    arrives_on: date
    cost: int
    why: dict[str, object]


@dataclass(frozen=True, slots=True)
class ArcRow:
    from_bank_id: str
    to_bank_id: str
    from_currency: str
    to_currency: str
    is_open: bool
    cost_bps: Decimal
    fixed_cost: int
    amount_max: int | None
    lag_days: int


@dataclass(frozen=True, slots=True)
class TodayRow:
    today: date


@dataclass(frozen=True, slots=True)
class RegionRow:
    id: str
    allowed_crossborder: bool


@dataclass(frozen=True, slots=True)
class TransferRow:
    id: str
    reference: str
    plan_id: str | None
    step_no: int | None
    from_bank_id: str
    from_bank: str
    to_bank_id: str
    to_bank: str
    amount: int
    currency: str
    arrives: int
    to_currency: str
    expected_on: date
    state: str
    sent_by: str
    sent_at: datetime
    seen_leaving_at: datetime | None
    received_at: datetime | None
    confirmed_by: str | None


@dataclass(frozen=True, slots=True)
class ComingRow:
    bank_profile_id: str
    currency: str
    day: date
    amount: int


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line of a statement that names one of our own movements, with its very amount."""

    line_id: int
    statement_id: UUID
    line_no: int
    bank_profile_id: str
    currency: str
    movement_id: str
    is_transfer: bool
    leaves: bool


_PLAN = """
    select p.id, p.mesh_region_id, p.first_day, p.days::int as days, p.state, p.effects, p.shortages, p.cost_bps,
           p.notes, p.took_ms, p.failure, p.ops_action_id,
           (select count(*) from mesh.rebalancing_steps as s where s.plan_id = p.id)::int as steps,
           p.created_by, p.created_at, p.executed_by, p.executed_at
      from mesh.rebalancing_plans as p
"""
_STEP = """
    select s.plan_id, s.step_no, s.day, s.kind, s.from_bank_id, f.name as from_bank, s.to_bank_id, b.name as to_bank,
           s.pool_id, l.name as pool, s.amount, s.currency, s.arrives, s.to_currency, s.arrives_on, s.cost, s.why
      from mesh.rebalancing_steps as s
      join payments.bank_profiles as b on b.id = s.to_bank_id
      left join payments.bank_profiles as f on f.id = s.from_bank_id
      left join mesh.mesh_liquidity_pools as l on l.id = s.pool_id
"""
_TRANSFER = """
    select t.id, t.reference, t.plan_id, t.step_no, t.from_bank_id, f.name as from_bank, t.to_bank_id,
           b.name as to_bank, t.amount, t.currency, t.arrives, t.to_currency, t.expected_on, t.state, t.sent_by,
           t.sent_at, t.seen_leaving_at, t.received_at, t.confirmed_by
      from mesh.bank_transfers as t
      join payments.bank_profiles as f on f.id = t.from_bank_id
      join payments.bank_profiles as b on b.id = t.to_bank_id
"""

LIST_PLANS = Query(
    f"""
    /* liquidity.list_plans */
    {_PLAN}
     order by p.created_at desc, p.id desc
     limit :limit
    """,
    row=PlanRow,
)

FIND_PLAN = Query(
    f"""
    /* liquidity.find_plan */
    {_PLAN}
     where p.id = :id
    """,
    row=PlanRow,
)

LOCK_PLAN = Query(
    """
    /* liquidity.lock_plan */
    select from mesh.rebalancing_plans where id = :id for update
    """,
    row=Nothing,
    locks=Rank.LIQUIDITY_POOL,
)

LIST_STEPS = Query(
    f"""
    /* liquidity.list_steps */
    {_STEP}
     where s.plan_id = :plan_id
     order by s.step_no
    """,
    row=StepRow,
)

# A newer plan stands on newer positions; one that people are deciding on stays as it is.
SUPERSEDE = Query(
    """
    /* liquidity.supersede_plans */
    update mesh.rebalancing_plans
       set state = 'superseded'
     where state in ('ready', 'nothing_to_do') and id <> :id
       and mesh_region_id is not distinct from :mesh_region_id::text
    """,
    row=Nothing,
)

INSERT_PLAN = Query(
    """
    /* liquidity.insert_plan */
    insert into mesh.rebalancing_plans
           (id, mesh_region_id, first_day, days, state, effects, shortages, cost_bps, notes, took_ms, created_by)
    values (:id, :mesh_region_id, :first_day, :days, :state, :effects::jsonb, :shortages::jsonb, :cost_bps,
            :notes::text[], :took_ms, :by)
    """,
    row=Nothing,
)

INSERT_STEPS = Query(
    """
    /* liquidity.insert_steps */
    insert into mesh.rebalancing_steps
           (plan_id, step_no, day, kind, from_bank_id, to_bank_id, pool_id, amount, currency, arrives, to_currency,
            arrives_on, cost, why)
    select :plan_id, t.step_no, t.day, t.kind, t.from_bank_id, t.to_bank_id, t.pool_id, t.amount, t.currency,
           t.arrives, t.to_currency, t.arrives_on, t.cost, t.why
      from jsonb_to_recordset(:rows::jsonb) as t(
           step_no int, day date, kind text, from_bank_id text, to_bank_id text, pool_id text, amount bigint,
           currency text, arrives bigint, to_currency text, arrives_on date, cost bigint, why jsonb)
    """,
    row=Nothing,
)

SET_PLAN = Query(
    """
    /* liquidity.set_plan */
    update mesh.rebalancing_plans
       set state = :state::text, failure = :failure::text,
           ops_action_id = coalesce(:action_id::text, ops_action_id),
           executed_by = case when :state::text = 'executed' then :by::text end,
           executed_at = case when :state::text = 'executed' then now() end
     where id = :id and state in ('ready', 'waiting')
    """,
    row=Nothing,
)

CLEAR_DUALS = Query(
    """
    /* liquidity.clear_duals */
    delete from mesh.dual_prices
     where (bank_profile_id, currency) in (select * from unnest(:banks::text[], :currencies::text[]))
    """,
    row=Nothing,
)

PUT_DUALS = Query(
    """
    /* liquidity.put_duals */
    insert into mesh.dual_prices (bank_profile_id, currency, price, plan_id)
    select t.bank, t.currency, t.price, :plan_id
      from unnest(:banks::text[], :currencies::text[], :prices::numeric[]) as t(bank, currency, price)
        on conflict (bank_profile_id, currency) do update
       set price = excluded.price, plan_id = excluded.plan_id, computed_at = now()
    """,
    row=Nothing,
)

LIST_ARCS = Query(
    """
    /* liquidity.list_arcs */
    select from_bank_id, to_bank_id, from_currency, to_currency, is_open, cost_bps, fixed_cost, amount_max,
           lag_days::int as lag_days
      from mesh.liquidity_arcs
    """,
    row=ArcRow,
)

READ_TODAY = Query(
    """
    /* liquidity.read_today */
    select (now() at time zone 'UTC')::date as today
    """,
    row=TodayRow,
)

FIND_REGION = Query(
    """
    /* liquidity.find_region */
    select id, allowed_crossborder from mesh.mesh_regions where id = :region or name = :region
    """,
    row=RegionRow,
)

LIST_COMING = Query(
    """
    /* liquidity.list_coming */
    select to_bank_id as bank_profile_id, to_currency as currency, expected_on as day, sum(arrives)::bigint as amount
      from mesh.bank_transfers
     where state = 'sent'
     group by to_bank_id, to_currency, expected_on
    """,
    row=ComingRow,
)

INSERT_TRANSFER = Query(
    """
    /* liquidity.insert_transfer */
    insert into mesh.bank_transfers
           (id, reference, plan_id, step_no, from_bank_id, to_bank_id, amount, currency, arrives, to_currency,
            expected_on, sent_by, sent_at)
    values (:id, :reference, :plan_id, :step_no, :from_bank_id, :to_bank_id, :amount, :currency, :arrives, :to_currency,
            :expected_on, :by, :at)
    """,
    row=Nothing,
)

FIND_TRANSFER = Query(
    f"""
    /* liquidity.find_transfer */
    {_TRANSFER}
     where t.id = :id
    """,
    row=TransferRow,
)

LOCK_TRANSFER = Query(
    """
    /* liquidity.lock_transfer */
    select from mesh.bank_transfers where id = :id for update
    """,
    row=Nothing,
    locks=Rank.LIQUIDITY_POOL,
)

LIST_TRANSFERS = Query(
    f"""
    /* liquidity.list_transfers */
    {_TRANSFER}
     order by t.state = 'received', t.sent_at desc, t.id
     limit :limit
    """,
    row=TransferRow,
)

SET_LEFT = Query(
    """
    /* liquidity.set_left */
    update mesh.bank_transfers set seen_leaving_at = now() where id = :id and seen_leaving_at is null
    """,
    row=Nothing,
)

SET_RECEIVED = Query(
    """
    /* liquidity.set_received */
    update mesh.bank_transfers
       set state = 'received', received_at = now(), confirmed_by = :by
     where id = :id and state = 'sent'
    """,
    row=Nothing,
)

# Lines that nobody has matched, which name one of our own movements and have its very
# amount. A line that somebody once took apart from it again is left to people.
LIST_OWN_LINES = Query(
    """
    /* liquidity.list_own_lines */
    with ours as (
        select t.id, t.reference, t.from_bank_id as bank_profile_id, t.currency, -t.amount as amount, true as is_transfer
          from mesh.bank_transfers as t
         where t.sent_at > now() - interval '60 days'
         union all
        select t.id, t.reference, t.to_bank_id, t.to_currency, t.arrives, true
          from mesh.bank_transfers as t
         where t.sent_at > now() - interval '60 days'
         union all
        select m.id, m.id, m.bank_profile_id, p.currency, case m.kind when 'draw' then m.amount else -m.amount end, false
          from mesh.pool_movements as m
          join mesh.mesh_liquidity_pools as p on p.id = m.pool_id
         where m.state = 'booked' and m.booked_at > now() - interval '60 days'
    )
    select l.id as line_id, l.statement_id, l.line_no, l.bank_profile_id, l.currency, o.id as movement_id,
           o.is_transfer, o.amount < 0 as leaves
      from ours as o
      join payments.statement_lines as l
        on l.bank_profile_id = o.bank_profile_id and l.currency = o.currency and l.amount = o.amount
       and l.state in ('posted', 'mismatched')
       and (l.end_to_end_id = o.reference or l.bank_ref = o.reference or position(o.reference in l.text) > 0)
     where not exists (select from payments.statement_matches as m
                        where m.line_id = l.id and m.kind = 'transfer')
       and not exists (select from payments.statement_matches as m
                        where m.expectation = 'transfer:' || o.id and m.undone_at is null
                          and m.leg = case when o.amount < 0 then 'sent' else 'returned' end)
     order by l.bank_profile_id, l.currency, l.id
     limit :limit
    """,
    row=LineRow,
)
