"""Plain SQL migrations, forward only, each applied once and never edited."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from molam.kernel.refusals import Outage
from molam.platform.db.transaction import _UNREACHABLE

_LOCK = 0x6D6F6C616D  # "molam"


class MigrationRefused(Exception):
    """The files and the database cannot both be right; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(folder: Path) -> list[Migration]:
    """
    Read the numbered ``*.sql`` files of *folder* in order.

    Raises:
        MigrationRefused: two files share a number.
    """
    found = [
        Migration(int(re.match(r"\d+", path.name)[0]), path.name, path.read_text())  # type: ignore[index]
        for path in sorted(folder.glob("[0-9]*.sql"))
    ]
    versions = [migration.version for migration in found]
    if len(set(versions)) != len(versions):
        raise MigrationRefused(f"two migrations share a number in {folder}")
    return found


async def migrate(dsn: str, folder: Path) -> list[str]:
    """
    Apply what is missing and return the names applied.

    Safe to run from many processes at once. Each file is one transaction, unless
    it begins with ``-- no-transaction`` (CREATE INDEX CONCURRENTLY).

    Raises:
        MigrationRefused: a file was edited after it was applied, is older than
            the applied head, or the database is newer than this code.
        Outage: PostgreSQL cannot be reached.
    """
    connection = await _connected(dsn)
    try:
        # Never wait inside pg_advisory_lock(): the waiting statement holds a
        # snapshot, and CREATE INDEX CONCURRENTLY of the holder waits for it.
        while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):
            await asyncio.sleep(0.1)
        return await _apply(connection, load(folder))
    finally:
        await connection.close()


async def pending(dsn: str, folder: Path) -> list[str]:
    """
    Return the names `migrate` would apply, applying nothing.

    Raises:
        MigrationRefused: the database does not fit this release.
        Outage: PostgreSQL cannot be reached.
    """
    connection = await _connected(dsn)
    try:
        if await connection.fetchval("select to_regclass('public.schema_migrations')") is None:
            return [migration.name for migration in load(folder)]
        return [m.name for m in _missing(await _applied(connection), load(folder))]
    finally:
        await connection.close()


async def _connected(dsn: str) -> asyncpg.Connection[Any]:
    try:
        return await asyncpg.connect(dsn, timeout=10)
    except _UNREACHABLE as error:
        raise Outage("database") from error


async def _apply(connection: asyncpg.Connection[Any], files: list[Migration]) -> list[str]:
    await connection.execute(
        """
        create table if not exists public.schema_migrations (
            version    int primary key,
            name       text not null,
            sha256     text not null,
            applied_at timestamptz not null default now()
        )
        """
    )
    missing = _missing(await _applied(connection), files)
    await connection.execute("set lock_timeout = '5s'")
    for migration in missing:
        if migration.sql.lstrip().startswith("-- no-transaction"):
            for statement in migration.sql.split(";\n"):
                if statement.strip():
                    await connection.execute(statement)
            await _record(connection, migration)
        else:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await _record(connection, migration)
    return [migration.name for migration in missing]


async def _applied(connection: asyncpg.Connection[Any]) -> dict[int, str]:
    rows = await connection.fetch("select version, sha256 from public.schema_migrations")
    return {row["version"]: row["sha256"] for row in rows}


def _missing(applied: dict[int, str], files: list[Migration]) -> list[Migration]:
    unknown = sorted(applied.keys() - {migration.version for migration in files})
    if unknown:
        raise MigrationRefused(
            f"the database is newer than this code (migration {unknown[0]:04d}); install a newer "
            "release, or point MOLAM_HOME or DATABASE_URL elsewhere"
        )
    head = max(applied, default=0)
    missing = []
    for migration in files:
        if migration.version not in applied:
            if migration.version < head:
                raise MigrationRefused(f"{migration.name} is older than the applied head")
            missing.append(migration)
        elif applied[migration.version] != migration.sha256:
            raise MigrationRefused(f"{migration.name} was changed after it was applied")
    return missing


async def _record(connection: asyncpg.Connection[Any], migration: Migration) -> None:
    await connection.execute(
        "insert into public.schema_migrations (version, name, sha256) values ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.sha256,
    )
