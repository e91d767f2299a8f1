"""The statements about times in which nothing is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.approvals.store import Told
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class FreezeRow:
    id: UUID
    reason: str
    action_types: list[str]
    starts_at: datetime
    ends_at: datetime | None
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    is_open: bool
    """Not over: in force, or still to begin."""
    in_force: bool


_COLUMNS = """
           id, reason, action_types, starts_at, ends_at, created_by, created_at, ended_at, ended_by,
           ended_at is null and (ends_at is null or ends_at > clock_timestamp()) as is_open,
           ended_at is null and starts_at <= clock_timestamp()
               and (ends_at is null or ends_at > clock_timestamp()) as in_force"""

# Two people reach for the kill switch at once; the second finds it pulled.
LOCK_FREEZES = Query(
    """
    /* approvals.lock_freezes */
    select pg_advisory_xact_lock(hashtext('approvals.freezes'), 0) is not null as done
    """,
    row=Told,
)

FIND_SAME_FREEZE = Query(
    """
    /* approvals.find_same_freeze */
    select """
    + _COLUMNS
    + """
      from approvals.freezes
     where ended_at is null
       and starts_at <= clock_timestamp()
       and action_types = :action_types
       and ends_at is not distinct from :ends_at
     order by created_at
     limit 1
    """,
    row=FreezeRow,
)

INSERT_FREEZE = Query(
    """
    /* approvals.insert_freeze */
    insert into approvals.freezes (
        id, reason, action_types, starts_at, ends_at, created_by, created_at)
    values (:id, :reason, :action_types, :starts_at, :ends_at, :created_by, :now)
    returning """
    + _COLUMNS,
    row=FreezeRow,
)

FIND_FREEZE_BY_ID = Query(
    """
    /* approvals.find_freeze_by_id */
    select """
    + _COLUMNS
    + """
      from approvals.freezes
     where id = :id
    """,
    row=FreezeRow,
)

SET_ENDED = Query(
    """
    /* approvals.set_freeze_ended */
    update approvals.freezes
       set ended_at = clock_timestamp(),
           ended_by = :ended_by
     where id = :id
       and ended_at is null
       and (ends_at is null or ends_at > clock_timestamp())
    returning """
    + _COLUMNS,
    row=FreezeRow,
)

LIST_FREEZES = Query(
    """
    /* approvals.list_freezes */
    select """
    + _COLUMNS
    + """
      from approvals.freezes
     order by ended_at is null and (ends_at is null or ends_at > clock_timestamp()) desc,
              starts_at desc, id
     limit :limit
    """,
    row=FreezeRow,
)


@dataclass(frozen=True, slots=True)
class LiftingRow:
    id: UUID
    target: str
    """``freeze/`` and the freeze's id."""


# What asks for a freeze to be lifted and is still under way: one for each, by the twin.
LIST_LIFTINGS = Query(
    """
    /* approvals.list_liftings */
    select id, target_tenant_id as target
      from approvals.ops_actions
     where action_type = 'LIFT_FREEZE'
       and state in ('pending', 'blocked', 'approved', 'scheduled', 'executing')
    """,
    row=LiftingRow,
)
