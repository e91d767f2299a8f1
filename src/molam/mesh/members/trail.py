"""The record of a region: what changed there, who changed it, and by which action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from molam.approvals.model import Actor
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.mesh.members import store
from molam.platform.db import Tx


@dataclass(frozen=True, slots=True)
class By:
    """Who changes something, when, and by which action if others had to agree."""

    actor: Actor
    at: Instant
    action_id: str | None = None


async def record(
    tx: Tx,
    region_id: str | None,
    event: str,
    data: Mapping[str, object],
    *,
    by: By,
) -> None:
    """
    Record a change, last in its transaction, and let open pages know.

    *region_id* None: it concerns every region.
    """
    await tx.one(store.NOTIFY_PAGES)
    chain = "mesh" if region_id is None else f"mesh:{region_id}"
    fact = Fact(
        event=event,
        actor_kind=by.actor.kind,
        actor_id=by.actor.id,
        data=data if by.action_id is None else {**data, "by_action": by.action_id},
    )
    await append_to(tx, chain, [fact], at=by.at)
