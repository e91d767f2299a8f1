"""What refunds do after a commit, and by the clock."""

from __future__ import annotations

import msgspec

from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.payments.refunds import commands, remote
from molam.payments.refunds.remote_service import ApprovalService
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

_WORKER = "refunds"
AT_ONCE_MAX = 20
"""A service that is slow to answer keeps no other job waiting."""


def handlers(service: ApprovalService | None) -> list[JobHandler]:
    """Follow refunds that *service* decides about; without one they wait until their end."""

    async def follow(job: Job) -> None:
        about = msgspec.json.decode(job.payload, type=remote.Follow)
        if service is not None:
            await remote.follow(service, job.db, about.merchant_id, about.refund_id)

    return [JobHandler(remote.FOLLOW, follow, at_once_max=AT_ONCE_MAX)]


def crons(registry: Registry) -> list[Cron]:
    book = PolicyBook(registry)

    async def end_overdue(db: Database) -> None:
        await commands.end_overdue(Runtime(db, registry, book, _WORKER))

    async def pick_up(db: Database) -> None:
        await remote.pick_up(db)

    return [
        Cron("refunds.end_overdue", "* * * * *", end_overdue),
        Cron("refunds.pick_up_remote", "* * * * *", pick_up),
    ]
