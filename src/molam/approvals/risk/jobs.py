"""What happens to risk-aware approvals by itself: scores, deadlines, outcomes told."""

from __future__ import annotations

from uuid import UUID

import msgspec

from molam.approvals.risk import proof_store as proofs
from molam.approvals.risk import store
from molam.approvals.risk.commands import WEIGH, Desk, WeighJob, weigh
from molam.approvals.risk.events import tell_ended
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

LINKS_KEPT_DAYS = 30

_BATCH = 100
_ROUNDS_MAX = 50


def handlers(desk: Desk) -> list[JobHandler]:
    async def run(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=WeighJob)
        await weigh(desk, UUID(asked.approval_id))

    return [JobHandler(WEIGH, run)]


def crons() -> list[Cron]:
    return [
        Cron("approvals.tell_risk_outcomes", "* * * * *", tell_outcomes),
        Cron("approvals.forget_risk_links", "17 3 * * *", _forget_links),
    ]


async def tell_outcomes(db: Database) -> None:
    """
    End what waited too long for a score, and tell every outcome not told yet.

    Votes cast in the console, and time, end approvals without anybody telling whoever
    asked; the engine's own jobs make time's endings real.
    """
    async with db.transaction("risk.expire_held") as tx:
        await tx.run(store.EXPIRE_HELD, limit=_BATCH)
    for _ in range(_ROUNDS_MAX):
        async with db.transaction("risk.tell_outcomes") as tx:
            if await tell_ended(tx) < _BATCH:
                return


async def _forget_links(db: Database) -> None:
    async with db.transaction("risk.forget_links") as tx:
        await tx.run(proofs.PURGE_TOKENS, days=LINKS_KEPT_DAYS)
