"""Statements about emergencies and what came after them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.approvals.store import FIND_ACTION
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing

__all__ = ["FIND_ACTION"]


@dataclass(frozen=True, slots=True)
class UseRow:
    ops_action_id: UUID
    used_by: str
    reason: str
    used_at: datetime
    review_due: datetime
    reviewed_by: str | None
    reviewed_at: datetime | None
    review: str | None


@dataclass(frozen=True, slots=True)
class OperatorRow:
    person_id: str


INSERT_USE = Query(
    """
    /* approvals.insert_break_glass_use */
    insert into approvals.break_glass_uses (ops_action_id, used_by, reason, used_at, review_due)
    values (:ops_action_id, :used_by, :reason, :used_at, :review_due)
    """,
    row=Nothing,
)

FIND_USE = Query(
    """
    /* approvals.find_break_glass_use */
    select ops_action_id, used_by, reason, used_at, review_due, reviewed_by, reviewed_at, review
      from approvals.break_glass_uses
     where ops_action_id = :ops_action_id
    """,
    row=UseRow,
)

SET_REVIEWED = Query(
    """
    /* approvals.set_reviewed */
    update approvals.break_glass_uses
       set reviewed_by = :reviewed_by,
           reviewed_at = :reviewed_at,
           review = :review
     where ops_action_id = :ops_action_id
    """,
    row=Nothing,
)

LIST_OVERDUE = Query(
    """
    /* approvals.list_overdue_reviews */
    select ops_action_id, used_by, reason, used_at, review_due, reviewed_by, reviewed_at, review
      from approvals.break_glass_uses
     where reviewed_at is null
       and review_due <= clock_timestamp()
     order by review_due
     limit 100
    """,
    row=UseRow,
)

LIST_OPERATIONS = Query(
    """
    /* approvals.list_operations */
    select distinct person_id
      from tenancy.role_holders
     where role <> ''
     order by person_id
    """,
    row=OperatorRow,
)
