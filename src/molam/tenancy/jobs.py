"""What tenancy does by the clock: thaw merchants whose freeze has ended."""

from __future__ import annotations

import structlog

from molam.kernel.clock import Clock
from molam.platform.db import Database
from molam.platform.jobs import Cron
from molam.tenancy import freezing

log = structlog.get_logger()


def crons(clock: Clock) -> list[Cron]:
    async def end_freezes(db: Database) -> None:
        ended = await freezing.end_lapsed(db, now=clock.now())
        if ended:
            log.info("tenancy.freezes.ended", merchants=ended)

    return [Cron("tenancy.end_freezes", "* * * * *", end_freezes)]
