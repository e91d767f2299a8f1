"""What the federation does by the clock: tell, judge what was told, and forget."""

from __future__ import annotations

from molam.mesh.federation import corridors, exchange, store
from molam.mesh.runtime import Mesh
from molam.platform.db import Database
from molam.platform.jobs import Cron

KEPT_DAYS = 30


def crons(mesh: Mesh) -> list[Cron]:
    async def tell(db: Database) -> None:
        await exchange.tell_all(db, mesh)

    return [
        Cron("mesh.tell_peers", "*/2 * * * *", tell),
        Cron("mesh.judge_peers", "*/5 * * * *", judge),
        Cron("mesh.settle_corridors", "* * * * *", corridors.settle_uses),
        Cron("mesh.purge_peer_messages", "53 3 * * *", _purge),
    ]


async def judge(db: Database) -> None:
    """Compare what regions predicted with what we saw ourselves; their trust follows."""
    async with db.transaction("federation.judge") as tx:
        await tx.run(store.JUDGE)


async def _purge(db: Database) -> None:
    async with db.transaction("federation.purge") as tx:
        await tx.run(store.PURGE_MESSAGES, days=KEPT_DAYS)
