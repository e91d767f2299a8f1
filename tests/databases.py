"""Databases of their own: clones of the migrated one that the run begins with."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncpg


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL we are superuser of, and the migrated database that tests are cloned from."""

    admin_dsn: str
    template: str

    def dsn(self, database: str) -> str:
        return urlsplit(self.admin_dsn)._replace(path=f"/{database}").geturl()


@contextlib.asynccontextmanager
async def fresh_database(server: Server, admin: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    """Clone the migrated, empty database, and drop the clone in the end."""
    name = f"molam_test_{secrets.token_hex(6)}"
    await admin.execute(f"create database {name} template {server.template} strategy file_copy")
    try:
        # A clone does not inherit what `alter database` set.
        for setting in await admin.fetch(
            "select unnest(setconfig) from pg_db_role_setting s join pg_database d on d.oid = setdatabase"
            " where datname = $1 and setrole = 0",
            server.template,
        ):
            key, _, value = setting[0].partition("=")
            await admin.execute(f"alter database {name} set {key} to {value}")
        yield server.dsn(name)
    finally:
        await admin.execute(f"drop database {name} with (force)")
