"""What payouts do by the clock and by the queue: they are made, sent, and asked back."""

from __future__ import annotations

from uuid import UUID

import msgspec
import structlog

from molam.payments.banks.files import Post
from molam.payments.banks.teller import Teller
from molam.payments.payouts import recall_files, recalls, run, sending
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

log = structlog.get_logger()


async def _run(db: Database) -> None:
    made = await run.run_due(db)
    if made:
        log.info("payouts.run.made", payouts=made)


async def _send(db: Database) -> None:
    sent = await sending.send_due(db)
    if sent:
        log.info("payouts.due.sent", payouts=sent)


async def _recall(db: Database) -> None:
    await recalls.enqueue_due(db)


# Payouts "at once" are made within a minute of the money; the others at their hour.
CRONS = [
    Cron("payouts.run_due", "* * * * *", _run),
    Cron("payouts.send_due", "* * * * *", _send),
    Cron("payouts.recall_due", "* * * * *", _recall),
]


def handlers(teller: Teller) -> list[JobHandler]:
    async def recall(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=recalls.Recall)
        await recalls.carry_on(teller, job.db, UUID(asked.recall_id))

    return [JobHandler(recalls.RECALL, recall)]


def crons(post: Post) -> list[Cron]:
    async def exchange(db: Database) -> None:
        await recall_files.exchange(post, db)

    return [*CRONS, Cron("payouts.recall_files", "* * * * *", exchange)]
