"""What the controller does when it is called, and by the clock."""

from __future__ import annotations

import asyncpg
import msgspec
import structlog

from molam.kernel.refusals import Refusal
from molam.mesh.control import (
    actions,
    apply,
    commands,
    controller,
    following,
    onward,
    practising,
    reconciling,
)
from molam.mesh.control.model import Actor
from molam.mesh.control.sweeping import sweep_again
from molam.mesh.runtime import Mesh
from molam.mesh.signals.commands import DECIDE
from molam.mesh.signals.model import Decide
from molam.payments.payouts.run import UNROUTED, Unrouted
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

log = structlog.get_logger()

# A decision that is refused is looked at again a minute later; one that failed is tried again.
ATTEMPTS_MAX = 5
_SWEEP_ATTEMPTS_MAX = 30


class StillBusy(Exception):
    """Somebody holds a payout that is to move; the job is tried again."""


def handlers(mesh: Mesh) -> list[JobHandler]:
    async def decide(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=Decide)
        await controller.decide(job.db, mesh, asked.currency, asked.rail)

    async def apply_approved(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=actions.ApplyApproved)
        try:
            await commands.apply_now(job.db, mesh, asked.proposal_id, actor=Actor("user", asked.by))
        except Refusal as refusal:
            # It is in the log with its reason; people may try again while the proposal holds.
            log.warning("mesh.apply.refused", proposal=asked.proposal_id, code=refusal.code)

    async def sweep(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=apply.Sweep)
        try:
            async with job.effect() as tx:
                await sweep_again(tx, mesh, asked, turn=str(job.id))
        except asyncpg.LockNotAvailableError:
            raise StillBusy from None

    async def send_moved(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=onward.SendMoved)
        async with job.effect() as tx:
            await onward.send_moved(tx, asked)

    async def follow(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=Unrouted)
        async with job.effect() as tx:
            await following.follow(tx, asked.currency)

    return [
        JobHandler(DECIDE, decide, attempts_max=ATTEMPTS_MAX),
        JobHandler(actions.APPLY_JOB, apply_approved, attempts_max=ATTEMPTS_MAX),
        JobHandler(apply.SWEEP, sweep, attempts_max=_SWEEP_ATTEMPTS_MAX),
        JobHandler(onward.SEND_MOVED, send_moved),
        JobHandler(UNROUTED, follow),
    ]


def crons(mesh: Mesh) -> list[Cron]:
    async def decide_all(db: Database) -> None:
        await controller.decide_all(db, mesh)

    async def reconcile(db: Database) -> None:
        await reconciling.reconcile(db)

    async def practise(db: Database) -> None:
        await practising.practise(db, mesh)

    return [
        Cron("mesh.decide_all", "* * * * *", decide_all),
        Cron("mesh.practise", "* * * * *", practise),
        Cron("mesh.reconcile", "* * * * *", reconcile),
        Cron("mesh.follow_corridors", "* * * * *", following.follow_all),
    ]
