"""The embedded PostgreSQL, started, shared, robbed of its port and killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from molam.platform.binaries import EmbeddedRefused, find_binaries
from molam.platform.db.migrations import migrate
from molam.platform.embedded import (
    EmbeddedPostgres,
    create_database,
    enable_refresh_login,
    running_dsn,
)

pytestmark = pytest.mark.processes

MIGRATIONS = Path(__file__).parents[2] / "migrations"
QUICK = {"fsync": "off"}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder whose path nobody else may walk, as a home of root's is."""
    folder = Path(tempfile.mkdtemp(prefix="molam-test-"))
    server = EmbeddedPostgres(folder / "home", settings=QUICK)
    server.start()
    server.stop()
    yield folder / "home"
    shutil.rmtree(folder)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home, settings=QUICK)
    server.start()
    yield server
    server.stop()


async def test_data_port_and_password_survive_a_restart(server: EmbeddedPostgres):
    before = server.dsn("postgres")
    connection = await asyncpg.connect(before)
    await connection.execute("create table if not exists kept as select 42 as answer")
    await connection.close()

    server.stop()
    server.start()

    assert server.dsn("postgres") == before
    connection = await asyncpg.connect(before)
    assert await connection.fetchval("select answer from kept") == 42
    await connection.close()


def test_second_start_finds_the_running_server(home: Path, server: EmbeddedPostgres):
    other = EmbeddedPostgres(home)
    other.start()
    other.stop()

    assert not other.is_ours
    assert other.dsn() == server.dsn() == running_dsn(home)
    assert server.exit_code is None


def test_stopped_server_is_not_reported_as_running(home: Path, server: EmbeddedPostgres):
    server.stop()

    assert running_dsn(home) is None


def test_taken_port_is_chosen_again(home: Path, server: EmbeddedPostgres):
    kept = int((home / "postgres" / "port").read_text())
    server.stop()

    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", kept))
        thief.listen()
        server.start()

    assert f":{kept}/" not in server.dsn()
    assert server.is_ours


async def test_wrong_password_is_refused(server: EmbeddedPostgres):
    host = server.dsn("postgres").rpartition("@")[2]

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://molam:wrong@{host}")


def test_passwords_are_for_the_owner_alone(home: Path, server: EmbeddedPostgres):
    assert (home / "postgres" / "password").stat().st_mode & 0o077 == 0
    assert not list((home / "postgres").glob("*.initdb"))
    assert server.is_ours


async def test_refresh_role_logs_in_with_a_password_of_its_own(
    home: Path, server: EmbeddedPostgres
):
    await create_database(server.dsn("postgres"))
    await migrate(server.dsn(), MIGRATIONS)

    dsn = await enable_refresh_login(server.dsn(), home)

    assert await enable_refresh_login(server.dsn(), home) == dsn
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("select session_user") == "molam_refresh"
    await connection.close()


def test_killed_supervisor_leaves_no_server(home: Path):
    code = (
        "import sys, time; from pathlib import Path;"
        "from molam.platform.embedded import EmbeddedPostgres;"
        "server = EmbeddedPostgres(Path(sys.argv[1])); server.start();"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        postgres = int(supervisor.stdout.readline())
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()

    # At the latest when the next one starts, the one before is gone.
    again = EmbeddedPostgres(home, settings=QUICK)
    again.start()
    again.stop()

    assert _is_gone(postgres)


def test_killed_server_can_be_started_again_at_once(server: EmbeddedPostgres):
    os.kill(server.pid, signal.SIGKILL)
    while server.exit_code is None:
        time.sleep(0.01)

    server.start()

    assert server.exit_code is None


def test_database_of_another_version_is_refused_in_one_line(home: Path, server: EmbeddedPostgres):
    server.stop()
    version = home / "postgres" / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("99\n")
    try:
        with pytest.raises(EmbeddedRefused) as refused:
            server.start()
    finally:
        version.write_text(right)

    assert "made by PostgreSQL 99" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(EmbeddedRefused) as refused:
        EmbeddedPostgres(tmp_path / "file").start()

    assert "MOLAM_HOME must be a folder" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_binaries_of_a_version_nobody_has_are_refused_by_name():
    with pytest.raises(EmbeddedRefused, match="PostgreSQL 7 and only"):
        find_binaries("7")


def _is_gone(pid: int) -> bool:
    """Whether it runs no more, even where nobody collects what is left of it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == b""
    except FileNotFoundError:
        return True
