"""``molam seed``."""

from __future__ import annotations

import asyncio
import sys

import click

from molam.approvals.engine import Engine
from molam.entrypoints.local import StartRefused, database, read_settings
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings
from molam.simulator.operations import seed_operations
from molam.simulator.profiles import HISTORY_DAYS
from molam.simulator.seed import backfill, seed_demo


@click.command("seed")
@click.option("--history", is_flag=True, help="And the last weeks of trade, the first time.")
@click.option(
    "--days", type=click.IntRange(1, 730), default=HISTORY_DAYS, show_default=True, help="How long."
)
def command(*, history: bool, days: int) -> None:
    """Add the demo merchants, people, roles and agents. Safe to repeat; what exists stays."""
    settings = read_settings()
    if settings.is_production:
        raise StartRefused(
            "demo people have known passwords: molam seed refuses MOLAM_ENV=production"
        )
    with database(settings) as complete:
        asyncio.run(_seed(complete, days if history else 0))


async def _seed(settings: Settings, days: int) -> None:
    db = await open_database(settings.database_dsn, ProcessRole.OWNER, application="molam seed")
    try:
        now = SystemClock().now()
        seeded = await seed_demo(db, now)
        click.echo(
            f"added {seeded.merchants} merchants, {seeded.people} people, {seeded.grants} roles,"
            f" {seeded.agents} agents"
        )
        if seeded.people:
            # Only at first: what has become of them since is the demo's own history.
            policies, actions = await seed_operations(Engine.of(db, registry(), worker="seed"))
            click.echo(f"added {policies} approval policies, {actions} actions")
        if days:
            count = await backfill(db, now, days=days, progress=_show)
            click.echo(f"published {count} events of the last {days} days")
    finally:
        await db.close()


def _show(share: float) -> None:
    if sys.stderr.isatty():
        ending = "\n" if share >= 1 else ""
        click.echo(f"\rpublishing history {share:4.0%}{ending}", err=True, nl=False)
