"""Fixtures every suite shares: a throw-away PostgreSQL and a fresh database for each test."""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpcore2
import msgspec
import pytest
from xdist.scheduler import LoadScopeScheduling

from databases import Server, fresh_database
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.db.migrations import migrate
from molam.platform.embedded import EmbeddedPostgres

ROOT = Path(__file__).parent.parent
MIGRATIONS = ROOT / "migrations"

# Nothing here has to survive a crash of the machine.
_CARELESS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    # Tests that mean to deadlock wait for this long.
    "deadlock_timeout": "200ms",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
}
# A database is a thousand files: on a slow disk making one takes half a second, in
# memory 30 ms, and most tests have their own.
_IN_MEMORY = Path("/dev/shm")
_IN_MEMORY_MIN_BYTES = 2 << 30
_REFRESH_PASSWORD = "molam-test"
_ROLES_LOCK = 0x726F6C65  # "role"


# What browser tests use, and whose database keeps what each of them did to it.
_KEPT = {"sit_down: Open": "console", "enter: Open": "room", "visit: Open": "product"}


class Together(LoadScopeScheduling):
    """
    Shares tests out singly, but those that share something go to one worker, in their order.

    It is then made once, and no test meets another one's traces by how work was shared out.
    Marks of pytest-xdist (`xdist_group`) do the same, but pytest 9 does not let them.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _shared_by(nodeid.partition("::")[0]) or nodeid


@functools.cache
def _shared_by(file: str) -> str | None:
    """Return the name of what the tests of *file* share, if they do."""
    text = (ROOT / file).read_text()
    if "/e2e/" in file:
        return next((shared for asks, shared in _KEPT.items() if asks in text), None)
    return file if 'scope="module"' in text else None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Fail whatever tries to reach beyond this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            assert address[0] in {"127.0.0.1", "::1", "localhost"}, f"reached for {address[0]}"
        connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def _made_once() -> Iterator[None]:
    """
    Keep what each app makes as it starts and what is the same for all of them.

    The machine's certificates take 30 ms to read and the schemas of an API 40 ms to
    write: of a thousand tests that start an app they were a third.
    """
    read, write = httpcore2.default_ssl_context, msgspec.json.schema_components
    kept = functools.cache(write)

    def written(types: list[Any], *, ref_template: str) -> Any:
        return kept(tuple(types), ref_template=ref_template)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", functools.cache(read))
        patch.setattr(msgspec.json, "schema_components", written)
        yield


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Drive the system's Chromium (pytest-playwright asks for this fixture by name)."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        assert not os.environ.get("MOLAM_REQUIRE_BROWSER"), "no Chromium, and one is required"
        pytest.skip("no Chromium here")
    # Root may not use Chromium's sandbox; containers have a small /dev/shm.
    return {"executable_path": found, "args": ["--no-sandbox", "--disable-dev-shm-usage"]}


@pytest.fixture(scope="session")
def _admin_dsn() -> Iterator[str]:
    """Start a server of this process alone, or use the one MOLAM_TEST_DATABASE_URL names."""
    given = os.environ.get("MOLAM_TEST_DATABASE_URL")
    if given:
        yield given
        return
    home = Path(tempfile.mkdtemp(prefix="molam-test-", dir=_fast_folder()))
    home.chmod(0o711)  # The server may run as another user than ours.
    server = EmbeddedPostgres(home, settings=_CARELESS)
    try:
        server.start()
        _ask_no_passwords(home)
        yield server.dsn("postgres")
    finally:
        server.stop()
        shutil.rmtree(home)


def _ask_no_passwords(home: Path) -> None:
    """Let in whoever is on this machine: proving a password takes longer than a query."""
    data = home / "postgres" / "data"
    (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
    os.kill(int((data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGHUP)


def _fast_folder() -> Path | None:
    """Return a folder in memory if there is one with room, or None for the usual one."""
    if os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _IN_MEMORY_MIN_BYTES:
        return _IN_MEMORY
    return None


@pytest.fixture(scope="session")
async def postgres(_admin_dsn: str) -> AsyncIterator[Server]:
    server = Server(_admin_dsn, f"molam_test_template_{secrets.token_hex(4)}")
    admin = await asyncpg.connect(_admin_dsn)
    try:
        # Roles are the whole server's: two runs must not create and alter them at once.
        await admin.execute("select pg_advisory_lock($1)", _ROLES_LOCK)
        await admin.execute(f"create database {server.template}")
        await migrate(server.dsn(server.template), MIGRATIONS)
        await admin.execute(f"alter role molam_refresh login password '{_REFRESH_PASSWORD}'")
        await admin.execute("select pg_advisory_unlock($1)", _ROLES_LOCK)
        yield server
        await admin.execute(f"drop database {server.template} with (force)")
    finally:
        await admin.close()


@pytest.fixture(scope="session")
async def _admin(postgres: Server) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(postgres.admin_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def dsn(postgres: Server, _admin: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    """A fresh, migrated, empty database of this test alone."""
    async with fresh_database(postgres, _admin) as made:
        yield made


@pytest.fixture(scope="session")
async def shared_dsn(postgres: Server, _admin: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    """A migrated, empty database for tests that write nothing."""
    async with fresh_database(postgres, _admin) as made:
        yield made


@pytest.fixture
async def refresh_dsn(dsn: str) -> str:
    """The same database, logged in as molam_refresh."""
    parts = urlsplit(dsn)
    netloc = f"molam_refresh:{_REFRESH_PASSWORD}@{parts.netloc.rpartition('@')[2]}"
    return parts._replace(netloc=netloc).geturl()


async def _opened(dsn: str, role: ProcessRole) -> AsyncIterator[Database]:
    database = await open_database(dsn, role, application="tests", connections_max=8)
    yield database
    await asyncio.wait_for(database.close(), timeout=5)


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    """As the owner: may do everything, sees every merchant."""
    async for database in _opened(dsn, ProcessRole.OWNER):
        yield database


@pytest.fixture
async def worker_db(dsn: str) -> AsyncIterator[Database]:
    """As a worker: what the migrations grant molam_worker."""
    async for database in _opened(dsn, ProcessRole.WORKER):
        yield database


@pytest.fixture
async def web_db(dsn: str) -> AsyncIterator[Database]:
    """As a web process: one merchant at a time by row-level security."""
    async for database in _opened(dsn, ProcessRole.WEB):
        yield database


@pytest.fixture
async def ops_db(dsn: str) -> AsyncIterator[Database]:
    """As an ops process: every merchant, and what the migrations grant molam_ops."""
    async for database in _opened(dsn, ProcessRole.OPS):
        yield database


@pytest.fixture
async def money_db(dsn: str) -> AsyncIterator[Database]:
    """As what changes things for a merchant: one at a time, and what molam_money may."""
    async for database in _opened(dsn, ProcessRole.MONEY):
        yield database
