"""PostgreSQL from a wheel, supervised by us: one data folder, one server, one supervisor."""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from molam.platform.binaries import (
    Binaries,
    EmbeddedRefused,
    environment,
    find_binaries,
    server_user,
)

SUPERUSER = "molam"
DATABASE = "molam_connect"

# Below the range from which the kernel takes ports for outgoing connections, so
# that a port once chosen is seldom found taken.
_PORTS = range(21_000, 30_000)

_START_TIMEOUT_S = 300.0  # Recovery after a crash may replay gigabytes.
_STOP_TIMEOUT_S = 60.0
_LOG_BYTES_MAX = 10_000_000

# Small: the whole of `molam up` has a memory budget, and the demo's data is small.
_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "120",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "256MB",
    "max_worker_processes": "4",
    "autovacuum_max_workers": "2",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}


class EmbeddedPostgres:
    """
    The server of one folder: started by whoever comes first, shared by the others.

    Start it from the main thread. The kernel stops the server when the *thread*
    that started it ends, which is how a killed supervisor leaves nothing behind.
    """

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.folder = home.absolute() / "postgres"
        self._data = self.folder / "data"
        self._log = self.folder / "postgres.log"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._port = 0

    @property
    def is_ours(self) -> bool:
        """Whether this object started the server, and so has to stop it."""
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        """How the server that we started ended; ``None`` while it runs."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def dsn(self, database: str = DATABASE) -> str:
        password = (self.folder / "password").read_text().strip()
        # Without TLS nobody goes looking for keys in a home that may not be readable.
        where = f"127.0.0.1:{self._port}/{database}?sslmode=disable"
        return f"postgresql://{SUPERUSER}:{password}@{where}"

    def start(self) -> None:
        """
        Make sure the server runs: start it, or find the one that runs already.

        Raises:
            EmbeddedRefused: it cannot, for a reason the operator can mend.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not self._take_lock():
                if self._attach():
                    return
                if time.monotonic() > deadline:
                    raise EmbeddedRefused(f"{self.folder}: another process holds the lock")
                time.sleep(0.05)
            try:
                self._start_own()
            except BaseException:
                self.stop()
                raise
        except OSError as error:
            raise EmbeddedRefused(
                f"{error.filename or self.folder}: {error.strerror}; "
                "MOLAM_HOME must be a folder this user may write to"
            ) from None

    def stop(self) -> None:
        """Shut the server down if it is ours: sessions end, everything committed is kept."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            for how, timeout_s in ((signal.SIGINT, _STOP_TIMEOUT_S), (signal.SIGQUIT, 10.0)):
                process.send_signal(how)
                try:
                    process.wait(timeout_s)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                process.kill()
                process.wait()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> bool:
        if self._lock is not None:
            return True
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _attach(self) -> bool:
        status = _read_status(self._data)
        if status is None or not status.is_ready:
            return False
        self._port = status.port
        return True

    def _start_own(self) -> None:
        self._end_orphan()
        version = self._data / "PG_VERSION"
        binaries = find_binaries(version.read_text().strip() if version.exists() else None)
        as_server_user = server_user(binaries.folder, self.folder)
        if not version.exists():
            self._initialise(binaries, as_server_user)
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES_MAX:
            self._log.replace(self._log.with_suffix(".log.1"))

        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            self._port = self._choose_port()
            if self._launch(binaries, as_server_user):
                return
            if "still in use" in _last_line(self._log):
                time.sleep(0.2)  # The sessions of a server that was killed end in a moment.
            elif _is_free(self._port):
                break  # It ended for another reason than a port taken in between.
        raise EmbeddedRefused(
            f"PostgreSQL did not start: {_last_line(self._log)} (see {self._log})"
        )

    def _end_orphan(self) -> None:
        """
        Wait for a server whose supervisor was killed, and stop it if need be.

        We hold the lock, so nobody supervises it. Where setpriv exists the kernel
        has already told it to stop.
        """
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        told = False
        while (status := _read_status(self._data)) and _is_postgres_of(status.pid, self._data):
            if not told:
                os.kill(status.pid, signal.SIGINT)
                told = True
            if time.monotonic() > deadline:
                raise EmbeddedRefused(
                    f"stop process {status.pid} first: it still uses {self._data}"
                )
            time.sleep(0.05)

    def _initialise(self, binaries: Binaries, as_server_user: Callable[..., list[str]]) -> None:
        password = secrets.token_hex(24)
        _write_private(self.folder / "password", password)

        # Made under another name: a kill half way must not look like a database.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        handed = self.folder / "password.initdb"
        _write_private(handed, password)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(fresh, nobody.pw_uid, nobody.pw_gid)
            os.chown(handed, nobody.pw_uid, nobody.pw_gid)
        # The builtin provider folds the case of every letter the same everywhere,
        # whatever locales the machine has.
        locale = (
            ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            if binaries.major >= 17  # noqa: PLR2004 - the release that brought the builtin provider.
            else ["--locale=C.UTF-8"]
        )
        try:
            done = subprocess.run(  # noqa: S603
                as_server_user(
                    str(binaries.folder / "initdb"),
                    *("-D", str(fresh), "-U", SUPERUSER, "-E", "UTF8"),
                    *("-A", "scram-sha-256", "--pwfile", str(handed)),
                    *locale,
                    "--no-instructions",
                    *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
                ),
                capture_output=True,
                text=True,
                env=environment(),
                cwd="/",
                check=False,
            )
        finally:
            handed.unlink(missing_ok=True)
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            reason = said[-1] if said else "initdb"
            raise EmbeddedRefused(f"the database could not be created in {self.folder}: {reason}")
        shutil.rmtree(self._data, ignore_errors=True)
        fresh.rename(self._data)

    def _choose_port(self) -> int:
        """Return the port of last time, or another one when somebody has taken it."""
        kept = self.folder / "port"
        if kept.exists() and kept.read_text().strip().isdigit():
            port = int(kept.read_text())
            if _is_free(port):
                return port
        for _attempt in range(100):
            port = secrets.choice(_PORTS)
            if _is_free(port):
                kept.write_text(f"{port}\n")
                return port
        raise EmbeddedRefused(f"no free port between {_PORTS.start} and {_PORTS.stop}")

    def _launch(self, binaries: Binaries, as_server_user: Callable[..., list[str]]) -> bool:
        """Start the server and wait; return False if it ended instead of being ready."""
        options = {
            **self._settings,
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            # A socket's path may be 107 bytes long, a data folder's may be longer.
            "unix_socket_directories": "",
        }
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal must not stop the server
            # before those who use it have finished.
            self._process = process = subprocess.Popen(  # noqa: S603
                as_server_user(
                    str(binaries.folder / "postgres"), "-D", str(self._data), *arguments
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while process.poll() is None:
            # Not pg_isready: it would be answered by another server on the same port.
            status = _read_status(self._data)
            if status is not None and status.is_ready and status.pid == process.pid:
                return True
            if time.monotonic() > deadline:
                raise EmbeddedRefused(f"PostgreSQL is not ready after {_START_TIMEOUT_S:.0f} s")
            time.sleep(0.01)
        self._process = None
        return False


def running_dsn(home: Path, database: str = DATABASE) -> str | None:
    """Return the URL of the server that runs on *home*, if one does; start nothing."""
    server = EmbeddedPostgres(home)
    status = _read_status(server._data)  # noqa: SLF001 - same module.
    if status is None or not _is_postgres_of(status.pid, server._data):  # noqa: SLF001
        return None
    server._attach()  # noqa: SLF001
    return server.dsn(database)


async def create_database(admin_dsn: str, name: str = DATABASE) -> None:
    """Create the database *name* unless it exists."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
            assert name.replace("_", "").isalnum()
            await connection.execute(f'create database "{name}"')
    except asyncpg.DuplicateDatabaseError:
        pass  # Somebody who started at the same moment was quicker.
    finally:
        await connection.close()


