"""``molam migrate``."""

from __future__ import annotations

import asyncio

import click

from molam.entrypoints.local import database, migrations_folder, read_settings
from molam.platform.db import migrations


@click.command("migrate")
@click.option("--dry-run", is_flag=True, help="Name what is missing and apply nothing.")
def command(*, dry_run: bool) -> None:
    """Apply the migrations the database lacks. Safe to run from many places at once."""
    with database(read_settings(), migrated=False) as settings:
        act = migrations.pending if dry_run else migrations.migrate
        names = asyncio.run(act(settings.database_dsn, migrations_folder()))
    for name in names:
        click.echo(f"{'would apply' if dry_run else 'applied'} {name}")
    if not names:
        click.echo("the database is up to date")
