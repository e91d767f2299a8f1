"""What the engine does by the clock. None of it is needed for a decision to be right."""

from __future__ import annotations

import socket
from uuid import UUID

import msgspec
import structlog

from molam.approvals import aftermath, claims, execution, store, sweeps
from molam.approvals.locked import AUTO_EXECUTE, TELL_END, ActionFollows, ended_in_vain
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.kernel.refusals import Refusal
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

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


def handlers(registry: Registry) -> list[JobHandler]:
    """List what an action's new state asks for at once."""
    book = PolicyBook(registry)
    worker = f"jobs@{socket.gethostname()}"

    async def auto_execute(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=ActionFollows)
        runtime = Runtime(job.db, registry, book, worker)
        try:
            await execution.execute(runtime, UUID(asked.action_id), sweeps.AUTO_EXECUTOR)
        except Refusal as refusal:
            # The sweep takes it once it may be; here it would only be held for a person.
            log.info("approvals.auto_execute.held", action=asked.action_id, code=refusal.code)

    async def tell_end(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=ActionFollows)
        async with job.effect() as tx:
            row = await tx.one(store.FIND_ACTION, id=UUID(asked.action_id))
            assert row is not None
            type_ = registry.find(row.action_type)
            # It may have been taken up again in the meantime, after a failure.
            if type_.ended is not None and ended_in_vain(row):
                await type_.ended(tx, claims.params_of(type_, row.params), row.state)

    return [JobHandler(AUTO_EXECUTE, auto_execute), JobHandler(TELL_END, tell_end)]
