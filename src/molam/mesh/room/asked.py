"""What was asked for on a page and waits for others, and what people are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request

from molam.approvals import queries
from molam.mesh.members.switches import GLOBAL
from molam.mesh.room import proposal_store
from molam.mesh.room.ballots import OPEN
from molam.platform.db import Database
from molam.platform.web import Caller
from molam.platform.web.templating import language_of

_LISTED_MAX = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """An action that others have yet to decide."""

    id: UUID
    title: str
    target: str
    by: str
    votes: int
    expires_at: datetime


async def waiting_of(request: Request, caller: Caller, *types: str) -> tuple[Asked, ...]:
    """List the open actions of *types*, newest first."""
    db, language = request.app.state.db, language_of(request, caller)
    rows = [
        row
        for name in types
        for row in await queries.search(db, queries.Filters(action_type=name), limit=_LISTED_MAX)
        if row.state in OPEN
    ]
    names = await names_of(db, (row.created_by for row in rows))
    return tuple(
        Asked(
            id=row.id,
            title=str(row.plan.get("title", {}).get(language) or row.action_type),
            target=_target(row.plan),
            by=names.get(row.created_by, row.created_by),
            votes=row.votes_approve,
            expires_at=row.expires_at,
        )
        for row in sorted(rows, key=lambda row: row.created_at, reverse=True)
    )


def _target(plan: dict[str, Any]) -> str:
    """Say what an action is about; one that is about everything says that by its title."""
    name = str(plan.get("target_name") or "")
    return "" if name == GLOBAL else name


async def names_of(db: Database, ids: Iterable[str | None]) -> dict[str, str]:
    """Read what people are called; who is not known, such as a program, is left out."""
    wanted = sorted({each for each in ids if each})
    if not wanted:
        return {}
    rows = await db.read(proposal_store.LIST_PEOPLE_NAMES, ids=wanted)
    return {row.id: row.name for row in rows}
