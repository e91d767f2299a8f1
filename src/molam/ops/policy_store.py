"""What the console reads of policies, those out of force among them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.ops.store import COLUMNS, ActionRow
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class PolicyRow:
    id: UUID
    name: str
    description: str
    criteria: dict[str, Any]
    policy: dict[str, Any]
    priority: int
    enabled: bool
    baseline: bool
    version: int
    updated_at: datetime
    is_deleted: bool


_POLICY = """id, name, description, criteria, policy, priority, enabled, baseline, version,
           updated_at, deleted_at is not null as is_deleted"""

LIST_POLICIES = Query(
    f"""
    /* ops.list_policies */
    select {_POLICY}
      from approvals.approval_policies
     where deleted_at is null
     order by priority desc, created_at, id
     limit 500
    """,
    row=PolicyRow,
)

FIND_POLICY = Query(
    f"""
    /* ops.find_policy */
    select {_POLICY}
      from approvals.approval_policies
     where id = :id
    """,
    row=PolicyRow,
)


@dataclass(frozen=True, slots=True)
class VersionRow:
    version: int
    change: str
    changed_by: str
    changed_by_name: str | None
    changed_at: datetime
    hash: str
    action_id: UUID | None


LIST_VERSIONS = Query(
    """
    /* ops.list_versions */
    select v.version, v.change, v.changed_by, p.name as changed_by_name, v.changed_at,
           encode(v.hash, 'hex') as hash, v.action_id
      from approvals.policy_versions v
      left join tenancy.people p on p.id = v.changed_by
     where v.policy_id = :policy_id
     order by v.version desc
     limit 100
    """,
    row=VersionRow,
)

LIST_DECIDED = Query(
    f"""
    /* ops.list_decided */
    select {COLUMNS}
      from approvals.ops_actions a
      left join tenancy.people p on p.id = a.created_by
     where a.policy_id = :policy_id
     order by a.created_at desc, a.id desc
     limit :limit
    """,
    row=ActionRow,
)
