"""The statements that measure: each reads every tenant at once, at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from molam.alerts.rules.model import TenantType
from molam.platform.db import Query, Rank


@dataclass(frozen=True, slots=True)
class NewsRow:
    metric: str
    tenant_type: TenantType
    tenant_id: str
    currency: str


@dataclass(frozen=True, slots=True)
class FloatRow:
    agent_id: str
    currency: str
    balance: int
    at: datetime


@dataclass(frozen=True, slots=True)
class CountsRow:
    """*hits* of *trials*, of one tenant."""

    tenant_id: str
    hits: int
    trials: int
    at: datetime


@dataclass(frozen=True, slots=True)
class ScoreRow:
    merchant_id: str
    score: Decimal
    scores: int
    at: datetime


@dataclass(frozen=True, slots=True)
class HeldRow:
    events: int
    jobs: int
    at: datetime


@dataclass(frozen=True, slots=True)
class BankHoursRow:
    """The last hour of a bank, and the fortnight before it."""

    bank_profile_id: str
    last_hits: int
    last_trials: int
    usual_hits: int
    usual_trials: int
    at: datetime


TAKE_NEWS = Query(
    """
    /* sources.take_news */
    insert into alerts.told_values as t
           (metric, tenant_type, tenant_id, currency, value, told_at)
    select n.metric, n.tenant_type, n.tenant_id, n.currency, n.value, n.at
      from unnest(:metrics::text[], :tenant_types::text[], :tenant_ids::text[], :currencies::text[],
                  :values::numeric[], :ats::timestamptz[])
           as n (metric, tenant_type, tenant_id, currency, value, at)
     -- What is told only when it changes begins with something to tell.
     where :heartbeat_s::float8 is not null or n.value <> 0
        or exists (select from alerts.told_values as o
                    where (o.metric, o.tenant_type, o.tenant_id, o.currency)
                        = (n.metric, n.tenant_type, n.tenant_id, n.currency))
     order by n.metric, n.tenant_type, n.tenant_id, n.currency
        on conflict (metric, tenant_type, tenant_id, currency) do update
       set value = excluded.value, told_at = excluded.told_at
     where t.value <> excluded.value
        or t.told_at <= excluded.told_at - make_interval(secs => :heartbeat_s::float8)
    returning t.metric, t.tenant_type, t.tenant_id, t.currency
    """,
    row=NewsRow,
    locks=Rank.METRIC_SERIES,
)

# Note [What moved last is measured last]
#
# now() is when the transaction began, and what it reads became true before or after. One
# that misses a movement began before that was committed; the job that the movement asks for
# begins after it. So by their times the job's measurement is the later one, and it wins,
# whichever of them arrives first.

_FLOATS = """
    select g.id as agent_id, a.currency, a.balance, now() as at
      from tenancy.agents as g
      join ledger.accounts as a
        on a.id = 'agent:' || g.id || ':float:' || g.currency and a.kind = 'agent_float'
     where g.status = 'active'"""

MEASURE_FLOATS = Query(
    "/* sources.measure_floats */" + _FLOATS + " order by g.id",
    row=FloatRow,
)

MEASURE_FLOAT = Query(
    "/* sources.measure_float */" + _FLOATS + " and a.id = :account_id",
    row=FloatRow,
)

# Of what banks have told us: the day before the newest statement, since they come by day.
MEASURE_MATCHES = Query(
    """
    /* sources.measure_matches */
    with newest as (
        select bank_profile_id, max(imported_at) as at
          from payments.statements
         where imported_at > now() - interval '7 days' and matched_at is not null and discarded_at is null
         group by bank_profile_id
    )
    select l.bank_profile_id as tenant_id,
           count(*) filter (where l.state = 'matched')::int as hits, count(*)::int as trials, now() as at
      from newest as n
      join payments.statements as s
        on s.bank_profile_id = n.bank_profile_id and s.imported_at > n.at - interval '1 day'
       and s.matched_at is not null and s.discarded_at is null
      join payments.statement_lines as l on l.statement_id = s.id and l.state <> 'void'
     group by l.bank_profile_id
    having count(*) >= :trials_min
     order by l.bank_profile_id
    """,
    row=CountsRow,
)

MEASURE_FAILURES = Query(
    """
    /* sources.measure_failures */
    select bank_profile_id as tenant_id, least(sum(failures), sum(attempts))::int as hits,
           sum(attempts)::int as trials, now() as at
      from mesh.bank_health_logs
     where checked_at > now() - interval '60 minutes' and attempts > 0
     group by bank_profile_id
    having sum(attempts) >= :trials_min
     order by bank_profile_id
    """,
    row=CountsRow,
)

# Whoever it is about, whether the asking module said so or its payload does.
MEASURE_FRAUD = Query(
    """
    /* sources.measure_fraud */
    with scored as (
        select m.id as merchant_id, r.sira_score,
               row_number() over (partition by m.id order by r.created_at desc, r.id desc) as place
          from approvals.approvals_action as r
          join tenancy.merchants as m
            on m.id = coalesce(r.payload ->> 'merchant_id', r.origin_entity_id)
         where r.sira_score is not null and r.created_at > now() - interval '24 hours'
    )
    select merchant_id, round(avg(sira_score) / 100, 6) as score, count(*)::int as scores, now() as at
      from scored
     where place <= :latest_max
     group by merchant_id
    having count(*) >= :scores_min
     order by merchant_id
    """,
    row=ScoreRow,
)

COUNT_HELD = Query(
    """
    /* sources.count_held */
    select (select count(*) from platform.dead_letters where requeued_at is null)::int as events,
           (select count(*) from jobs.pgqueuer where status = 'failed')::int as jobs,
           now() as at
    """,
    row=HeldRow,
)

LIST_BANK_HOURS = Query(
    """
    /* sources.list_bank_hours */
    select bank_profile_id,
           least(coalesce(sum(failures) filter (where checked_at > now() - interval '60 minutes'), 0),
                 coalesce(sum(attempts) filter (where checked_at > now() - interval '60 minutes'), 0))::int
               as last_hits,
           coalesce(sum(attempts) filter (where checked_at > now() - interval '60 minutes'), 0)::int as last_trials,
           coalesce(sum(failures) filter (where checked_at <= now() - interval '60 minutes'), 0)::int as usual_hits,
           coalesce(sum(attempts) filter (where checked_at <= now() - interval '60 minutes'), 0)::int as usual_trials,
           now() as at
      from mesh.bank_health_logs
     where checked_at > now() - make_interval(days => :days) and attempts > 0
     group by bank_profile_id
     order by bank_profile_id
    """,
    row=BankHoursRow,
)
