"""``molam rates``: exchange rates, had from outside and looked at."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from pathlib import Path

import click

from molam.entrypoints.local import StartRefused, database, read_settings
from molam.kernel.clock import SystemClock
from molam.kernel.currency import CURRENCIES, currency
from molam.kernel.shown import plain
from molam.ledger import queries, rates
from molam.ledger.rates_formats import FILE_BYTES_MAX, read_file
from molam.ledger.rates_model import RatesMalformed, Sifted
from molam.ledger.rates_providers import provider_of
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.egress import Egress
from molam.platform.settings import Settings

_DAY = click.DateTime(["%Y-%m-%d"])
_DOWNLOAD_TIMEOUT_S = 60.0


@click.group("rates", no_args_is_help=True)
def command() -> None:
    """Import, refresh, list and accept exchange rates."""


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(file: Path) -> None:
    """
    Store the rates of FILE.

    It may be the ECB's eurofxref XML, its history (zip or CSV), or a CSV of
    date,base,quote,rate,source. Rates stored before stay as they are.
    """
    if file.stat().st_size > FILE_BYTES_MAX:
        raise RatesMalformed(f"A file of rates has at most {FILE_BYTES_MAX // 2**20} MiB.")
    quoted = read_file(file.read_bytes())

    async def store(db: Database, _settings: Settings) -> None:
        async with db.transaction("ledger.import_rates") as tx:
            sifted = await rates.take_in(tx, quoted, today=SystemClock().now().date())
        _tell(sifted)

    _run(store)


@command.command("refresh")
@click.option("--on", type=_DAY, help="The rates of this day instead of the newest.")
def refresh(*, on: datetime | None) -> None:
    """Ask the provider of FX_PROVIDER now, due or not."""

    async def ask(db: Database, settings: Settings) -> None:
        private = not settings.is_production
        async with Egress(allow_private=private, timeout_s=_DOWNLOAD_TIMEOUT_S) as egress:
            provider = provider_of(
                settings.fx_provider, key=settings.fx_api_key, url=settings.fx_url, egress=egress
            )
            if provider is None:
                raise StartRefused("set FX_PROVIDER to ecb, fixer, openexchangerates or csv")
            day = None if on is None else on.date()
            _tell(await rates.refresh(db, provider, now=SystemClock().now(), on=day))

    _run(ask)


@command.command("list")
@click.option("--on", type=_DAY, help="As they were in force on this day.")
@click.option("--base", default="XOF", show_default=True, help="One unit of this currency is worth")
def list_(*, on: datetime | None, base: str) -> None:
    """List the rates in force, with their day and source, and those nobody believes yet."""
    known = currency(base.upper())

    async def show(db: Database, _settings: Settings) -> None:
        day: date = SystemClock().now().date() if on is None else on.date()
        in_force = await queries.rates_on(db, day)
        for code in CURRENCIES:
            rate = in_force.find(known.code, code)
            if code == known.code:
                continue
            if rate is None:
                click.echo(f"{known.code}/{code}  unknown")
                continue
            mark = "  indicative" if rate.indicative else ""
            click.echo(
                f"{known.code}/{code}  {float(rate.value):.9g}  {rate.as_of}  {rate.source}{mark}"
            )
        for row in await rates.doubts(db):
            click.echo(
                f"doubted: {row.base_currency}/{row.quote_currency} {row.as_of_date}"
                f" {row.rate.normalize():f} after {row.previous_rate.normalize():f}"
                f" of {row.previous_date} ({plain(row.source)})"
            )
        found = await rates.freshness(db)
        if found is not None and found.stale_since is not None:
            click.echo(f"late: {found.provider} since {found.stale_since:%Y-%m-%d %H:%M}Z")

    _run(show)


@command.command("accept")
@click.argument("base")
@click.argument("quote")
@click.argument("on", type=_DAY)
def accept(*, base: str, quote: str, on: datetime) -> None:
    """Use a doubted rate after all: BASE QUOTE and its day."""

    async def believe(db: Database, _settings: Settings) -> None:
        async with db.transaction("ledger.accept_rate") as tx:
            await rates.accept(
                tx, base=base.upper(), quote=quote.upper(), on=on.date(), by=getpass.getuser()
            )
        click.echo("accepted")

    _run(believe)


def _run(work: Callable[[Database, Settings], Awaitable[None]]) -> None:
    async def opened(settings: Settings) -> None:
        db = await open_database(
            settings.database_dsn, ProcessRole.WORKER, application="molam rates"
        )
        try:
            await work(db, settings)
        finally:
            await db.close()

    with database(read_settings()) as settings:
        asyncio.run(opened(settings))


def _tell(sifted: Sifted) -> None:
    click.echo(
        f"stored {len(sifted.taken)}, known {sifted.known}, kept {sifted.kept},"
        f" doubted {len(sifted.doubted)}"
    )
    for each in sifted.doubted:
        quoted = each.quoted
        click.echo(
            f"doubted: {quoted.base}/{quoted.quote} {quoted.as_of} {quoted.rate.normalize():f}"
            f" after {each.previous.normalize():f} of {each.previous_on};"
            f" molam rates accept {quoted.base} {quoted.quote} {quoted.as_of}"
        )
