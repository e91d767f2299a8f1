"""Where domains are joined: each app and worker is put together here and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator

import httpx2
from fastapi import FastAPI

from molam.entrypoints.local import MERCHANT_PORT, StartRefused, migrations_folder
from molam.kernel.clock import SystemClock
from molam.merchant import commands as merchant
from molam.merchant import endpoints, live, pages, stream
from molam.merchant import jobs as merchant_jobs
from molam.merchant.queries import RateBook
from molam.payments import commands as payments
from molam.payments import jobs as payments_jobs
from molam.platform import events, jobs
from molam.platform.auth import sessions
from molam.platform.auth.assembly import assemble
from molam.platform.auth.sign_in import RelyingParty
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.events import Consumer, Kafka, run_consumers, run_relay
from molam.platform.settings import Secret, Settings
from molam.platform.web import Cursors, Site, assets, build_app, health, preferences
from molam.platform.web.listener import listening
from molam.platform.web.sse import Hub
from molam.platform.web.templating import problem_page
from molam.tenancy import queries as tenancy

CHANNELS = frozenset({"kpi", "transactions"})
EVENTS_KEPT_DAYS = 14
REFRESH_TIMEOUT_S = 600
PARTS = frozenset({"intake", "kpi", "jobs", "relay"})


def merchant_app(settings: Settings) -> FastAPI:
    """Put together the merchant app: the API under /api/merchant, and the pages."""
    clock = SystemClock()
    client = httpx2.AsyncClient(timeout=5.0)

    async def roles_of(subject: str, merchant_id: str | None) -> frozenset[str] | None:
        return await tenancy.roles_of(app.state.db, subject, merchant_id)

    auth = assemble(
        settings,
        party=RelyingParty(
            app="merchant",
            client_id=settings.molam_oidc_client_id,
            public_url=settings.merchant_url,
            cookie=f"molam_merchant_{settings.port(MERCHANT_PORT)}",
        ),
        client=client,
        directory=roles_of,
        clock=clock,
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.db = await open_database(
            settings.database_dsn,
            ProcessRole.WEB,
            application="molam-merchant",
            connections_max=settings.molam_db_connections_max,
        )
        app.state.hub = hub = Hub(channels=CHANNELS)
        app.state.rates = RateBook()
        app.state.cursors = Cursors(secret_key(settings), purpose="transactions")

        def directory_changed(_person: str) -> None:
            auth.directory.forget()
            hub.recheck()

        def doubt_everything() -> None:
            auth.directory.forget()
            hub.tell_all()

        hear = {
            "kpi": lambda merchant_id: hub.tell("kpi", merchant_id),
            "transactions": lambda merchant_id: hub.tell("transactions", merchant_id),
            "directory": directory_changed,
        }
        async with (
            client,
            listening(
                settings.database_dsn, hear, gap=doubt_everything, application="molam-merchant"
            ),
        ):
            yield
        await app.state.db.close()

    app = build_app(
        name="merchant-dashboard",
        routes=[
            endpoints.routes,
            stream.routes,
            pages.routes,
            live.routes,
            preferences.routes,
            assets.routes,
            auth.routes,
        ],
        authenticator=auth.authenticator,
        settings=settings,
        lifespan=lifespan,
        site=Site(
            public_origin=settings.merchant_url,
            form_action=(auth.issuer_origin,),
            sign_in_path="/sign-in",
            problem_page=problem_page,
            ready={
                "database": health.database_answers(lambda: app.state.db),
                "migrations": health.migrations_applied(settings.database_dsn, migrations_folder()),
            },
            clock=clock,
        ),
    )
    return app


def secret_key(settings: Settings) -> Secret:
    """Read the signing key, or make one under MOLAM_HOME for all processes of this machine."""
    if settings.molam_secret_key:
        return settings.molam_secret_key
    path = settings.molam_home / "secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Linking is atomic: of several processes that start at once, one names its
        # file, and nobody ever reads half of one.
        draft = path.with_name(f"secret.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32), encoding="ascii")
        try:
            os.link(draft, path)
        finally:
            draft.unlink()
    return Secret(path.read_text(encoding="ascii"))


async def run_worker(settings: Settings, only: frozenset[str], stop: asyncio.Event) -> None:
    """
    Run the parts named in *only*, or all of them, until *stop*.

    Raises:
        StartRefused: no such part.
    """
    unknown = sorted(only - PARTS)
    if unknown:
        raise StartRefused(f"no such part: {unknown[0]}; there are {', '.join(sorted(PARTS))}")
    parts = only or PARTS
    async with contextlib.AsyncExitStack() as stack:
        db = await _opened(
            stack, settings, ProcessRole.WORKER, name=f"molam-{'-'.join(sorted(parts))}"
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_consume(settings, parts, db, named=bool(only), stop=stop))
            if "jobs" in parts:
                refresh_db = await _opened(
                    stack, settings, ProcessRole.REFRESH, name="molam-refresh"
                )
                tasks.create_task(_do_jobs(settings, db, refresh_db, stop))


async def _consume(
    settings: Settings, parts: frozenset[str], db: Database, *, named: bool, stop: asyncio.Event
) -> None:
    group = settings.kafka_group_id if named else ""
    consumers = []
    if "intake" in parts:
        consumers.append(Consumer(group or "intake", payments.TOPICS, payments.store_events))
    if "kpi" in parts:
        worker = merchant.KpiWorker(SystemClock())
        consumers.append(Consumer(group or "kpi", merchant.TOPICS, worker.handle))
    kafka = Kafka.of(settings)
    async with asyncio.TaskGroup() as tasks:
        if consumers:
            tasks.create_task(
                run_consumers(db, consumers, dsn=settings.database_dsn, kafka=kafka, stop=stop)
            )
        if "relay" in parts and kafka is not None:
            tasks.create_task(
                run_relay(db, kafka, topics=payments.TOPICS, dsn=settings.database_dsn, stop=stop)
            )


async def _do_jobs(
    settings: Settings, db: Database, refresh_db: Database, stop: asyncio.Event
) -> None:
    readers = ["relay"] if settings.kafka_brokers else ["intake", "kpi"]

    async def tidy(db: Database) -> None:
        async with db.transaction("platform.tidy") as tx:
            await events.purge(tx, groups=readers, days=EVENTS_KEPT_DAYS)
            await jobs.purge(tx, days=EVENTS_KEPT_DAYS)
            await sessions.purge(tx)

    await jobs.run_jobs(
        db,
        dsn=settings.database_dsn,
        handlers=merchant_jobs.handlers(lambda: refresh_db),
        crons=[
            *payments_jobs.CRONS,
            *merchant_jobs.crons(lambda: refresh_db, SystemClock()),
            jobs.Cron("platform.tidy", "29 * * * *", tidy),
        ],
        stop=stop,
    )


async def _opened(
    stack: contextlib.AsyncExitStack, settings: Settings, role: ProcessRole, *, name: str
) -> Database:
    """Open a pool that *stack* closes. A refresh may take minutes; nothing else may."""
    is_refresh = role is ProcessRole.REFRESH
    login = settings.molam_refresh_database_url if is_refresh else settings.database_url
    db = await open_database(
        (login or settings.database_url).reveal(),
        role,
        application=name,
        connections_max=2 if is_refresh else settings.molam_db_connections_max,
        statement_timeout_s=REFRESH_TIMEOUT_S if is_refresh else 10,
    )
    stack.push_async_callback(db.close)
    return db
