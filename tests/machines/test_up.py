"""``molam up`` as its operator sees it: it starts, says where, stops, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.processes,
]

# A busy machine is slow, not wrong.
READY_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 30.0


class Up:
    """``molam up`` in one folder, run as often as tests end it."""

    def __init__(self, home: Path, offset: int, *arguments: str) -> None:
        self.home = home
        self.output = home / "up.out"
        self.offset = offset
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self.pids: set[int] = set()
        self.starts = 0

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _start(self) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MOLAM_", "DATABASE_", "KAFKA_", "JWT_"))
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "molam.entrypoints.cli", "up", *self.arguments],
                cwd=self.home,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **environment,
                    "MOLAM_HOME": str(self.home / "data"),
                    "MOLAM_PORT_OFFSET": str(self.offset),
                },
            )
        self.pids = set()
        self.starts += 1

    def wait_ready(self) -> None:
        """Start it unless it runs already: a start takes as long as a hundred other tests."""
        if not self.runs:
            self._start()
        assert self.process is not None
        begun = time.monotonic()
        while "is ready" not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() - begun < READY_TIMEOUT_S, self.said()
            time.sleep(0.05)
        self.pids |= self.descendants()

    def descendants(self) -> set[int]:
        return _descendants(self.process.pid) if self.process is not None else set()

    def said(self) -> str:
        return self.output.read_text()

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.pids |= self.descendants()
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="molam-test-"))
    yield folder
    shutil.rmtree(folder)


PORTS = (3001, 3011, 3013, 3014, 3100, 3136, 3138, 8000)
AFTERTHOUGHTS_MAX = 100


@pytest.fixture(scope="module")
def offset() -> int:
    """Shift the ports to where nobody else's are: not the other workers', nor another run's."""
    # Each worker of pytest-xdist has a range of its own.
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    for place in random.sample(range(10), 10):
        offset = 11_000 + (mine * 10 + place) * 200
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in PORTS:
                held.enter_context(socket.create_server(("127.0.0.1", port + offset)))
            return offset
    raise AssertionError("no place for the product's ports")


@pytest.fixture(scope="module")
def up(home: Path, offset: int) -> Iterator[Up]:
    run = Up(home, offset, "--no-traffic", "--days", "1")
    yield run
    if run.runs:
        run.end(signal.SIGTERM)
    _wait_until_gone(run.pids)


def test_operator_commands_find_the_running_product(home: Path, offset: int, up: Up):
    up.wait_ready()

    dsn = _molam(home, offset, "dsn")
    doctor = _molam(home, offset, "doctor")
    token = _molam(home, offset, "token", "--role", "merchant_admin", "--merchant", "merchant-123")

    assert dsn.stdout.startswith("postgresql://molam:")
    assert doctor.returncode == 0, doctor.stdout
    assert "FAIL" not in doctor.stdout
    status = _status(
        offset + 3001,
        "/api/merchant/summary?period=mtd&currency=XOF",
        {"Authorization": f"Bearer {token.stdout.strip()}"},
    )
    assert status == 200


def test_second_one_in_the_same_folder_is_refused_in_one_line(home: Path, offset: int, up: Up):
    up.wait_ready()
    done = _molam(home, offset + 1, "up")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "already runs in" in done.stderr


def test_child_that_is_killed_comes_back(up: Up):
    up.wait_ready()
    worker = _wait_for("kpiWorker", up)

    os.kill(worker, signal.SIGKILL)

    assert _wait_for("kpiWorker", up, other_than=worker) != worker
    assert "kpi ended (-9)" in up.said()


def test_starts_everything_and_stops_cleanly_on_sigterm(up: Up):
    up.wait_ready()

    assert _status(up.offset + 3001, "/ready") == 200
    assert _status(up.offset + 3100, "/ready") == 200
    assert _status(up.offset + 3138, "/ready") == 200
    assert _status(up.offset + 8000, "/ready") == 200
    assert _wait_for("kpiWorker", up)
    assert any("postgres" in _title(pid) for pid in up.pids)
    assert not any("traffic" in _title(pid) for pid in up.pids)

    assert up.end(signal.SIGTERM) == 0
    assert _wait_until_gone(up.pids) == set()


def test_second_start_repeats_nothing_and_ctrl_c_stops_it(up: Up, home: Path):
    if up.runs or not up.starts:
        up.wait_ready()
        up.end(signal.SIGTERM)
    assert _wait_until_gone(up.pids) == set()
    up.wait_ready()

    applied = int(_last_line(home, "catch-up").split()[1])
    assert up.starts > 1
    assert _last_line(home, "seed") == "published 0 events of the last 1 days"
    # Banks are probed until the last moment; the day of trade is thousands.
    assert applied < AFTERTHOUGHTS_MAX
    assert up.end(signal.SIGINT) == 0
    assert _wait_until_gone(up.pids) == set()
    assert "Traceback" not in up.said()


def test_what_prepares_the_demo_logs_as_everything_else_does(up: Up, home: Path):
    if not up.starts:
        up.wait_ready()
    for name in ("seed", "catch-up", "activity"):
        text = (home / "data" / "logs" / f"{name}.log").read_text()
        assert "[info" not in text, name
        assert "[warning" not in text, name


def _last_line(home: Path, name: str) -> str:
    return (home / "data" / "logs" / f"{name}.log").read_text().splitlines()[-1]


def test_nothing_is_left_when_it_is_killed(up: Up):
    up.wait_ready()

    up.end(signal.SIGKILL)

    assert _wait_until_gone(up.pids) == set()


def test_taken_port_is_refused_in_one_line_that_names_it(home: Path, offset: int):
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", offset + 3001))
        thief.listen()
        done = _molam(home, offset, "up")

    assert done.returncode == 2
    assert done.stderr == (
        f"molam: port {offset + 3001} is taken: stop what listens there, or set MOLAM_PORT_OFFSET\n"
    )


def test_unknown_setting_is_refused_in_one_line(home: Path, offset: int):
    done = _molam(home, offset, "doctor", MOLAM_PORT_OFSET="1")

    assert done.returncode == 2
    assert done.stderr == (
        "molam: MOLAM_PORT_OFSET is not a setting; did you mean MOLAM_PORT_OFFSET?\n"
    )


def test_production_is_refused(home: Path, offset: int):
    done = _molam(
        home,
        offset,
        "up",
        MOLAM_ENV="production",
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        JWT_ISSUER="https://id.example.com",
        JWT_PUBLIC_KEY_URL="https://id.example.com/jwks.json",
        MOLAM_SECRET_KEY="k" * 64,
    )

    assert done.returncode == 2
    assert "molam up is for development" in done.stderr


def _molam(
    home: Path, offset: int, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "molam.entrypoints.cli", *arguments],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "MOLAM_HOME": str(home / "data"),
            "MOLAM_PORT_OFFSET": str(offset),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _status(port: int, path: str, headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _wait_for(title: str, up: Up, other_than: int = 0) -> int:
    """Wait for a process of *title*; it names itself a moment after it started."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for pid in up.descendants() - {other_than}:
            if _title(pid).startswith(title):
                return pid
        time.sleep(0.05)
    raise AssertionError(f"no {title}: {up.said()}")


def _descendants(root: int) -> set[int]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def _wait_until_gone(pids: set[int]) -> set[int]:
    """Return those of *pids* that still run after a while."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while (left := {pid for pid in pids if _title(pid)}) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
