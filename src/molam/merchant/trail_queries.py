"""Questions about a merchant's audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from molam.platform.db import Database, Query


@dataclass(frozen=True, slots=True)
class TrailRow:
    id: UUID
    user_id: str
    user_name: str | None
    action_type: str
    resource_type: str
    resource_id: str | None
    ip_address: str | None
    user_agent: str | None
    changes: dict[str, Any]
    requires_2fa: bool
    two_factor_verified: bool
    approval_required: bool
    approval_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that changed, as JSON had it; None is nothing."""

    name: str
    before: object
    after: object


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of the trail ends."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Filters:
    action_type: str | None = None
    user_id: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[TrailRow]
    has_older: bool


_LIST = Query(
    """
    /* merchant.list_trail */
    select a.id, a.user_id, p.name as user_name, a.action_type, a.resource_type, a.resource_id,
           a.ip_address, a.user_agent, a.changes, a.requires_2fa, a.two_factor_verified,
           a.approval_required, a.approval_id, a.created_at
      from merchant.merchant_actions_audit a
      left join tenancy.people p on p.id = a.user_id
     where a.merchant_id = :merchant_id
       and (:action_type::text is null or a.action_type = :action_type)
       and (:user_id::text is null or a.user_id = :user_id)
       and (:resource_type::text is null or a.resource_type = :resource_type)
       and (:resource_id::text is null or a.resource_id = :resource_id)
       and (:from_at::timestamptz is null or a.created_at >= :from_at)
       and (:to_at::timestamptz is null or a.created_at < :to_at)
       and (:before_at::timestamptz is null
            or (a.created_at, a.id) < (:before_at, :before_id::uuid))
     order by a.created_at desc, a.id desc
     limit :limit
    """,
    row=TrailRow,
)


async def listed(
    db: Database, merchant_id: str, filters: Filters, *, limit: int, beyond: Position | None = None
) -> Page:
    """List what was done, newest first."""
    async with db.transaction("merchant.trail", merchant_id=merchant_id, readonly=True) as tx:
        rows = await tx.all(
            _LIST,
            merchant_id=merchant_id,
            action_type=filters.action_type,
            user_id=filters.user_id,
            resource_type=filters.resource_type,
            resource_id=filters.resource_id,
            from_at=filters.from_at,
            to_at=filters.to_at,
            before_at=None if beyond is None else beyond.created_at,
            before_id=None if beyond is None else beyond.id,
            limit=limit + 1,
        )
    return Page(rows[:limit], has_older=len(rows) > limit)


def differences(changes: dict[str, Any]) -> Iterator[Difference]:
    """Lay before and after side by side, whatever their shape."""
    before, after = (changes.get(name) for name in ("before", "after"))
    old = before if isinstance(before, dict) else {}
    new = after if isinstance(after, dict) else {}
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield Difference(str(name), old.get(name), new.get(name))
