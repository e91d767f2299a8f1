"""``molam dead-letters``."""

from __future__ import annotations

import asyncio

import click

from molam.entrypoints.local import database, read_settings
from molam.platform import jobs
from molam.platform.db import ProcessRole, open_database
from molam.platform.events.dead_letters import list_dead_letters, requeue_dead_letters
from molam.platform.settings import Settings

_LISTED_MAX = 50
_REASON_SHOWN = 100


@click.command("dead-letters")
@click.option("--requeue", multiple=True, type=int, metavar="ID", help="Publish this event again.")
@click.option("--requeue-job", multiple=True, type=int, metavar="ID", help="Try this job again.")
def command(*, requeue: tuple[int, ...], requeue_job: tuple[int, ...]) -> None:
    """List the events and jobs that could not be done, or put some of them back."""
    with database(read_settings()) as settings:
        if requeue or requeue_job:
            asyncio.run(_put_back(settings, requeue, requeue_job))
        else:
            asyncio.run(_list(settings))


async def _list(settings: Settings) -> None:
    db = await open_database(
        settings.database_dsn, ProcessRole.WORKER, application="molam dead-letters"
    )
    try:
        letters = await list_dead_letters(db, limit=_LISTED_MAX)
        held = await jobs.list_held(db, limit=_LISTED_MAX)
    finally:
        await db.close()
    for letter in letters:
        reason = letter.reason.splitlines()[0][:_REASON_SHOWN]
        click.echo(
            f"event {letter.id}  {letter.failed_at:%Y-%m-%d %H:%M}Z"
            f"  {letter.group}  {letter.topic}  {reason}"
        )
    for job in held:
        click.echo(
            f"job {job.id}  {job.updated_at:%Y-%m-%d %H:%M}Z  {job.name}  {job.attempts} attempts"
        )
    if not letters and not held:
        click.echo("nothing: every event and job was done")


async def _put_back(
    settings: Settings, letter_ids: tuple[int, ...], job_ids: tuple[int, ...]
) -> None:
    db = await open_database(
        settings.database_dsn, ProcessRole.WORKER, application="molam dead-letters"
    )
    try:
        async with db.transaction("platform.put_back") as tx:
            letters = await requeue_dead_letters(tx, letter_ids)
            held = await jobs.requeue_held(tx, job_ids)
    finally:
        await db.close()
    click.echo(f"put back {letters} events and {held} jobs")
