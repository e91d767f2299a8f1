"""Emergency uses as the console shows them: who decided alone, why, and who looked at it since."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from molam.kernel.clock import Instant
from molam.ops import permissions, store
from molam.ops.shell import may
from molam.ops.views import sentence_of
from molam.platform.db import Database
from molam.platform.web import Caller
from molam.platform.web.l10n import Language


@dataclass(frozen=True, slots=True)
class Emergency:
    """One use, and why the reader may not review it; None if they may."""

    used_by: str
    reason: str
    used_at: Instant
    review_due: Instant
    is_overdue: bool
    reviewed_by: str | None
    reviewed_at: Instant | None
    review: str | None
    why_not_review: str | None


@dataclass(frozen=True, slots=True)
class Unreviewed:
    """One use that somebody still has to look at, on one line."""

    id: UUID
    sentence: str
    used_by: str
    review_due: Instant
    is_overdue: bool


async def emergency_of(db: Database, action_id: UUID, caller: Caller) -> Emergency | None:
    """Find out whether an action was decided in an emergency."""
    rows = await db.read(store.FIND_EMERGENCY, action_id=action_id, reader=caller.subject)
    if not rows:
        return None
    row = rows[0]
    return Emergency(
        used_by=row.used_by_name or row.used_by,
        reason=row.reason,
        used_at=row.used_at,
        review_due=row.review_due,
        is_overdue=row.is_overdue,
        reviewed_by=row.reviewed_by_name or row.reviewed_by,
        reviewed_at=row.reviewed_at,
        review=row.review,
        why_not_review=_why_not(row, caller),
    )


async def unreviewed(db: Database, language: Language) -> list[Unreviewed]:
    """List the uses that nobody has reviewed, the most urgent first."""
    return [
        Unreviewed(
            id=row.id,
            sentence=sentence_of(row.plan, language) or row.action_type,
            used_by=row.used_by_name or row.used_by,
            review_due=row.review_due,
            is_overdue=row.is_overdue,
        )
        for row in await db.read(store.LIST_UNREVIEWED)
    ]


def _why_not(row: store.EmergencyRow, caller: Caller) -> str | None:
    if not may(caller, permissions.REVIEW):
        return "role"
    return "same-hands" if row.is_party else None
