"""What payouts do by the clock: those that are due are made, and those made are sent."""

from __future__ import annotations

import structlog

from molam.payments.payouts import run, sending
from molam.platform.db import Database
from molam.platform.jobs import Cron

log = structlog.get_logger()


async def _run(db: Database) -> None:
    made = await run.run_due(db)
    if made:
        log.info("payouts.run.made", payouts=made)


async def _send(db: Database) -> None:
    sent = await sending.send_due(db)
    if sent:
        log.info("payouts.due.sent", payouts=sent)


# Payouts "at once" are made within a minute of the money; the others at their hour.
CRONS = [
    Cron("payouts.run_due", "* * * * *", _run),
    Cron("payouts.send_due", "* * * * *", _send),
]
