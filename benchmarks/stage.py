"""A throw-away server, events to measure with, and the way every benchmark prints its figure."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from molam.entrypoints.local import migrations_folder
from molam.platform.binaries import find_binaries
from molam.platform.db.migrations import migrate
from molam.platform.embedded import EmbeddedPostgres, create_database, enable_refresh_login

PROVIDERS = ("wave", "orange_money", "mtn_momo", "free_money")


@dataclass(frozen=True, slots=True)
class Stage:
    dsn: str
    refresh_dsn: str
    folder: Path
    psql: str

    def run_psql(self, script: Path) -> None:
        subprocess.run(
            [self.psql, "-qX", "-v", "ON_ERROR_STOP=1", "-f", str(script), self.dsn],
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def server() -> Iterator[EmbeddedPostgres]:
    """The product's own embedded server with its own settings, in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="molam-bench-"))
    folder.chmod(0o711)
    embedded = EmbeddedPostgres(folder)
    embedded.start()
    try:
        yield embedded
    finally:
        embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def stage(embedded: EmbeddedPostgres) -> AsyncIterator[Stage]:
    await create_database(embedded.dsn("postgres"))
    await migrate(embedded.dsn(), migrations_folder())
    folder = embedded.folder.parent
    refresh_dsn = await enable_refresh_login(embedded.dsn(), folder)
    yield Stage(embedded.dsn(), refresh_dsn, folder, str(find_binaries().folder / "psql"))


async def clone(embedded: EmbeddedPostgres, name: str) -> str:
    """Make another database like that of the stage as it is now, and return where it is."""
    admin = await asyncpg.connect(embedded.dsn("postgres"))
    try:
        source = embedded.dsn().rpartition("/")[2].partition("?")[0]
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.execute(f"create database {name} template {source}")
    finally:
        await admin.close()
    return embedded.dsn(name)


async def add_merchants(connection: asyncpg.Connection, count: int) -> list[str]:
    merchants = [f"merchant-{number:04}" for number in range(count)]
    await connection.execute(
        """
        insert into tenancy.merchants (id, name, city, country, default_currency)
        select m, m, 'Dakar', 'SN', 'XOF' from unnest($1::text[]) as m
        on conflict do nothing
        """,
        merchants,
    )
    await connection.execute(
        """
        insert into merchant.merchant_dashboards (merchant_id, timezone)
        select m, 'Africa/Dakar' from unnest($1::text[]) as m
        on conflict do nothing
        """,
        merchants,
    )
    return merchants


async def add_admin(connection: asyncpg.Connection, merchants: list[str]) -> str:
    """Register somebody who is merchant_admin of all *merchants*; return the person's id."""
    await connection.execute(
        "insert into tenancy.people (id, name, email) values ('bench', 'Bench', 'bench@example.com')"
    )
    await connection.execute(
        """
        insert into tenancy.role_grants (id, person_id, role, merchant_id, granted_by)
        select gen_random_uuid(), 'bench', 'merchant_admin', m, 'bench'
          from unnest($1::text[]) as m
        """,
        merchants,
    )
    return "bench"


def events(count: int, merchants: list[str], *, seed: int = 7) -> list[str]:
    """Payments of the last day, created and then succeeded, as CloudEvents in JSON."""
    rng = random.Random(seed)
    now = datetime.now(UTC).replace(microsecond=0)
    told = []
    for number in range(count // 2):
        merchant = rng.choice(merchants)
        amount = rng.randrange(100, 200_000)
        at = now - timedelta(seconds=rng.randrange(80_000))
        for topic, status in (
            ("wallet_txn_created", "pending"),
            ("wallet_txn_succeeded", "succeeded"),
        ):
            told.append(
                json.dumps(
                    {
                        "specversion": "1.0",
                        "id": f"{topic}-{number}",
                        "source": "benchmark",
                        "type": topic,
                        "data": {
                            "transaction_id": f"tx_{number:08}",
                            "merchant_id": merchant,
                            "amount": amount,
                            "currency": "XOF",
                            "fee_molam": amount // 100,
                            "status": status,
                            "version": 1 if status == "pending" else 2,
                            "occurred_at": at.isoformat(),
                            "channel": "wallet",
                            "provider": rng.choice(PROVIDERS),
                            "reference_code": f"CMD-{number}",
                            "customer": {"name": "Awa Diop", "phone": "+221770000000"},
                        },
                    }
                )
            )
    return told


def report(name: str, *, ours: list[float], limit: list[float], unit: str, floor: float) -> bool:
    """
    Print one figure from interleaved rounds; True when the ratio reaches *floor*.

    The ratio is the median of the rounds' own ratios, since what else the machine
    does at the time falls on both sides of a round.
    """
    ratio = statistics.median(mine / best for mine, best in zip(ours, limit, strict=True))
    verdict = "ok" if ratio >= floor else "BELOW"
    print(
        f"{name}: ours {statistics.median(ours):,.0f} {unit}, limit "
        f"{statistics.median(limit):,.0f} {unit}, ratio {ratio:.2f} (at least {floor:.2f}) {verdict}",
        flush=True,
    )
    return ratio >= floor


def report_at_most(
    name: str, *, ours: list[float], base: list[float], unit: str, ceiling: float
) -> bool:
    """Print a cost beside the one it may exceed by *ceiling* times; True when it does not."""
    ratio = statistics.median(mine / other for mine, other in zip(ours, base, strict=True))
    verdict = "ok" if ratio <= ceiling else "ABOVE"
    print(
        f"{name}: ours {statistics.median(ours):,.2f} {unit}, base "
        f"{statistics.median(base):,.2f} {unit}, ratio {ratio:.2f} (at most {ceiling:.2f}) {verdict}",
        flush=True,
    )
    return ratio <= ceiling


def finish(*reached: bool) -> None:
    sys.exit(0 if all(reached) else 1)
