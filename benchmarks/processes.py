"""The product's own processes on a stage, each one until the benchmark is done with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import load
import stage as bench

STOP_S = 15

MOLAM = (sys.executable, "-m", "molam.entrypoints.cli")
BARE = (sys.executable, str(Path(__file__).with_name("bare.py")))


def environment(stage: bench.Stage, *, dsn: str, port_offset: int) -> dict[str, str]:
    """Settings of processes that use *dsn* and nothing else of this machine."""
    ours = ("MOLAM_", "DATABASE_", "KAFKA_", "JWT_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
        "DATABASE_URL": dsn,
        "MOLAM_REFRESH_DATABASE_URL": stage.refresh_dsn,
        "MOLAM_HOME": str(stage.folder / "home"),
        "MOLAM_PORT_OFFSET": str(port_offset),
        "LOG_LEVEL": "error",
    }


@contextlib.contextmanager
def running(settings: Mapping[str, str], command: Sequence[str]) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, env=settings)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_S)


@contextlib.asynccontextmanager
async def serving(
    settings: Mapping[str, str], command: Sequence[str], *, port: int, path: str = "/ready"
) -> AsyncIterator[str]:
    """Run a server until the end of the context; give its address once it answers."""
    with running(settings, command):
        await load.until_it_answers(f"http://127.0.0.1:{port}{path}")
        yield f"http://127.0.0.1:{port}"
