"""What payments do by the clock."""

from __future__ import annotations

from molam.payments import commands
from molam.platform.db import Database
from molam.platform.jobs import Cron

_ROUNDS_MAX = 100


async def _abandon(db: Database) -> None:
    for _ in range(_ROUNDS_MAX):
        async with db.transaction("payments.abandon_undecided") as tx:
            if not await commands.abandon_undecided(tx):
                return


CRONS = [Cron("payments.abandon_undecided", "*/5 * * * *", _abandon)]
