"""``molam serve ops``."""

from __future__ import annotations

import click
from starlette.types import ASGIApp

from molam.entrypoints.local import OPS_PORT, database, read_settings
from molam.entrypoints.serve import serve, serve_reloading
from molam.entrypoints.wiring_ops import ops_app


@click.command("ops")
@click.option("--reload", is_flag=True, help="Begin again whenever a source file changes.")
def command(*, reload: bool) -> None:
    """Serve the approval engine and the ops console on port 3136."""
    with database(read_settings()) as settings:
        if reload:
            serve_reloading(f"{__name__}:from_environment", OPS_PORT, settings)
        else:
            serve("ops", OPS_PORT, settings, ops_app)


def from_environment() -> ASGIApp:
    return ops_app(read_settings())
