"""``molam serve identity``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import click
from fastapi import FastAPI
from starlette.types import ASGIApp

from molam.entrypoints.bank_desk import callbacks_url, secrets_of
from molam.entrypoints.local import IDENTITY_PORT, database, read_settings
from molam.entrypoints.serve import serve, serve_reloading
from molam.platform.files import open_store
from molam.platform.settings import Settings
from molam.simulator.banks.app import SimulatedBanks
from molam.simulator.banks.books_store import Books
from molam.simulator.issuer import build_app

BANKS = "/banks"


@click.command("identity")
@click.option("--reload", is_flag=True, help="Begin again whenever a source file changes.")
def command(*, reload: bool) -> None:
    """Serve the development OpenID Connect issuer on port 3100. Never in production."""
    with database(read_settings()) as settings:
        if reload:
            serve_reloading(f"{__name__}:from_environment", IDENTITY_PORT, settings)
        else:
            serve("identity", IDENTITY_PORT, settings, with_banks)


def from_environment() -> ASGIApp:
    return with_banks(read_settings())


def with_banks(settings: Settings) -> FastAPI:
    """
    Make the issuer's app with the simulated banks under /banks.

    Raises:
        SettingsRefused: MOLAM_ENV is production.
    """
    # First of all, because it refuses production: no bank is pretended there either.
    app = build_app(settings)
    books = Books(settings.molam_home / "banks.sqlite")
    banks = SimulatedBanks(
        books,
        secrets_of(settings),
        callbacks_url=callbacks_url(settings),
        files=open_store(settings),
    )
    app.mount(BANKS, banks.app)
    issuing = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[None]:
        with contextlib.closing(books):
            async with issuing(running), banks.running():
                yield

    app.router.lifespan_context = lifespan
    return app
