"""``molam serve sira``."""

from __future__ import annotations

import click
from starlette.types import ASGIApp

from molam.entrypoints.local import SIRA_PORT, database, read_settings
from molam.entrypoints.serve import serve, serve_reloading
from molam.entrypoints.wiring_sira import sira_app


@click.command("sira")
@click.option("--reload", is_flag=True, help="Begin again whenever a source file changes.")
def command(*, reload: bool) -> None:
    """Serve SIRA, the risk scorer, on port 8000."""
    with database(read_settings()) as settings:
        if reload:
            serve_reloading(f"{__name__}:from_environment", SIRA_PORT, settings)
        else:
            serve("sira", SIRA_PORT, settings, sira_app)


def from_environment() -> ASGIApp:
    return sira_app(read_settings())
