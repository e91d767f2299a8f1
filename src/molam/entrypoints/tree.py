"""Child processes kept running: their logs, their restarts, their orderly end."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from molam.entrypoints.local import PARENT_PIPE, StartRefused

_FAILURES_MAX = 8
_BACKOFF_S = 0.5
_BACKOFF_MAX_S = 30.0
_STEADY_S = 60.0  # A child that ran this long is forgiven its earlier failures.
_FAREWELL_S = 15.0
_LOG_BYTES_MAX = 20_000_000

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Child:
    """One ``molam`` command that has to run as long as the tree does."""

    name: str
    arguments: tuple[str, ...]
    port: int | None = None
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    due_at: float = field(default_factory=time.monotonic)


class Signals:
    """
    Waiting that a signal ends.

    Nothing happens in a handler but a byte on a socket, so there is no moment at
    which a signal could come badly.
    """

    def __init__(self) -> None:
        self._inbox, outbox = socket.socketpair()
        self._inbox.setblocking(False)
        outbox.setblocking(False)
        self._outbox = outbox
        signal.set_wakeup_fd(outbox.fileno(), warn_on_full_buffer=False)
        for number in (*_STOPPING, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)
        self.asked_to_stop = 0

    def wait(self, timeout_s: float) -> bool:
        """Wait until something happens; say whether we have been asked to stop."""
        select.select([self._inbox], [], [], timeout_s)
        with contextlib.suppress(BlockingIOError):
            self.asked_to_stop += sum(byte in _STOPPING for byte in self._inbox.recv(64))
        return self.asked_to_stop > 0

    def close(self) -> None:
        """Stop listening. Whatever comes later is ignored: the end is under way."""
        signal.set_wakeup_fd(-1)
        self._inbox.close()
        self._outbox.close()


class Tree:
    """Children that end with us, whichever way we end."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        # Our end is never written to. It closes when we are gone, even by
        # kill -9, and that is what the children wait for.
        self._their_end, self._our_end = os.pipe()
        self._environment = {
            **environment,
            PARENT_PIPE: str(self._their_end),
            # Each arena is memory that is seldom given back.
            "MALLOC_ARENA_MAX": "2",
        }
        self.children: list[Child] = []

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def run(self, name: str, *arguments: str) -> int:
        """Run one command to its end and return its exit code."""
        with self.log_of(name).open("ab") as log:
            return subprocess.run(  # noqa: S603
                _command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                pass_fds=(self._their_end,),
                check=False,
            ).returncode

    def add(self, child: Child) -> None:
        self.children.append(child)
        self._start(child)

    def tend(self) -> list[str]:
        """
        Start again what has ended, not too eagerly; return what to tell the operator.

        Raises:
            StartRefused: a child ends each time it is started.
        """
        now = time.monotonic()
        told = []
        for child in self.children:
            if child.process is None:
                if now >= child.due_at:
                    self._start(child)
            elif child.process.poll() is not None:
                told.append(self._note_end(child, child.process.returncode, now))
            else:
                self._bound_log(child.name)
        return told

    def stop(self, signals: Signals) -> list[str]:
        """End every child: asked first, made to when the time is up or on a second signal."""
        running = [child for child in self.children if child.process is not None]
        for child in running:
            _send(child, signal.SIGTERM)
        deadline = time.monotonic() + _FAREWELL_S
        asked = signals.asked_to_stop
        while any(_is_running(child) for child in running):
            signals.wait(0.1)
            if time.monotonic() > deadline or signals.asked_to_stop > asked:
                break
        stubborn = [child for child in running if _is_running(child)]
        for child in stubborn:
            _send(child, signal.SIGKILL)
        for child in running:
            assert child.process is not None
            child.process.wait()
        return [f"{child.name} did not stop in time and was killed" for child in stubborn]

    def _start(self, child: Child) -> None:
        child.started_at = time.monotonic()
        with self.log_of(child.name).open("ab") as log:
            # A session of its own: Ctrl-C reaches us alone, and we decide the order.
            child.process = subprocess.Popen(  # noqa: S603
                _command(child.arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                pass_fds=(self._their_end,),
                start_new_session=True,
            )

    def _note_end(self, child: Child, code: int, now: float) -> str:
        child.process = None
        child.failures = 1 if now - child.started_at > _STEADY_S else child.failures + 1
        reason = _last_line(self.log_of(child.name))
        if child.failures > _FAILURES_MAX:
            raise StartRefused(f"{child.name} keeps ending ({code}): {reason}")
        wait_s = min(_BACKOFF_S * 2 ** (child.failures - 1), _BACKOFF_MAX_S)
        child.due_at = now + wait_s
        return f"{child.name} ended ({code}), starting it again in {wait_s:g} s: {reason}"

    def _bound_log(self, name: str) -> None:
        path = self.log_of(name)
        if path.stat().st_size > _LOG_BYTES_MAX:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)  # The child appends, so it goes on at the beginning.


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "molam.entrypoints.cli", *arguments]


def _is_running(child: Child) -> bool:
    return child.process is not None and child.process.poll() is None


def _send(child: Child, number: signal.Signals) -> None:
    if child.process is not None:
        child.process.send_signal(number)


def _last_line(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 4096))
        lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:400] if lines else f"see {path}"
