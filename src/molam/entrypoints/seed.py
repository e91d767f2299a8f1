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
from molam.platform.telemetry import configure_logging
from molam.simulator.banks_demo import seed_banks
from molam.simulator.disputes_demo import seed_disputes
from molam.simulator.drill import seed_drills
from molam.simulator.float_drill import seed_remedies
from molam.simulator.liquidity_demo import seed_liquidity
from molam.simulator.mesh_demo import seed_mesh
from molam.simulator.operations import seed_operations
from molam.simulator.payouts_demo import seed_payouts
from molam.simulator.profiles import HISTORY_DAYS
from molam.simulator.refunds_demo import seed_refunds
from molam.simulator.seed import backfill, seed_demo
from molam.simulator.signals_demo import seed_signals
from molam.simulator.statements_demo import seed_statements
from molam.simulator.webhooks_demo import seed_webhooks


@click.command("seed")
@click.option("--history", is_flag=True, help="And the last weeks of trade, the first time.")
@click.option(
    "--activity",
    is_flag=True,
    help="Instead: refunds, disputes, payouts and statements, over the trade that was counted.",
)
@click.option(
    "--days", type=click.IntRange(1, 730), default=HISTORY_DAYS, show_default=True, help="How long."
)
def command(*, history: bool, activity: bool, days: int) -> None:
    """Add the demo merchants, people, roles and agents. Safe to repeat; what exists stays."""
    settings = read_settings()
    if settings.is_production:
        raise StartRefused(
            "demo people have known passwords: molam seed refuses MOLAM_ENV=production"
        )
    configure_logging("molam-seed", level=settings.log_level)
    with database(settings) as complete:
        asyncio.run(_seed_activity(complete) if activity else _seed(complete, days * history))


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


async def _seed_activity(settings: Settings) -> None:
    """Do what people have done with the demo's money so far; safe to repeat."""
    db = await open_database(settings.database_dsn, ProcessRole.OWNER, application="molam seed")
    try:
        now = SystemClock().now()
        await seed_banks(db, now, banks_url=f"{settings.issuer}/banks")
        await seed_mesh(db, now)
        await seed_signals(db, now)
        refunds = await seed_refunds(db, now)
        disputes = await seed_disputes(db, now)
        # After the refunds: what is paid out cannot be refunded from.
        await seed_payouts(db, now)
        await seed_drills(db, now)
        await seed_remedies(db)
        statements = await seed_statements(db, now)
        await seed_liquidity(db, now)
        await seed_webhooks(db, now)
        click.echo(f"added {refunds} refunds, {disputes} disputes, {statements} bank statements")
    finally:
        await db.close()


def _show(share: float) -> None:
    if sys.stderr.isatty():
        ending = "\n" if share >= 1 else ""
        click.echo(f"\rpublishing history {share:4.0%}{ending}", err=True, nl=False)
