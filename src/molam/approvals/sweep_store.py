"""The statements with which jobs find what is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from molam.approvals.store import InsertedRow
from molam.platform.db import Query
from molam.platform.db.locks import Rank

NEXT_DUE = Query(
    """
    /* approvals.next_due */
    select id
      from approvals.ops_actions
     where (state in ('pending', 'blocked')
            and (expires_at <= clock_timestamp() or escalates_at <= clock_timestamp()))
        or (state in ('approved', 'scheduled', 'failed')
            and execution_deadline <= clock_timestamp())
     order by expires_at, id
     limit 1
       for update skip locked
    """,
    row=InsertedRow,
    locks=Rank.APPROVAL,
)

NEXT_ABANDONED = Query(
    """
    /* approvals.next_abandoned */
    select id
      from approvals.ops_actions
     where state = 'executing'
       and lease_until <= clock_timestamp()
     order by lease_until
     limit 1
       for update skip locked
    """,
    row=InsertedRow,
    locks=Rank.APPROVAL,
)


@dataclass(frozen=True, slots=True)
class ExecutableRow:
    id: UUID
    retry_for: str | None


# What is frozen is passed over, so that a hundred of one type do not keep others waiting.
LIST_EXECUTABLE = Query(
    """
    /* approvals.list_executable */
    select id, case when state = 'failed' then executed_by end as retry_for
      from approvals.ops_actions as a
     where ((state in ('approved', 'scheduled')
             and auto_execute
             and coalesce(not_before, decided_at) <= clock_timestamp())
            or (state = 'failed' and next_attempt_at <= clock_timestamp()))
       and (a.action_type = 'LIFT_FREEZE'
            or not exists (
                select from approvals.freezes as f
                 where f.ended_at is null
                   and f.starts_at <= clock_timestamp()
                   and (f.ends_at is null or f.ends_at > clock_timestamp())
                   and (f.action_types = '{}' or a.action_type = any(f.action_types))))
     order by decided_at, id
     limit :limit
    """,
    row=ExecutableRow,
)


@dataclass(frozen=True, slots=True)
class UnverifiedRow:
    id: UUID
    action_type: str
    params: dict[str, Any]


# A type that has left the registry must not keep others waiting.
LIST_UNVERIFIED = Query(
    """
    /* approvals.list_unverified */
    select id, action_type, params
      from approvals.ops_actions
     where state = 'executed'
       and verify_at <= clock_timestamp()
       and action_type = any(:known)
     order by verify_at
     limit :limit
    """,
    row=UnverifiedRow,
)
