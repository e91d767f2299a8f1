"""``molam worker``."""

from __future__ import annotations

import asyncio

import click
from setproctitle import setproctitle

from molam.entrypoints.local import database, read_settings, stop_on_signals
from molam.entrypoints.workers import run_worker
from molam.platform.settings import Settings
from molam.platform.telemetry import configure_logging

# The specification's runbook looks for a process of this name.
_TITLES = {frozenset({"kpi"}): "kpiWorker", frozenset[str](): "molam: worker (kpiWorker and all)"}


@click.command("worker")
@click.option("--only", default="", metavar="PART,PART", help="Run these parts; default: all.")
def command(*, only: str) -> None:
    """Consume events and run jobs until told to stop."""
    parts = frozenset(part.strip() for part in only.split(",") if part.strip())
    setproctitle(_TITLES.get(parts, f"molam: {','.join(sorted(parts))}"))
    with database(read_settings()) as settings:
        service = f"molam-{'-'.join(sorted(parts)) or 'worker'}"
        configure_logging(service, level=settings.log_level)
        asyncio.run(_run(settings, parts))


async def _run(settings: Settings, parts: frozenset[str]) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    await run_worker(settings, parts, stop)
