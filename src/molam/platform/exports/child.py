"""Work that would hold everybody else up, done in a process of its own with bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import Awaitable, Callable

import msgspec

_TAIL_BYTES = 2000
_PROGRESS = b"done "


class ChildFailed(Exception):
    """The process ended badly; the message is the end of what it said."""


class ChildRefused(Exception):
    """The process understood and said no; the message is its sentence."""


REFUSED_STATUS = 3


async def run_child(
    module: str,
    order: msgspec.Struct,
    *,
    timeout_s: float,
    progress: Callable[[int], Awaitable[None]],
) -> None:
    """
    Run ``python -m module`` with *order* as JSON on its input, and wait for its end.

    It dies with this process's wish to wait: after *timeout_s*, or when cancelled.

    Raises:
        ChildRefused: it ended by `refuse`.
        ChildFailed: it ended badly, or was killed for the memory it wanted.
        TimeoutError: it was not done in time.
    """
    # Without ours: a child needs no database and no secret.
    environ = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s):
            # One that dies before it has read its order says why below.
            with contextlib.suppress(ConnectionError):
                process.stdin.write(msgspec.json.encode(order))
                await process.stdin.drain()
                process.stdin.close()
            errors = asyncio.create_task(process.stderr.read())
            async for line in process.stdout:
                if line.startswith(_PROGRESS):
                    await progress(int(line.removeprefix(_PROGRESS)))
            said = (await errors)[-_TAIL_BYTES:].decode(errors="replace")
            status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status == REFUSED_STATUS:
        raise ChildRefused(said.strip())
    if status != 0:
        raise ChildFailed(f"{module} ended with {status}: {said}")


async def ask_child(module: str, order: bytes, *, timeout_s: float) -> bytes:
    """
    Run ``python -m module`` with *order* on its input, and return what it wrote.

    It dies with this process's wish to wait, as in `run_child`.

    Raises:
        ChildFailed: it ended badly, or was killed for the memory it wanted.
        TimeoutError: it was not done in time.
    """
    environ = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    try:
        async with asyncio.timeout(timeout_s):
            answer, errors = await process.communicate(order)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = errors[-_TAIL_BYTES:].decode(errors="replace")
        raise ChildFailed(f"{module} ended with {process.returncode}: {said}")
    return answer


def limit_memory(bytes_max: int) -> None:
    """Let this process ask for no more than *bytes_max* of addresses."""
    resource.setrlimit(resource.RLIMIT_AS, (bytes_max, bytes_max))


def tell(done: int) -> None:
    """Say from the child how many rows are done."""
    sys.stdout.write(f"{_PROGRESS.decode()}{done}\n")
    sys.stdout.flush()


def refuse(sentence: str) -> int:
    """Say no from the child; its main returns what this returns."""
    sys.stderr.write(sentence)
    return REFUSED_STATUS
