"""Every statement about drills."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DrillRow:
    id: str
    bank_profile_id: str
    bank_name: str
    endpoint_url: str
    currency_codes: list[str]
    rails: list[str]
    connector: str
    severity: Decimal
    minutes: int
    payouts: int
    state: str
    temper: dict[str, Any] | None
    reason: str | None
    started_by: str
    asked_at: datetime
    began_at: datetime | None
    ends_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class IdRow:
    id: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """When each step of an outage happened; None while it has not."""

    now: datetime
    first_failure_at: datetime | None
    detected_at: datetime | None
    proposal_id: str | None
    proposal_status: str | None
    decided_at: datetime | None
    applied_at: datetime | None
    asks_people: bool
    moved: int
    moved_value: int
    taken_back: int
    left_behind: int
    reconciled: int
    reconciled_at: datetime | None
    paid: int
    made: int


ADD = Query(
    """
    /* drills.add */
    insert into mesh.drills (id, bank_profile_id, severity, minutes, payouts, started_by)
    select :id, b.id, :severity, :minutes, :payouts, :started_by
      from payments.bank_profiles as b
     where b.id = :bank_profile_id
        on conflict do nothing
    returning id
    """,
    row=IdRow,
)

_COLUMNS = """d.id, d.bank_profile_id, b.name as bank_name, b.endpoint_url, b.currency_codes, b.rails, b.connector, d.severity,
           d.minutes, d.payouts, d.state, d.temper, d.reason, d.started_by, d.asked_at, d.began_at, d.ends_at, d.ended_at"""

FIND = Query(
    "/* drills.find */ select "
    + _COLUMNS
    + """
      from mesh.drills d join payments.bank_profiles b on b.id = d.bank_profile_id
     where d.id = :id""",
    row=DrillRow,
)

LIST_NEWEST = Query(
    "/* drills.list_newest */ select "
    + _COLUMNS
    + """
      from mesh.drills d join payments.bank_profiles b on b.id = d.bank_profile_id
     order by d.asked_at desc limit :limit""",
    row=DrillRow,
)


@dataclass(frozen=True, slots=True)
class BankRow:
    id: str
    name: str


LIST_BREAKABLE = Query(
    """
    /* drills.list_breakable */
    select id, name from payments.bank_profiles
     where endpoint_url like '%/banks/%' and connector = 'http_bank' and 'bank' = any(rails)
       and :currency = any(currency_codes) and enabled and status = 'active'
     order by lower(name), id limit :limit
    """,
    row=BankRow,
)

LIST_OVERDUE = Query(
    """
    /* drills.list_overdue */
    select id from mesh.drills where state = 'running' and ends_at <= now() order by ends_at limit :limit
    """,
    row=IdRow,
)

SET_RUNNING = Query(
    """
    /* drills.set_running */
    update mesh.drills
       set state = 'running', temper = :temper, began_at = now(),
           ends_at = now() + make_interval(mins => minutes)
     where id = :id and state = 'asked'
    """,
    row=Nothing,
)

SET_ENDED = Query(
    """
    /* drills.set_ended */
    update mesh.drills
       set state = :state, reason = :reason, ended_at = now()
     where id = :id and state in ('asked', 'running')
    """,
    row=Nothing,
)

# What a drill makes goes to the bank that it breaks, whatever the route in force says.
SET_BANK = Query(
    """
    /* drills.set_bank */
    with pointed as (
        update payments.payouts as p
           set bank_profile_id = :bank_profile_id,
               treasury_account_id = (select a.id
                                        from payments.treasury_accounts as a
                                       where a.bank_profile_id = :bank_profile_id and a.currency = p.currency
                                         and a.account_type = 'payout' and a.status = 'active'),
               version = p.version + 1
         where p.merchant_id = :merchant_id and p.id = any(:payout_ids::text[])
           and p.state in ('scheduled', 'held', 'pending') and p.attempts = 0
        returning p.id
    )
    insert into mesh.drill_payouts (drill_id, payout_id)
    select :drill_id, id from pointed
    """,
    row=Nothing,
)

TIMELINE = Query(
    """
    /* drills.timeline */
    with drill as (
        select d.*, (select array_agg(p.payout_id) from mesh.drill_payouts as p where p.drill_id = d.id) as ids
          from mesh.drills as d
         where d.id = :id
    ), routes as (
        select r.id, r.status, r.created_at, r.applied_at, r.ops_action_id
          from drill as d
          join mesh.mesh_routing_proposals as r
            on r.from_bank_id = d.bank_profile_id and r.created_at >= d.began_at and r.kind = 'failover'
    ), route as (
        select * from routes order by applied_at nulls last, created_at limit 1
    ), touched as (
        select m.original_amount, m.reconciliation_status, m.reconciled_at, m.outcome
          from mesh.mesh_reconciliations as m
          join drill as d on m.payout_id = any(d.ids)
         where m.routing_proposal_id in (select id from routes)
    ), led as (
        select * from touched where outcome is distinct from 'rolled_back'
    )
    select now() as now,
           (select min(e.at)
              from payments.payout_events as e
             where e.merchant_id = :merchant_id and e.payout_id = any(d.ids)
               and e.what in ('in_doubt', 'failed', 'rejected')) as first_failure_at,
           (select min(x.created_at)
              from mesh.bank_health_predictions as x
             where x.bank_profile_id = d.bank_profile_id and x.created_at >= d.began_at
               and x.p_down >= 0.8) as detected_at,
           (select id from route) as proposal_id,
           (select status from route) as proposal_status,
           (select created_at from route) as decided_at,
           -- A gradual route is applied when its last step is.
           (select max(a.completed_at) from mesh.mesh_action_logs as a
             where a.routing_proposal_id in (select id from routes)
               and a.action_type <> 'rollback' and a.result in ('success', 'partial')) as applied_at,
           coalesce((select status in ('proposed', 'simulated') and ops_action_id is not null
                       from route), false) as asks_people,
           (select count(*) from led)::int as moved,
           (select coalesce(sum(original_amount), 0) from led)::bigint as moved_value,
           (select count(*) from touched where outcome = 'rolled_back')::int as taken_back,
           (select count(*) from payments.payouts as p
             where p.merchant_id = :merchant_id and p.id = any(d.ids)
               and p.bank_profile_id = d.bank_profile_id
               and p.state in ('scheduled', 'held', 'pending'))::int as left_behind,
           (select count(*) from led where reconciliation_status <> 'pending')::int as reconciled,
           (select max(reconciled_at) from led) as reconciled_at,
           (select count(*) from payments.payouts as p
             where p.merchant_id = :merchant_id and p.id = any(d.ids) and p.state = 'paid')::int as paid,
           coalesce(cardinality(d.ids), 0)::int as made
      from drill as d
    """,
    row=TimelineRow,
)
