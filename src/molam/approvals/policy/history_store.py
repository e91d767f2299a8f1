"""The statements that add up what was asked for lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from molam.approvals.store import Told
from molam.platform.db import Query

LOCK_HISTORY = Query(
    """
    /* approvals.lock_history */
    select pg_advisory_xact_lock(hashtext('approvals.history'), hashtext(:action_type)) is not null
           as done
    """,
    row=Told,
)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    at: datetime
    count: int
    total: Decimal


SUM_HISTORY = Query(
    """
    /* approvals.sum_history */
    select clock_timestamp() as at,
           count(*) as count,
           coalesce(sum(case
               when :path::text[] = '{amount}' then (a.plan -> 'amount' ->> 'minor')::numeric
               when jsonb_typeof(a.params #> :path::text[]) = 'object'
                   then (a.params #> :path::text[] ->> 'minor')::numeric
               else (a.params #>> :path::text[])::numeric
           end), 0) as total
      from approvals.ops_actions as a
     where a.action_type = any(:action_types::text[])
       and a.created_at > coalesce(:before::timestamptz, clock_timestamp())
                          - make_interval(secs => :window_s::float8)
       and a.created_at < coalesce(:before::timestamptz, 'infinity')
       and a.state not in ('rejected', 'expired', 'cancelled', 'superseded', 'stale', 'compensated')
       and (:currency::text is null or a.plan -> 'amount' ->> 'currency' = :currency::text)
       and jsonb_build_object(
               'action_type', a.action_type, 'origin', a.origin, 'params', a.params,
               'target_tenant_type', a.target_tenant_type,
               'target_tenant_id', a.target_tenant_id,
               'country', a.plan -> 'country') @> :like::jsonb
    """,
    row=HistoryRow,
)
