"""``molam serve identity``."""

from __future__ import annotations

import click
from starlette.types import ASGIApp

from molam.entrypoints.local import IDENTITY_PORT, database, read_settings
from molam.entrypoints.serve import serve, serve_reloading
from molam.simulator.issuer import build_app


@click.command("identity")
@click.option("--reload", is_flag=True, help="Begin again whenever a source file changes.")
def command(*, reload: bool) -> None:
    """Serve the development OpenID Connect issuer on port 3100. Never in production."""
    with database(read_settings()) as settings:
        if reload:
            serve_reloading(f"{__name__}:from_environment", IDENTITY_PORT, settings)
        else:
            serve("identity", IDENTITY_PORT, settings, build_app)


def from_environment() -> ASGIApp:
    return build_app(read_settings())
