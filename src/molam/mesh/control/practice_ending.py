"""Ending a practice: nothing more is given away, and what was not sent goes back."""

from __future__ import annotations

from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.mesh.control import onward, practice_store, store
from molam.mesh.control.model import CONTROLLER
from molam.mesh.routing import queries as proposals
from molam.platform.db import Tx


async def end(tx: Tx, proposal_id: str, *, reason: str, at: Instant) -> int:
    """End a practice, and give back what was not sent; return how many payouts that were."""
    if not await stop(tx, proposal_id, reason=reason):
        return 0
    given_back = await give_back(tx, proposal_id)
    row = await proposals.get(tx, proposal_id)
    data = {"proposal_id": proposal_id, "reason": reason, "given_back": given_back}
    fact = Fact(event="mesh.practice_ended", actor_kind="system", actor_id=CONTROLLER.id, data=data)
    await append_to(tx, f"mesh:{row.mesh_region_id}", [fact], at=at)
    await tx.run(store.TELL_PAGES)
    return given_back


async def stop(tx: Tx, proposal_id: str, *, reason: str) -> bool:
    """Let nothing more be given away; False: that was so already."""
    await tx.run(practice_store.FOLLOW, id=proposal_id)
    return bool(await tx.run(practice_store.END, id=proposal_id, reason=reason))


async def give_back(tx: Tx, proposal_id: str) -> int:
    """Give back what was not sent and can go where it was; return how many payouts."""
    found = await tx.one(practice_store.GIVE_BACK, id=proposal_id)
    assert found is not None
    if found.payouts:
        await onward.enqueue_send_moved(tx, await proposals.get(tx, proposal_id))
    return found.payouts