async def enable_refresh_login(dsn: str, home: Path) -> str:
    """
    Let molam_refresh log in with a password of its own; return the URL it uses.

    It must be another log-in and not another role of ours, because the reader of
    the event log tells long refreshes apart by who logged in.
    """
    password = _keep_password(home / "postgres" / "refresh_password")
    connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(f"alter role molam_refresh login password '{password}'")
    finally:
        await connection.close()
    _user, _, rest = dsn.removeprefix("postgresql://").rpartition("@")
    return f"postgresql://molam_refresh:{password}@{rest}"


@dataclass(frozen=True, slots=True)
class _Status:
    """What a server writes about itself into postmaster.pid."""

    pid: int
    port: int
    is_ready: bool


def _read_status(data: Path) -> _Status | None:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 4 or not lines[3].strip().isdigit():  # noqa: PLR2004 - still being written.
        return _Status(int(lines[0]), 0, is_ready=False) if lines and lines[0].isdigit() else None
    ready = len(lines) >= 8 and lines[7].strip() == "ready"  # noqa: PLR2004 - the status line.
    return _Status(int(lines[0]), int(lines[3]), is_ready=ready)


def _is_postgres_of(pid: int, data: Path) -> bool:
    """Tell a live server of *data* from a stale file whose number somebody else now has."""
    try:
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline")
        return not Path("/proc/self").exists() or str(data).encode() in command.read_bytes()
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _keep_password(path: Path) -> str:
    if not path.exists():
        _write_private(path, secrets.token_hex(24))
    password = path.read_text().strip()
    assert password.isalnum(), f"{path} was edited"
    return password


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(f"{text}\n")


def _last_line(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 4096))
        lines = log.read().decode(errors="replace").splitlines()
    loud = [line for line in lines if "FATAL" in line or "ERROR" in line]
    return (loud or lines or ["it said nothing"])[-1][:300]
