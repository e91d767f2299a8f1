"""``molam statements``: what banks say they booked, taken in, compared and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import click

from molam.entrypoints.local import database, read_settings
from molam.kernel.clock import SystemClock
from molam.kernel.currency import CURRENCIES, currency
from molam.kernel.money import Money
from molam.kernel.shown import plain
from molam.payments.statements import books, commands, jobs, matching, queries
from molam.payments.statements.commands import Sent
from molam.payments.statements.model import FILE_BYTES_MAX, StatementTooLarge
from molam.platform.db import Database, ProcessRole, open_database

_BY = "molam statements"
_LISTED_MAX = 50
_BANK = click.option("--bank", required=True, help="Number of the bank or wallet, as bp_123.")
_CURRENCY = click.option(
    "--currency", type=click.Choice(list(CURRENCIES)), default="XOF", show_default=True
)


@click.group("statements", no_args_is_help=True)
def command() -> None:
    """Import, match and list bank statements, and close the books of a day."""


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_BANK
@_CURRENCY
@click.option("--dry-run", is_flag=True, help="Say what is in it, and keep nothing.")
def import_(*, file: Path, bank: str, currency: str, dry_run: bool) -> None:
    """
    Take in a statement: camt.053, MT940, CSV or XLSX, told by its content.

    Its lines are matched at once. The same file again changes nothing. --currency is
    for files that do not say theirs.
    """
    if file.stat().st_size > FILE_BYTES_MAX:
        raise StatementTooLarge(f"A file has at most {FILE_BYTES_MAX // 1024**2} MB.")
    sent = Sent(
        bank_profile_id=bank,
        content=file.read_bytes(),
        file_name=file.name,
        default_currency=currency,
    )

    async def rehearse(db: Database) -> None:
        for each in await commands.preview(db, sent):
            shown = _money(each.money_in - each.money_out - each.fees, each.currency)
            click.echo(f"{each.first_day} to {each.last_day}  {each.lines:,} lines  {shown}")
            if each.problem:
                click.echo(each.problem)
        click.echo("nothing was kept: this was a dry run")

    async def take_in(db: Database) -> None:
        done = await commands.import_statement(db, sent, by=_BY, now=SystemClock().now())
        if not done.is_new:
            click.echo(f"this file was imported before, as {done.ids[0]}")
            return
        click.echo(f"{done.lines:,} lines, {done.matched:,} matched")
        for id_ in done.ids:
            click.echo(f"statement {id_}")

    _run(rehearse if dry_run else take_in)


@command.command("match")
@click.option("--bank", help="Only this bank's; all, if left out.")
@_CURRENCY
def match(*, bank: str | None, currency: str) -> None:
    """Try the open lines again: what they are about may have come since."""

    async def try_again(db: Database) -> None:
        if bank is None:
            matched = await jobs.match_all(db)
        else:
            matched = await matching.run(db, bank_profile_id=bank, currency=currency)
        click.echo(f"{matched:,} lines matched")

    _run(try_again)


@command.command("list")
@click.option("--bank", help="Only this bank's.")
def list_(*, bank: str | None) -> None:
    """List statements, the latest import first, with what is open in them."""

    async def show(db: Database) -> None:
        for row in await queries.statements(db, bank_profile_id=bank, limit=_LISTED_MAX):
            click.echo(
                f"{row.id}  {row.bank_profile_id}  {row.first_day} to {row.last_day}"
                f"  {row.lines:,} lines, {row.open:,} open  {plain(row.file_name)}"
            )

    _run(show)


@command.command("close")
@_BANK
@_CURRENCY
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Close through it.")
def close(*, bank: str, currency: str, day: datetime) -> None:
    """Close every open day of an account up to a day; stops where one cannot be closed."""

    async def close_days(db: Database) -> None:
        closed = await books.close_through(
            db, (bank, currency), day=day.date(), by=_BY, now=SystemClock().now()
        )
        for each in closed:
            click.echo(
                f"{each.day} closed: {_money(each.closing, currency)}, {len(each.items)} open items"
            )

    _run(close_days)


def _money(minor: int, code: str) -> str:
    return str(Money(minor, currency(code)))


def _run(work: Callable[[Database], Awaitable[None]]) -> None:
    async def opened(dsn: str) -> None:
        db = await open_database(
            dsn,
            ProcessRole.OPS,
            application="molam statements",
            connections_max=2,
            statement_timeout_s=60,
        )
        try:
            await work(db)
        finally:
            await db.close()

    with database(read_settings()) as settings:
        asyncio.run(opened(settings.database_dsn))
