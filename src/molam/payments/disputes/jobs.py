"""What the clock does to disputes."""

from __future__ import annotations

from obstore.store import ObjectStore

from molam.payments.disputes import commands, evidence, model, store
from molam.platform.db import Database
from molam.platform.jobs import Cron

_ROUNDS_MAX = 50


async def pass_time(db: Database) -> int:
    """Expire, forfeit, settle and prevent whatever is due; return how many disputes moved."""
    moved = 0
    for _ in range(_ROUNDS_MAX):
        names = await db.read(store.LIST_DUE, grace=model.GRACE, limit=commands.CLOCK_BATCH_MAX)
        before = moved
        for name in names:
            # One transaction each: a dispute that a person is answering keeps none waiting.
            async with db.transaction("disputes.pass_time", merchant_id=name.merchant_id) as tx:
                changed = await commands.let_time_pass(
                    tx, merchant_id=name.merchant_id, id_=name.id
                )
            moved += changed is not None
        if len(names) < commands.CLOCK_BATCH_MAX or moved == before:
            break
    return moved


def crons(files: ObjectStore) -> list[Cron]:
    """List what is done by the clock; *files* is where evidence is."""

    async def run(db: Database) -> None:
        await pass_time(db)

    async def tidy(db: Database) -> None:
        while await evidence.forget_stale(db, files) == evidence.STALE_BATCH_MAX:
            pass

    return [
        Cron("disputes.pass_time", "* * * * *", run),
        Cron("disputes.forget_stale_uploads", "41 * * * *", tidy),
    ]
