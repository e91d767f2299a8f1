"""The jobs by which money leaves, banks are asked, and what they say is taken in."""

from __future__ import annotations

from uuid import UUID

import msgspec

from molam.payments.banks import budgets, callbacks, commands, files, hearing, inquiries
from molam.payments.banks.files import Post
from molam.payments.banks.teller import Teller
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

AT_ONCE_MAX = 300
"""Over all workers and banks; each bank has its own limit, `bank_profiles.at_once_max`."""


def handlers(teller: Teller) -> list[JobHandler]:
    async def send(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=commands.Send)
        try:
            await commands.send(teller, job.db, kind=asked.kind, object_id=asked.object_id)
        except commands.NotNow as later:
            async with job.effect() as tx:
                await commands.enqueue_later(tx, asked, later)

    async def inquire(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=hearing.Inquire)
        await inquiries.inquire(teller, job.db, UUID(asked.attempt_id), hinted=asked.hinted)

    async def ask_again(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=inquiries.AskAgain)
        async with job.effect() as tx:
            await inquiries.hasten(tx, asked.bank_profile_id)

    async def take(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=callbacks.TakeCallback)
        await callbacks.take(teller, job.db, asked.callback_id)

    return [
        JobHandler(commands.SEND, send, at_once_max=AT_ONCE_MAX),
        JobHandler(hearing.INQUIRE, inquire, at_once_max=AT_ONCE_MAX),
        JobHandler(inquiries.ASK_AGAIN, ask_again),
        JobHandler(callbacks.TAKE, take, attempts_max=20),
    ]


def crons(post: Post) -> list[Cron]:
    async def inquire_due(db: Database) -> None:
        await inquiries.enqueue_due(post.teller, db)

    async def write_files(db: Database) -> None:
        await files.write_files(post, db)

    async def read_files(db: Database) -> None:
        await files.read_files(post, db)

    async def purge(db: Database) -> None:
        await callbacks.purge(db)
        await budgets.purge(db)

    return [
        Cron("payments.inquire_due", "* * * * *", inquire_due),
        Cron("payments.write_files", "*/5 * * * *", write_files),
        Cron("payments.read_files", "* * * * *", read_files),
        Cron("payments.purge_callbacks", "17 * * * *", purge),
    ]
