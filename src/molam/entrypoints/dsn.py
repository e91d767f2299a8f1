"""``molam dsn``."""

from __future__ import annotations

import click

from molam.entrypoints.local import read_settings, running


@click.command("dsn")
def command() -> None:
    """Print the database URL, password included: psql "$(molam dsn)"."""
    click.echo(running(read_settings()).database_dsn)
