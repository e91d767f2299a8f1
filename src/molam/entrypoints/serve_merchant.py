"""``molam serve merchant``."""

from __future__ import annotations

import click
from starlette.types import ASGIApp

from molam.entrypoints.local import MERCHANT_PORT, database, read_settings
from molam.entrypoints.serve import serve, serve_reloading
from molam.entrypoints.wiring import merchant_app


@click.command("merchant")
@click.option("--reload", is_flag=True, help="Begin again whenever a source file changes.")
def command(*, reload: bool) -> None:
    """Serve the merchant app and API on port 3001."""
    with database(read_settings()) as settings:
        if reload:
            serve_reloading(f"{__name__}:from_environment", MERCHANT_PORT, settings)
        else:
            serve("merchant", MERCHANT_PORT, settings, merchant_app)


def from_environment() -> ASGIApp:
    return merchant_app(read_settings())
