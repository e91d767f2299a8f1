"""``molam up``: everything in one process tree."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import http.client
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from molam.entrypoints.local import (
    IDENTITY_PORT,
    MERCHANT_PORT,
    MESH_PORT,
    OPS_PORT,
    SIRA_PORT,
    StartRefused,
    embedded,
    listen,
    migrations_folder,
    prepared,
    read_settings,
)
from molam.entrypoints.tree import Child, Signals, Tree
from molam.platform.db.migrations import migrate
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.settings import Settings
from molam.simulator.profiles import HISTORY_DAYS

SERVICE_PORTS = {
    "identity": IDENTITY_PORT,
    "merchant": MERCHANT_PORT,
    "ops": OPS_PORT,
    "mesh": MESH_PORT,
    "sira": SIRA_PORT,
}
# Where each worker serves its metrics.
WORKER_PORTS = {"kpi": 3011, "jobs": 3013, "relay": 3014}
# Parts that share a process here, where memory counts for more than separation; in
# production each has its own: see docs/guide/operator.md.
BESIDE_MESH = ("sira", "ops")
TOGETHER = {"jobs": "alerts,intake,jobs,mesh,webhooks"}

_READY_TIMEOUT_S = 120.0
_REVIVALS_MAX = 5


@click.command("up")
@click.option("--no-traffic", is_flag=True, help="Without the simulated wallets.")
@click.option(
    "--days",
    type=click.IntRange(0, 730),
    default=HISTORY_DAYS,
    show_default=True,
    help="How much history the demo begins with.",
)
def command(*, no_traffic: bool, days: int) -> None:
    """
    Start the database, every service and worker, and simulated traffic.

    Ctrl-C stops all of it and keeps the data, which is in MOLAM_HOME (.molam).
    MOLAM_PORT_OFFSET shifts every port.
    """
    begun_at = time.monotonic()
    settings = read_settings()
    if settings.is_production:
        raise StartRefused(
            "molam up is for development: in production run molam serve and molam worker"
        )
    with _alone(settings.molam_home):
        for port in (*SERVICE_PORTS.values(), *WORKER_PORTS.values()):
            listen(settings, port).close()
        _say("Starting the database ...")
        with embedded(settings) as server:
            if server is None:
                asyncio.run(migrate(settings.database_dsn, migrations_folder()))
                complete = settings
            else:
                complete = asyncio.run(prepared(server, settings))
            tree = Tree(settings.molam_home.absolute() / "logs", _environment(complete))
            _say("Preparing the demo ...")
            history = ("--history", "--days", str(days)) if days else ()
            if tree.run("seed", "seed", *history) != 0:
                raise StartRefused(f"the demo could not be prepared: see {tree.log_of('seed')}")
            _say("Counting what waits in the event log ...")
            if tree.run("catch-up", "worker", "--until-idle") != 0:
                raise StartRefused(f"the log cannot be read: see {tree.log_of('catch-up')}")
            _say("Refunding, disputing and paying out ...")
            if tree.run("activity", "seed", "--activity") != 0:
                raise StartRefused(f"the demo stopped short: see {tree.log_of('activity')}")
            _say("Starting services ...")
            children = list(_children(complete, traffic=not no_traffic))
            _run(tree, children, server, lambda: _welcome(complete, time.monotonic() - begun_at))


def _run(
    tree: Tree,
    children: Sequence[Child],
    server: EmbeddedPostgres | None,
    welcome: Callable[[], None],
) -> None:
    """Keep all of it running until we are asked to stop, or until that is hopeless."""
    signals = Signals()
    revival = _Revival(server)
    deadline = time.monotonic() + _READY_TIMEOUT_S
    try:
        for child in children:
            tree.add(child)
        awaited = [child for child in tree.children if child.port is not None]
        while not signals.wait(0.1 if awaited else 0.5):
            for line in (*revival.tend(), *tree.tend()):
                _say(line)
            if awaited:
                awaited = [child for child in awaited if not _is_ready(child)]
                if not awaited:
                    welcome()
                elif time.monotonic() > deadline:
                    raise StartRefused(f"{awaited[0].name} is not ready: see its log in MOLAM_HOME")
    finally:
        _say("Stopping ...")
        for line in tree.stop(signals):
            _say(line)
        signals.close()


class _Revival:
    """Starts the embedded server again when it was killed; not for ever."""

    def __init__(self, server: EmbeddedPostgres | None) -> None:
        self._server = server
        self._count = 0

    def tend(self) -> list[str]:
        if self._server is None or self._server.exit_code is None:
            return []
        code, dsn = self._server.exit_code, self._server.dsn()
        self._count += 1
        if self._count > _REVIVALS_MAX:
            raise StartRefused(
                f"the database keeps ending ({code}): see postgres.log in MOLAM_HOME"
            )
        self._server.start()
        if self._server.dsn() != dsn:
            raise StartRefused("the database had to take another port: run molam up again")
        return [f"the database ended ({code}) and was started again"]


def _children(settings: Settings, *, traffic: bool) -> Iterator[Child]:
    for name, port in SERVICE_PORTS.items():
        if name not in BESIDE_MESH:
            beside = [f"--with-{each}" for each in BESIDE_MESH] if name == "mesh" else []
            yield Child(name, ("serve", name, *beside), settings.port(port))
    for part, port in WORKER_PORTS.items():
        if part != "relay" or settings.kafka_brokers:
            parts = TOGETHER.get(part, part)
            yield Child(part, ("worker", "--only", parts, "--metrics-port", str(port)))
    if traffic:
        yield Child("traffic", ("simulate",))


def _environment(settings: Settings) -> dict[str, str]:
    return {
        # The name of one worker's group; here are several, and each keeps its own.
        **{name: value for name, value in os.environ.items() if name != "KAFKA_GROUP_ID"},
        "MOLAM_HOME": str(settings.molam_home.absolute()),
        "DATABASE_URL": settings.database_dsn,
        "MOLAM_REFRESH_DATABASE_URL": settings.molam_refresh_database_url.reveal(),
    }


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep a second `molam up` out of the same folder."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / "up.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StartRefused(
                    f"molam up already runs in {home}: stop it, or set MOLAM_HOME"
                ) from None
            yield
    except OSError as error:
        if error.filename is None:
            raise
        raise StartRefused(
            f"{error.filename}: {error.strerror}; MOLAM_HOME must be a folder you may write to"
        ) from None


def _is_ready(child: Child) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", child.port, timeout=2)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _welcome(settings: Settings, seconds: float) -> None:
    called = sys.argv[0]
    ports = [settings.port(port) for port in WORKER_PORTS.values()]
    shown = ports if settings.kafka_brokers else ports[:-1]
    workers = f"ports {', '.join(map(str, shown))}"
    molam = "molam" if shutil.which("molam") == called else os.path.relpath(called)
    _say(
        f"""
Molam Connect is ready ({seconds:.1f} s)

  Merchant app   {settings.merchant_url}
  Sign in as     awa.diop, password molam-demo; {settings.issuer} lists everybody
  Ops console    {settings.ops_url}; sign in as ibrahima.ba
  Control room   {settings.mesh_url}; sign in as binta.toure
  API            curl -H "Authorization: Bearer $({molam} token --role merchant_admin \\
                   --merchant merchant-123)" {settings.merchant_url}/api/merchant/summary
  Database       psql "$({molam} dsn)"
  Metrics        {settings.merchant_url}/metrics; workers on {workers}
  Logs           {settings.molam_home}/logs

Ctrl-C stops everything and keeps the data."""
    )


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()
