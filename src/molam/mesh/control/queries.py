"""Questions about what was done, what became of it, and what was decided last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from molam.kernel.clock import Instant
from molam.mesh.control import log_store, reconcile_store, world_store
from molam.platform.db import Tx

_END = datetime(9999, 1, 1, tzinfo=UTC)
_VERDICTS_MAX = 500


class Position(msgspec.Struct, frozen=True):
    """The last row of a page."""

    at: Instant
    id: str


@dataclass(frozen=True, slots=True)
class Actions:
    rows: list[log_store.ActionShownRow]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Reconciliations:
    rows: list[reconcile_store.ReconciliationRow]
    has_more: bool


async def actions(
    tx: Tx,
    *,
    region_id: str | None = None,
    action_type: str | None = None,
    proposal_id: str | None = None,
    beyond: Position | None = None,
    limit: int = 100,
) -> Actions:
    """List what was done, the newest first; of each at most a hundred payouts by id."""
    beyond = beyond or Position(_END, "")
    rows = await tx.all(
        log_store.LIST_ACTIONS,
        region=region_id,
        action_type=action_type,
        proposal_id=proposal_id,
        at=beyond.at,
        id=beyond.id,
        limit=limit + 1,
    )
    return Actions(rows[:limit], len(rows) > limit)


async def reconciliations(
    tx: Tx,
    *,
    status: str | None = None,
    region_id: str | None = None,
    proposal_id: str | None = None,
    beyond: Position | None = None,
    limit: int = 100,
) -> Reconciliations:
    """List reconciliations, the newest first."""
    beyond = beyond or Position(_END, "")
    rows = await tx.all(
        reconcile_store.LIST_RECONCILIATIONS,
        status=status,
        region=region_id,
        proposal_id=proposal_id,
        at=beyond.at,
        id=beyond.id,
        limit=limit + 1,
    )
    return Reconciliations(rows[:limit], len(rows) > limit)


async def verdicts(tx: Tx, *, region_id: str | None = None) -> list[world_store.VerdictRow]:
    """List what the controller decided last for each currency and rail, and why."""
    return await tx.all(world_store.LIST_VERDICTS, region=region_id, limit=_VERDICTS_MAX)
