"""``molam dashboard``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import click

from molam.entrypoints.local import database, read_settings
from molam.ops.dashboard import aggregates
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group("dashboard")
def command() -> None:
    """Look after the figures of the operations dashboard."""


@command.command("rebuild")
@click.option("--from", "begins", type=_DAY, required=True, help="The first day, in UTC.")
@click.option("--to", "ends", type=_DAY, required=True, help="The day after the last.")
def rebuild(begins: datetime, ends: datetime) -> None:
    """
    Add up the hours of some days again from payments, payouts, disputes and statements.

    Figures are exact without it; it mends what was changed by hand. Reading goes on meanwhile.
    """
    if begins >= ends:
        raise click.UsageError("--to is later than --from.")
    with database(read_settings()) as settings:
        count = asyncio.run(_rebuild(settings, begins, ends))
    click.echo(f"added up again: {count} marks of hours")


async def _rebuild(settings: Settings, begins: datetime, ends: datetime) -> int:
    db = await open_database(
        settings.database_dsn, ProcessRole.WORKER, application="molam dashboard"
    )
    try:
        return await aggregates.rebuild(
            db, begins=begins.replace(tzinfo=UTC), ends=ends.replace(tzinfo=UTC)
        )
    finally:
        await db.close()
