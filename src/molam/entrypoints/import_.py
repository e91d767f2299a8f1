"""``molam import``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import click

from molam.entrypoints.local import database, read_settings
from molam.kernel.clock import SystemClock
from molam.kernel.currency import currency
from molam.merchant.imports import Report, Watch, load, rehearse
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings

_LISTED_MAX = 1_000


@dataclass(slots=True)
class _Refused:
    """The first rejected lines, and how many there were."""

    count: int = 0
    listed: list[str] = field(default_factory=list)

    def note(self, line: int, reason: str) -> None:
        self.count += 1
        if len(self.listed) < _LISTED_MAX:
            self.listed.append(f"line {line}: {reason}")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--merchant", "merchant_id", required=True, help="Whose history it is.")
@click.option("--mapping", help="online-retail, or a TOML file; default: our own columns.")
@click.option("--dry-run", is_flag=True, help="List what is wrong, by line, and load nothing.")
def command(*, file: Path, merchant_id: str, mapping: str | None, dry_run: bool) -> None:
    """
    Load a merchant's own history from a CSV FILE.

    Imported facts count in figures and lists. They are never payable and raise no
    alert or live event. Safe to run twice; after a kill it goes on where it was.
    Ends with 1 if any line was rejected. docs/guide/import.md explains the columns.
    """
    refused = _Refused()
    with database(read_settings()) as settings:
        report = asyncio.run(
            _load(
                settings,
                path=file,
                merchant_id=merchant_id,
                mapping=mapping,
                dry_run=dry_run,
                refused=refused,
            )
        )
    for line in refused.listed:
        click.echo(line)
    if refused.count > len(refused.listed):
        click.echo(f"and {refused.count - len(refused.listed):,} more rejected lines")
    for line in _summary(report, dry_run=dry_run):
        click.echo(line)
    if report.refused:
        sys.exit(1)


async def _load(
    settings: Settings,
    *,
    path: Path,
    merchant_id: str,
    mapping: str | None,
    dry_run: bool,
    refused: _Refused,
) -> Report:
    db = await open_database(
        settings.database_dsn,
        ProcessRole.OWNER,
        application="molam import",
        connections_max=1,
        statement_timeout_s=60,
    )
    try:
        with _progress() as show:
            run = rehearse if dry_run else load
            return await run(
                db,
                path=path,
                merchant_id=merchant_id,
                mapping=mapping,
                now=SystemClock().now(),
                watch=Watch(refused=refused.note, progress=show),
            )
    finally:
        await db.close()


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar to people; click shows none where nobody looks."""
    # The file's size is known only after it was opened, so the bar counts to 1000.
    with click.progressbar(
        length=1_000, label="importing", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:

        def show(done: int, whole: int) -> None:
            bar.update(done * 1_000 // max(1, whole) - bar.pos)

        yield show


def _summary(report: Report, *, dry_run: bool) -> Iterator[str]:
    if report.finished_before:
        yield f"this file was imported before: {report.loaded:,} facts, {report.refused:,} rejected"
        return
    yield f"{report.lines:,} lines, {report.facts:,} facts, {report.refused:,} rejected"
    for reason, count in report.skipped.most_common():
        yield f"  {count:,} left out: {reason}"
    for (kind, code), minor in sorted(report.sums.items()):
        amount = Decimal(minor).scaleb(-currency(code).exponent)
        yield f"  {kind:<8} {code} {amount:,f}"
    yield "nothing was loaded: this was a dry run" if dry_run else f"{report.loaded:,} loaded"
