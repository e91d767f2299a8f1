"""What refunds do by the clock."""

from __future__ import annotations

from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.payments.refunds import commands
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.platform.jobs import Cron

_WORKER = "refunds"


def crons(registry: Registry) -> list[Cron]:
    book = PolicyBook(registry)

    async def end_overdue(db: Database) -> None:
        await commands.end_overdue(Runtime(db, registry, book, _WORKER))

    return [Cron("refunds.end_overdue", "* * * * *", end_overdue)]
