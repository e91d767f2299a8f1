"""The statements of attempts to carry out, and of what keeps them from beginning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query
from molam.platform.db.locks import Rank
from molam.platform.db.transaction import Nothing

BEGIN_ATTEMPT = Query(
    """
    /* approvals.begin_attempt */
    insert into approvals.execution_attempts (ops_action_id, fence, worker, started_by, began_at)
    values (:ops_action_id, :fence, :worker, :started_by, :began_at)
    """,
    row=Nothing,
)

END_ATTEMPT = Query(
    """
    /* approvals.end_attempt */
    update approvals.execution_attempts
       set ended_at = clock_timestamp(),
           outcome = :outcome,
           error = :error
     where ops_action_id = :ops_action_id
       and fence = :fence
       and ended_at is null
    """,
    row=Nothing,
)

EXTEND_LEASE = Query(
    """
    /* approvals.extend_lease */
    update approvals.ops_actions
       set lease_until = clock_timestamp() + make_interval(secs => :seconds::float8)
     where id = :id
       and fence = :fence
       and state = 'executing'
    """,
    row=Nothing,
    locks=Rank.APPROVAL,
)


@dataclass(frozen=True, slots=True)
class FreezeRow:
    reason: str
    ends_at: datetime | None


FIND_FREEZE = Query(
    """
    /* approvals.find_freeze */
    select reason, ends_at
      from approvals.freezes
     where ended_at is null
       and starts_at <= clock_timestamp()
       and (ends_at is null or ends_at > clock_timestamp())
       and (action_types = '{}' or :action_type = any(action_types))
     order by ends_at desc nulls first
     limit 1
    """,
    row=FreezeRow,
)
