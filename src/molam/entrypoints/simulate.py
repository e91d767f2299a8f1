"""``molam simulate``."""

from __future__ import annotations

import asyncio

import click
from setproctitle import setproctitle

from molam.entrypoints.local import StartRefused, database, read_settings, stop_on_signals
from molam.kernel.clock import SystemClock
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings
from molam.platform.telemetry import configure_logging
from molam.simulator.disputes_demo import run_network
from molam.simulator.live import RATE_MAX, run, send_burst
from molam.simulator.seed import SEED


@click.command("simulate")
@click.option("--seed", type=int, default=SEED, show_default=True, help="Which year in the shops.")
@click.option(
    "--rate",
    type=click.FloatRange(1, RATE_MAX),
    default=1.0,
    show_default=True,
    help="How many times the usual traffic.",
)
@click.option("--burst", metavar="MERCHANT", help="A rush at one merchant within minutes, and end.")
def command(*, seed: int, rate: float, burst: str | None) -> None:
    """Let the demo's wallets pay, fail, refund and dispute as time passes, until stopped."""
    settings = read_settings()
    if settings.is_production:
        raise StartRefused("simulated money: molam simulate refuses MOLAM_ENV=production")
    setproctitle("molam: traffic")
    with database(settings) as complete:
        configure_logging("molam-simulator", level=complete.log_level)
        count = asyncio.run(_simulate(complete, seed=seed, rate=rate, merchant_id=burst))
    click.echo(f"published {count} events")


async def _simulate(settings: Settings, *, seed: int, rate: float, merchant_id: str | None) -> int:
    stop = asyncio.Event()
    stop_on_signals(stop)
    db = await open_database(
        settings.database_dsn, ProcessRole.WORKER, application="molam simulate", connections_max=2
    )
    try:
        if merchant_id is not None:
            return await send_burst(db, SystemClock().now(), merchant_id=merchant_id, seed=seed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_network(db, stop=stop, seed=seed))
            return await run(db, stop=stop, seed=seed, rate=rate)
    finally:
        await db.close()
