"""``molam worker``."""

from __future__ import annotations

import asyncio

import click
from setproctitle import setproctitle

from molam.entrypoints.local import database, listen, read_settings, stop_on_signals
from molam.entrypoints.workers import catch_up, run_worker
from molam.platform.scrape import serve_metrics
from molam.platform.settings import Settings
from molam.platform.telemetry import configure_logging

# The specification's runbook looks for a process of this name.
_TITLES = {frozenset({"kpi"}): "kpiWorker", frozenset[str](): "molam: worker (kpiWorker and all)"}


@click.command("worker")
@click.option("--only", default="", metavar="PART,PART", help="Run these parts; default: all.")
@click.option("--until-idle", is_flag=True, help="Apply what waits in the event log, then end.")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65_535),
    help="Serve /metrics and /health there (shifted by MOLAM_PORT_OFFSET); default: nowhere.",
)
def command(*, only: str, until_idle: bool, metrics_port: int | None) -> None:
    """Consume events and run jobs until told to stop."""
    if until_idle:
        with database(read_settings()) as settings:
            configure_logging("molam-worker", level=settings.log_level)
            click.echo(f"applied {asyncio.run(catch_up(settings))} events")
        return
    parts = frozenset(part.strip() for part in only.split(",") if part.strip())
    setproctitle(_TITLES.get(parts, f"molam: {','.join(sorted(parts))}"))
    given = read_settings()
    listener = None if metrics_port is None else listen(given, metrics_port)
    with database(given) as settings:
        service = f"molam-{'-'.join(sorted(parts)) or 'worker'}"
        configure_logging(service, level=settings.log_level)
        if listener is not None:
            serve_metrics(listener, allow=settings.metrics_allowed)
        asyncio.run(_run(settings, parts))


async def _run(settings: Settings, parts: frozenset[str]) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    await run_worker(settings, parts, stop)
