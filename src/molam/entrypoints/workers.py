"""Where the workers are put together: consumers, the relay to Kafka, and jobs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from molam.alerts import jobs as alerts_jobs
from molam.alerts.runtime import Watch
from molam.approvals import jobs as approvals_jobs
from molam.approvals.policy.book import PolicyBook
from molam.approvals.risk import jobs as risk_jobs
from molam.approvals.risk import notices as risk_notices
from molam.approvals.runtime import Runtime
from molam.audit import jobs as audit_jobs
from molam.audit.signing import load_signer
from molam.entrypoints import webhook_delivery
from molam.entrypoints.alerts_desk import watch_of
from molam.entrypoints.bank_desk import open_post
from molam.entrypoints.desk import desk_of, worker_name
from molam.entrypoints.local import StartRefused
from molam.entrypoints.mesh_desk import mesh_of
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.ledger import jobs as ledger_jobs
from molam.ledger import rates_jobs
from molam.merchant import commands as merchant
from molam.merchant import dispute_jobs, report_jobs, webhook_metrics
from molam.merchant import jobs as merchant_jobs
from molam.mesh import jobs as mesh_jobs
from molam.mesh.runtime import Mesh
from molam.mesh.signals import probes
from molam.notices import commands as notices
from molam.notices import jobs as notices_jobs
from molam.notices.channels import Channels
from molam.ops.dashboard import jobs as dashboard_jobs
from molam.payments import commands as payments
from molam.payments import jobs as payments_jobs
from molam.payments.banks import jobs as banks_jobs
from molam.payments.banks.files import Post
from molam.payments.disputes import jobs as disputes_jobs
from molam.payments.payouts import jobs as payout_jobs
from molam.payments.refunds import jobs as refunds_jobs
from molam.payments.refunds.remote_service import ApprovalService
from molam.payments.statements import jobs as statements_jobs
from molam.payments.statements.telling import confirm_with
from molam.platform import events, jobs
from molam.platform.actions import Registry
from molam.platform.auth import sessions
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.egress import Egress
from molam.platform.events import Consumer, Kafka, run_consumers, run_relay
from molam.platform.events.bell import Bell
from molam.platform.events.consumer import Patience
from molam.platform.events.log import LOG
from molam.platform.events.postgres_source import PostgresSource
from molam.platform.files import open_store
from molam.platform.settings import Settings
from molam.platform.web import idempotency, rate_limits
from molam.simulator import drill
from molam.sira import drift_watch
from molam.tenancy import jobs as tenancy_jobs
from molam.webhooks import jobs as webhooks_jobs

EVENTS_KEPT_DAYS = 14
PURGE_ROUNDS_MAX = 500
"""Of 10,000 events an hour; a steady 1,000 events a second stays within it."""
REFRESH_TIMEOUT_S = 600
# Who reads the log. KAFKA_GROUP_ID renames readers of Kafka, whose log is Kafka's
# own to keep; see Note [With Kafka and without].
READERS = ("alerts", "intake", "kpi", "mesh", webhook_delivery.PART)
PARTS = frozenset({*READERS, "jobs", "relay"})


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
            # Two readers under one name would have half of the events each.
            named = len(only & {*READERS}) == 1
            tasks.create_task(_consume(settings, parts, db, named=named, stop=stop))
            if webhook_delivery.PART in parts:
                tasks.create_task(webhook_delivery.deliver(settings, db, stop))
            if "jobs" in parts:
                refresh_db = await _opened(
                    stack, settings, ProcessRole.REFRESH, name="molam-refresh"
                )
                tasks.create_task(_do_jobs(settings, db, refresh_db, stop))


async def catch_up(settings: Settings) -> int:
    """
    Apply what waits in the event log, and return how many events that was.

    With Kafka the log is the relay's to read, and nothing is done here.
    """
    if settings.kafka_brokers:
        return 0
    async with contextlib.AsyncExitStack() as stack:
        db = await _opened(stack, settings, ProcessRole.WORKER, name="molam-catch-up")
        async with asyncio.TaskGroup() as tasks:
            counts = [
                tasks.create_task(_drain(db, consumer, settings.database_dsn))
                for consumer in _consumers(settings, frozenset(READERS), db, group="")
            ]
    return max(count.result() for count in counts)


async def _drain(db: Database, consumer: Consumer, dsn: str) -> int:
    source = PostgresSource(db, consumer, Bell(dsn, LOG).subscribe())
    await source.open()
    patience = Patience()
    count = 0
    while moved := await source.step(patience):
        count += moved
    await source.close()
    return count


def _consumers(
    settings: Settings, parts: frozenset[str], db: Database, *, group: str
) -> list[Consumer]:
    consumers = []
    if "intake" in parts:
        consumers.append(Consumer(group or "intake", payments.TOPICS, payments.store_events))
    if "kpi" in parts:
        worker = merchant.KpiWorker(SystemClock())
        consumers.append(Consumer(group or "kpi", merchant.TOPICS, worker.handle))
    if "mesh" in parts:
        # Only here and for alerts: other parts need no key of SIRA's.
        mesh = mesh_of(settings, db, worker="mesh")
        consumers.extend(mesh_jobs.consumers(mesh, group=group))
    if "alerts" in parts:
        known = registry()
        runtime = Runtime(db, known, PolicyBook(known), worker_name("alerts"))
        consumers.extend(alerts_jobs.consumers(watch_of(settings, runtime), group=group))
    if webhook_delivery.PART in parts:
        consumers.append(webhook_delivery.consumer(group=group))
    return consumers


async def _consume(
    settings: Settings, parts: frozenset[str], db: Database, *, named: bool, stop: asyncio.Event
) -> None:
    kafka = Kafka.of(settings)
    group = settings.kafka_group_id if named and kafka is not None else ""
    consumers = _consumers(settings, parts, db, group=group)
    topics = (*payments.TOPICS, *mesh_jobs.TOPICS, *alerts_jobs.TOPICS)
    async with asyncio.TaskGroup() as tasks:
        if consumers:
            tasks.create_task(
                run_consumers(db, consumers, dsn=settings.database_dsn, kafka=kafka, stop=stop)
            )
        if "relay" in parts and kafka is not None:
            tasks.create_task(
                run_relay(db, kafka, topics=topics, dsn=settings.database_dsn, stop=stop)
            )


async def _do_jobs(
    settings: Settings, db: Database, refresh_db: Database, stop: asyncio.Event
) -> None:
    known = registry()
    clock = SystemClock()
    files = open_store(settings)
    channels = Channels.of(settings, public_url=settings.ops_url)
    await notices.offer_channels(db, channels.enabled)
    async with (
        Egress(allow_private=not settings.is_production) as egress,
        open_post(settings, files) as post,
    ):
        runtime = Runtime(db, known, PolicyBook(known), worker_name("jobs"))
        desk = desk_of(settings, runtime)
        mesh, watch = mesh_of(settings, db, worker="jobs"), watch_of(settings, runtime)
        await jobs.run_jobs(
            db,
            dsn=settings.database_dsn,
            handlers=[
                *merchant_jobs.handlers(lambda: refresh_db),
                *report_jobs.handlers(files, clock),
                *notices_jobs.handlers(
                    channels, egress, clock, page_for=risk_notices.page_for(desk.links)
                ),
                *approvals_jobs.handlers(known),
                *risk_jobs.handlers(desk),
                *banks_jobs.handlers(post.teller),
                *payout_jobs.handlers(post.teller),
                *refunds_jobs.handlers(ApprovalService.of(settings)),
                *statements_jobs.handlers(confirm_with(post.teller)),
                *mesh_jobs.handlers(mesh),
                *probes.handlers(post.teller),
                *alerts_jobs.handlers(watch),
                *dashboard_jobs.HANDLERS,
                *(() if settings.is_production else drill.handlers(clock)),
            ],
            crons=[
                *ledger_jobs.CRONS,
                *rates_jobs.crons(settings, egress, clock),
                *tenancy_jobs.crons(clock),
                *rate_limits.CRONS,
                *idempotency.CRONS,
                *payments_jobs.CRONS,
                *disputes_jobs.crons(files),
                *dispute_jobs.crons(),
                *payout_jobs.crons(post),
                *banks_jobs.crons(post),
                *statements_jobs.crons(confirm_with(post.teller)),
                *refunds_jobs.crons(known),
                *_mesh_crons(settings, mesh, post),
                *merchant_jobs.crons(lambda: refresh_db, clock),
                *report_jobs.crons(files),
                *webhook_metrics.crons(clock),
                *webhooks_jobs.crons(),
                *_operations_crons(known, watch),
                *audit_jobs.crons(load_signer(settings), files),
                _tidy(settings),
            ],
            stop=stop,
        )


def _operations_crons(known: Registry, watch: Watch) -> Sequence[jobs.Cron]:
    return (
        *approvals_jobs.crons(known),
        *risk_jobs.crons(),
        *alerts_jobs.crons(watch),
        *dashboard_jobs.crons(watch),
        *notices_jobs.crons(),
    )


def _mesh_handlers(settings: Settings, mesh: Mesh) -> Sequence[jobs.JobHandler]:
    drills = () if settings.is_production else drill.handlers(SystemClock())
    return (*mesh_jobs.handlers(mesh), *drills)


def _mesh_crons(settings: Settings, mesh: Mesh, post: Post) -> Sequence[jobs.Cron]:
    return (
        *mesh_jobs.crons(mesh),
        *probes.crons(post.teller),
        *drift_watch.crons(settings.molam_home),
        # Drills break simulated banks; where banks are real there are none.
        *(() if settings.is_production else drill.crons()),
    )


def _tidy(settings: Settings) -> jobs.Cron:
    readers = ["relay"] if settings.kafka_brokers else list(READERS)

    async def tidy(db: Database) -> None:
        for _ in range(PURGE_ROUNDS_MAX):
            async with db.transaction("platform.tidy_events") as tx:
                if not await events.purge(tx, groups=readers, days=EVENTS_KEPT_DAYS):
                    break
        async with db.transaction("platform.tidy") as tx:
            await jobs.purge(tx, days=EVENTS_KEPT_DAYS)
            await sessions.purge(tx)

    return jobs.Cron("platform.tidy", "29 * * * *", tidy)


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
