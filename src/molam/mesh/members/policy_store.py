"""The statements about policies and kill switches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PolicyRow:
    id: str
    mesh_region_id: str
    region_name: str
    region_is_auto: bool
    name: str
    description: str
    mode: str
    auto_confidence_threshold: Decimal
    rules: dict[str, Any]
    priority: int
    active: bool
    version: int
    created_by: str
    ops_action_id: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class VersionRow:
    policy_id: str
    version: int
    document: dict[str, Any]
    changed_by: str
    action_id: str | None
    replaced_at: datetime


@dataclass(frozen=True, slots=True)
class SwitchRow:
    scope: str
    is_engaged: bool
    reason: str
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class TakenRow:
    is_taken: bool


@dataclass(frozen=True, slots=True)
class LockedRow:
    id: str


_POLICY = """
    select p.id, p.mesh_region_id, r.name as region_name, r.auto_failover_enabled as region_is_auto,
           p.name, p.description, p.mode, p.auto_confidence_threshold, p.rules, p.priority, p.active,
           p.version, p.created_by, p.ops_action_id, p.created_at, p.updated_at
      from mesh.mesh_policies as p
      join mesh.mesh_regions as r on r.id = p.mesh_region_id"""

LIST_POLICIES = Query(
    "/* mesh.list_policies */"
    + _POLICY
    + """
     where :region::text is null or :region::text in (r.id, r.name)
     order by p.mesh_region_id, p.priority, p.id
     limit :limit""",
    row=PolicyRow,
)

FIND_POLICY = Query(
    "/* mesh.find_policy */" + _POLICY + " where p.id = :id",
    row=PolicyRow,
)

# The smallest number decides; what is not active decides nothing.
FIND_DECIDING = Query(
    "/* mesh.find_deciding_policy */"
    + _POLICY
    + """
     where p.mesh_region_id = :region_id and p.active
     order by p.priority, p.id
     limit 1""",
    row=PolicyRow,
)

# Whoever changes a policy of a region sees what decides there, and changes it alone.
LOCK_REGION = Query(
    """
    /* mesh.lock_region */
    select id from mesh.mesh_regions where id = :region_id for update
    """,
    row=LockedRow,
    locks=Rank.BANK_ROUTE,
)

INSERT_POLICY = Query(
    """
    /* mesh.insert_policy */
    insert into mesh.mesh_policies
           (id, mesh_region_id, name, description, mode, auto_confidence_threshold, rules, priority,
            active, created_by, ops_action_id)
    values (:id, :region_id, :name, :description, :mode, :auto_confidence_threshold::numeric, :rules::jsonb,
            :priority, :active, :by, :action_id)
        on conflict do nothing
    """,
    row=Nothing,
)

KEEP_VERSION = Query(
    """
    /* mesh.keep_policy_version */
    insert into mesh.mesh_policy_history (policy_id, version, document, changed_by, action_id)
    values (:policy_id, :version, :document::jsonb, :by, :action_id)
    """,
    row=Nothing,
)

SET_POLICY = Query(
    """
    /* mesh.set_policy */
    update mesh.mesh_policies
       set name = :name, description = :description, mode = :mode,
           auto_confidence_threshold = :auto_confidence_threshold::numeric, rules = :rules::jsonb,
           priority = :priority, active = :active, ops_action_id = :action_id,
           version = version + 1, updated_at = now()
     where id = :id and version = :version
       and not exists (select from mesh.mesh_policies as other
                        where other.mesh_region_id = mesh_policies.mesh_region_id
                          and other.name = :name and other.id <> :id)
    """,
    row=Nothing,
)

LIST_VERSIONS = Query(
    """
    /* mesh.list_policy_versions */
    select policy_id, version, document, changed_by, action_id, replaced_at
      from mesh.mesh_policy_history
     where policy_id = :policy_id
     order by version desc
     limit :limit
    """,
    row=VersionRow,
)

SET_REGION = Query(
    """
    /* mesh.set_region */
    update mesh.mesh_regions
       set auto_failover_enabled = :auto_failover_enabled, approval_threshold = :approval_threshold,
           allowed_crossborder = :allowed_crossborder, updated_at = now()
     where id = :id
    """,
    row=Nothing,
)

# Note [A switch that is not there yet]
#
# A row that does not exist cannot be locked. So whoever acts shares an advisory lock, and
# whoever engages or releases a switch holds it alone: a switch that is engaged while
# somebody acts takes effect after that, and nobody who comes later misses it.
SHARE_SWITCHES = Query(
    """
    /* mesh.share_switches */
    select pg_advisory_xact_lock_shared(hashtextextended('mesh.switches', 0)) is not null as is_taken
    """,
    row=TakenRow,
    locks=Rank.BANK_ROUTE,
)

LOCK_SWITCHES = Query(
    """
    /* mesh.lock_switches */
    select pg_advisory_xact_lock(hashtextextended('mesh.switches', 0)) is not null as is_taken
    """,
    row=TakenRow,
    locks=Rank.BANK_ROUTE,
)

# The widest first. Members are switched off by their own ids, and asked about by their banks'.
FIND_ENGAGED = Query(
    """
    /* mesh.find_engaged */
    select k.scope, k.is_engaged, k.reason, k.changed_by, k.changed_at
      from mesh.kill_switches as k
     where k.is_engaged
       and (k.scope = any(:scopes::text[])
            or exists (select from mesh.mesh_members as m
                        where m.mesh_region_id = :region_id and k.scope = 'member:' || m.id
                          and (m.bank_profile_id = any(:bank_ids::text[]) or m.id = any(:bank_ids::text[]))))
     order by array_position(:scopes::text[], k.scope) nulls last, k.scope
     limit 1
    """,
    row=SwitchRow,
)

FIND_SWITCH = Query(
    """
    /* mesh.find_switch */
    select scope, is_engaged, reason, changed_by, changed_at
      from mesh.kill_switches
     where scope = :scope
    """,
    row=SwitchRow,
)

LIST_SWITCHES = Query(
    """
    /* mesh.list_switches */
    select scope, is_engaged, reason, changed_by, changed_at
      from mesh.kill_switches
     order by is_engaged desc, scope
     limit :limit
    """,
    row=SwitchRow,
)

PUT_SWITCH = Query(
    """
    /* mesh.put_switch */
    insert into mesh.kill_switches as k (scope, is_engaged, reason, changed_by)
    values (:scope, :is_engaged, :reason, :by)
        on conflict (scope) do update
       set is_engaged = excluded.is_engaged, reason = excluded.reason,
           changed_by = excluded.changed_by, changed_at = now()
     where k.is_engaged <> excluded.is_engaged
    """,
    row=Nothing,
)
