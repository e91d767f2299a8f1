"""A drill in which an agent's float runs low, and the demo's policy that lets SIRA ask for more."""

from __future__ import annotations

from uuid import uuid4

from molam.alerts.episodes.asking import to_remedy
from molam.kernel.clock import Instant
from molam.ledger import floats
from molam.ledger.floats import Move
from molam.platform.db import Database
from molam.simulator import float_drill_store as store
from molam.simulator.agents import AGENTS, Agent
from molam.simulator.float_drill_store import FloatTimelineRow

AGENT = next(each for each in AGENTS if each.id == "agent-123")
LOW_MINOR = 500_000


async def seed_remedies(db: Database) -> None:
    """Let SIRA ask for floats to be filled, as the specification's example does."""
    async with db.transaction("simulator.seed_remedies") as tx:
        await tx.run(store.ENABLE)


async def drain(db: Database, now: Instant, *, agent: Agent = AGENT) -> int:
    """
    Bring the agent's float to what is critically low, and return what it was.

    An alert that is open already is looked at again, as nothing new would be said of it.
    """
    async with db.transaction("float_drill.drain") as tx:
        before = await floats.balance_of(tx, agent.id, agent.currency)
        if before != LOW_MINOR:
            await floats.adjust(
                tx,
                Move(
                    id=uuid4(),
                    agent_id=agent.id,
                    adjustment="sweep" if before > LOW_MINOR else "top_up",
                    minor=abs(before - LOW_MINOR),
                    currency=agent.currency,
                    cause_id="drill",
                    at=now,
                ),
            )
    open_ = await look(db, since=now, agent=agent)
    if open_ is not None and open_.action_id is None:
        async with db.transaction("float_drill.ask_again") as tx:
            await to_remedy(tx, [open_.alert_id])
    return before


async def look(db: Database, *, since: Instant, agent: Agent = AGENT) -> FloatTimelineRow | None:
    """Return how far it has come: of the open alert, or the last one from *since* on."""
    account_id = floats.account_of(agent.id, agent.currency)
    rows = await db.read(store.TIMELINE, agent_id=agent.id, account_id=account_id, since=since)
    return rows[0] if rows else None
