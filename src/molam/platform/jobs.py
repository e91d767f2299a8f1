"""Work that is done later, once, and again if it fails: pgqueuer, in the schema ``jobs``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import msgspec
import structlog
from pgqueuer import PgQueuer, Queries
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence import qb
from pgqueuer.core.executors import EntrypointExecutor
from pgqueuer.domain.settings import DBSettings
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Context, Schedule
from pgqueuer.models import Job as Picked
from pgqueuer.types import Channel
from prometheus_client import Counter

from molam.kernel.refusals import Refusal
from molam.platform.db import Database, ProcessRole, Query, Tx
from molam.platform.db.transaction import Nothing

log = structlog.get_logger()

DONE = Counter("molam_jobs_done", "Jobs whose effect is durable", ["job"])
RETRIED = Counter("molam_jobs_retried", "Attempts that failed and will be repeated", ["job"])
HELD = Counter("molam_jobs_held", "Jobs given up and kept for a person", ["job"])

_CHANNEL = Channel("ch_pgqueuer")

# All by name: pgqueuer would take what is missing from variables such as CHANNEL.
_SETTINGS = DBSettings(
    db_schema="jobs",
    prefix="",
    channel=_CHANNEL,
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    queue_status_type="pgqueuer_status",
    schedules_table="pgqueuer_schedules",
    statistics_table="pgqueuer_statistics",
)
_RETRY_MAX_S = 300.0
_RECONNECT_MAX_S = 5.0
_POLL_S = 5.0

# Note [Once, although repeated]
#
# A worker may die after a job's effect and before the queue hears of it; the job is
# then given to another. In a trial of 8,000 jobs and 12 kills, 66 had their effect
# twice. So the first statement of a job's own transaction claims its id, and a second
# run finds it taken and stops: with that, none did.
#
# What happens outside PostgreSQL cannot be in that transaction. It comes before it,
# under an idempotency key made of the job's id or of the fact it is about.


class AlreadyDone(Exception):
    """An earlier run of this job has had its effect."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a job."""

    id: int
    name: str
    payload: bytes
    attempt: int
    db: Database

    @contextlib.asynccontextmanager
    async def effect(self) -> AsyncIterator[Tx]:
        """
        Open the one transaction that holds what this job does to the database.

        Raises:
            AlreadyDone: an earlier run got here; let it pass.
        """
        async with self.db.transaction(f"jobs.{self.name}") as tx:
            if not await tx.run(_CLAIM, job_id=self.id):
                raise AlreadyDone
            yield tx


@dataclass(frozen=True, slots=True)
class JobHandler:
    """
    What to do for the jobs of one name, which is never renamed.

    A refusal is final at once; anything else is tried again, waiting twice as long
    each time. A job that cannot be done is held, with its reason, for a person.
    """

    name: str
    run: Callable[[Job], Awaitable[None]]
    attempts_max: int = 8
    retry_first_s: float = 1.0
    at_once_max: int = 0
    """How many run at a time, over all workers; 0: as many as there are."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Something to do by the clock (UTC), once however many workers there are."""

    name: str
    expression: str
    run: Callable[[Database], Awaitable[None]]


_CLAIM = Query(
    """
    /* jobs.claim */
    insert into platform.job_effects (job_id)
    values (:job_id)
    on conflict do nothing
    """,
    row=Nothing,
)


async def enqueue(
    tx: Tx,
    name: str,
    payload: bytes | msgspec.Struct = b"",
    *,
    delay_s: float = 0,
    once: str | None = None,
) -> None:
    """
    Let the job *name* be done after *tx* commits, and not if it does not.

    *delay_s* counts from now, not from the beginning of *tx*, which may have waited for locks.
    While a job enqueued with the same *once* waits or runs, this adds none.
    """
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    if delay_s > 0:
        (age,) = await tx.all(_AGE)
        delay_s += age.seconds
    await _queries(_WithinOurs(tx.connection)).enqueue(
        [name],
        [body],
        [0],
        [timedelta(seconds=delay_s)],
        [once],
        on_conflict="skip",
    )


async def enqueue_all(tx: Tx, jobs: Sequence[tuple[str, msgspec.Struct]]) -> None:
    """Let each of *jobs*, a name and a payload, be done once, all in one statement."""
    count = len(jobs)
    if not count:
        return
    await _queries(_WithinOurs(tx.connection)).enqueue(
        [name for name, _ in jobs],
        [msgspec.json.encode(payload) for _, payload in jobs],
        [0] * count,
        [timedelta(0)] * count,
        [None] * count,
        on_conflict="skip",
    )


@dataclass(frozen=True, slots=True)
class AgeRow:
    seconds: float


_AGE = Query(
    """
    /* jobs.age */
    select extract(epoch from clock_timestamp() - now())::float8 as seconds
    """,
    row=AgeRow,
)

_PURGE = Query(
    """
    /* jobs.purge */
    with effects as (
        delete from platform.job_effects as e
         where e.done_at < now() - make_interval(days => :days)
           and not exists (select from jobs.pgqueuer as q where q.id = e.job_id)
    ), entries as (
        delete from jobs.pgqueuer_log
         where aggregated
           and created < now() - make_interval(days => :days)
    )
    delete from jobs.pgqueuer_statistics
     where created < now() - make_interval(days => :days)
    """,
    row=Nothing,
)


async def purge(tx: Tx, *, days: int) -> None:
    """Forget jobs that ended more than *days* ago. Those held are kept."""
    await tx.run(_PURGE, days=days)


