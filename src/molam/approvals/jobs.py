"""What the engine does by the clock. None of it is needed for a decision to be right."""

from __future__ import annotations

import socket

import structlog

from molam.approvals import aftermath, sweeps
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.platform.jobs import Cron

log = structlog.get_logger()


def crons(registry: Registry) -> list[Cron]:
    """List what runs by the clock: the specification's two jobs, and those they imply."""
    book = PolicyBook(registry)
    worker = f"jobs@{socket.gethostname()}"

    async def escalate(db: Database) -> None:
        counts = await sweeps.escalate_expired(Runtime(db, registry, book, worker))
        log.info("approvals.escalation.ran", **counts)

    async def auto_execute(db: Database) -> None:
        counts = await sweeps.auto_execute(Runtime(db, registry, book, worker))
        log.info("approvals.auto_execute.ran", **counts)

    async def recover(db: Database) -> None:
        runtime = Runtime(db, registry, book, worker)
        await sweeps.recover(runtime)
        await sweeps.verify(runtime)

    async def remind(db: Database) -> None:
        await aftermath.remind_of_reviews(db)

    return [
        Cron("approvals.escalate", "*/10 * * * *", escalate),
        Cron("approvals.auto_execute", "*/2 * * * *", auto_execute),
        Cron("approvals.recover", "* * * * *", recover),
        Cron("approvals.remind_of_reviews", "23 * * * *", remind),
    ]