@dataclass(frozen=True, slots=True)
class HeldJob:
    id: int
    name: str
    updated_at: datetime
    attempts: int


_LIST_HELD = Query(
    """
    /* jobs.list_held */
    select id, entrypoint as name, updated as updated_at, attempts
      from jobs.pgqueuer
     where status = 'failed'
     order by id desc
     limit :limit
    """,
    row=HeldJob,
)


async def list_held(db: Database, *, limit: int) -> list[HeldJob]:
    """List jobs that wait for a person, newest first."""
    return await db.read(_LIST_HELD, limit=limit)


_REQUEUE = Query(
    """
    /* jobs.requeue */
    update jobs.pgqueuer
       set status = 'queued',
           attempts = 0,
           execute_after = now(),
           updated = now()
     where id = any(:ids::bigint[])
       and status = 'failed'
    """,
    row=Nothing,
)


async def requeue_held(tx: Tx, ids: Sequence[int]) -> int:
    """Give held jobs *ids* all their attempts again, and return how many that were."""
    return await tx.run(_REQUEUE, ids=list(ids))


async def run_jobs(
    db: Database,
    *,
    dsn: str,
    handlers: Sequence[JobHandler],
    crons: Sequence[Cron] = (),
    stop: asyncio.Event,
    lease_s: float = 30,
) -> None:
    """
    Do jobs and keep to the clock until *stop*; what is under way is finished first.

    A worker that is not heard of for *lease_s* loses its jobs to others.
    """
    failures = 0
    while not stop.is_set():
        try:
            await _run_connected(
                db, dsn=dsn, handlers=handlers, crons=crons, stop=stop, lease_s=lease_s
            )
        except Exception as error:  # noqa: BLE001 - the runner outlives the queue's troubles.
            failures += 1
            log.warning("jobs.runner.interrupted", reason=repr(error), failures=failures)
            delay_s = min(0.1 * 2**failures, _RECONNECT_MAX_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), delay_s)
        else:
            failures = 0


async def _run_connected(
    db: Database,
    *,
    dsn: str,
    handlers: Sequence[JobHandler],
    crons: Sequence[Cron],
    stop: asyncio.Event,
    lease_s: float,
) -> None:
    connection = await asyncpg.connect(
        dsn,
        timeout=10,
        server_settings={"application_name": "molam jobs", "role": ProcessRole.WORKER.value},
    )
    try:
        driver = AsyncpgDriver(connection)
        queue = PgQueuer(driver, _CHANNEL, queries=_queries(driver))
        for handler in handlers:
            queue.entrypoint(
                handler.name,
                concurrency_limit=handler.at_once_max,
                on_failure="hold",
                executor_factory=functools.partial(_Patient, handler=handler),
            )(functools.partial(_run, handler, db))
        for cron in crons:
            queue.schedule(cron.name, cron.expression)(functools.partial(_tick, cron, db))
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())
        watch = asyncio.create_task(_shut_down(queue, stop, lost))
        try:
            await queue.run(
                # Nobody rings for a lease that has run out.
                dequeue_timeout=timedelta(seconds=min(lease_s, _POLL_S)),
                heartbeat_timeout=timedelta(seconds=lease_s),
                shutdown_on_listener_failure=True,
            )
        finally:
            watch.cancel()
    finally:
        connection.terminate()


async def _shut_down(queue: PgQueuer, *reasons: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(reason.wait()) for reason in reasons]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        queue.shutdown.set()
    finally:
        for wait in waits:
            wait.cancel()


async def _run(handler: JobHandler, db: Database, picked: Picked) -> None:
    job = Job(picked.id, handler.name, picked.payload or b"", picked.attempts + 1, db)
    with contextlib.suppress(AlreadyDone):
        await handler.run(job)
    DONE.labels(handler.name).inc()


async def _tick(cron: Cron, db: Database, _schedule: Schedule) -> None:
    await cron.run(db)


@dataclass
class _Patient(EntrypointExecutor):
    """Tries again what may succeed later, and holds what will not."""

    handler: JobHandler | None = None

    async def execute(self, job: Picked, context: Context) -> None:
        handler = self.handler
        assert handler is not None
        try:
            await super().execute(job, context)
        except Refusal as refusal:
            log.info("jobs.job.refused", job=handler.name, id=job.id, code=refusal.code)
            HELD.labels(handler.name).inc()
            raise
        except Exception as error:
            if job.attempts + 1 >= handler.attempts_max:
                log.exception("jobs.job.held", job=handler.name, id=job.id)
                HELD.labels(handler.name).inc()
                raise
            RETRIED.labels(handler.name).inc()
            delay_s = min(handler.retry_first_s * 2**job.attempts, _RETRY_MAX_S)
            raise RetryRequested(timedelta(seconds=delay_s), repr(error)) from error


class _WithinOurs(AsyncpgDriver):
    """
    The driver on a connection of ours, inside its transaction.

    pgqueuer writes jsonb as text, and our connections write values. It has only one
    such column, for headers, which we never use.
    """

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        *others, headers = args
        assert isinstance(headers, list)
        assert set(headers) == {"null"}, "headers would be written as strings of JSON"
        return await super().fetch(query, *others, [None] * len(headers))


def _queries(driver: AsyncpgDriver) -> Queries:
    return Queries(
        driver,
        qbe=qb.QueryBuilderEnvironment(_SETTINGS),
        qbq=qb.QueryQueueBuilder(_SETTINGS),
        qbs=qb.QuerySchedulerBuilder(_SETTINGS),
    )
