"""Jobs: in the business transaction or not at all, once, again if they fail, held if they must."""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import timedelta

import asyncpg
import msgspec
import pytest

from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database
from molam.platform.jobs import (
    AlreadyDone,
    Cron,
    Job,
    JobHandler,
    enqueue,
    purge,
    requeue_held,
    run_jobs,
)


class Running:
    """Workers that run until the test has seen enough."""

    def __init__(self, db: Database, dsn: str) -> None:
        self.db = db
        self.dsn = dsn
        self.stop = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, *handlers: JobHandler, crons: tuple[Cron, ...] = ()) -> None:
        work = run_jobs(
            self.db, dsn=self.dsn, handlers=handlers, crons=crons, stop=self.stop, lease_s=2
        )
        self.tasks.append(asyncio.create_task(work))

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), 10)


@pytest.fixture
async def workers(worker_db, dsn):
    running = Running(worker_db, dsn)
    yield running
    await running.end()


async def column(db: Database, sql: str) -> list:
    async with db.transaction("tests.column") as tx:
        return [found[0] for found in await tx.connection.fetch(sql)]


async def until(holds, *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def statuses(db: Database) -> list[str]:
    return await column(db, "select status::text from jobs.pgqueuer order by id")


async def queue(db: Database, name: str, payload=b"", **options) -> None:
    async with db.transaction("tests.queue") as tx:
        await enqueue(tx, name, payload, **options)


class Resend(msgspec.Struct):
    webhook_id: str
    version: int = 1


async def test_job_is_done_with_the_payload_it_was_given(workers, worker_db):
    seen = []

    async def resend(job: Job) -> None:
        seen.append((msgspec.json.decode(job.payload, type=Resend), job.attempt))

    await queue(worker_db, "tests.resend", Resend("wh_1"))
    workers.start(JobHandler("tests.resend", resend))

    await until(lambda: done(worker_db))
    assert seen == [(Resend("wh_1"), 1)]


async def done(db: Database) -> bool:
    return await statuses(db) == []


async def test_job_is_dropped_with_the_transaction_that_enqueued_it(worker_db):
    async def change_ones_mind() -> None:
        async with worker_db.transaction("tests.queue") as tx:
            await enqueue(tx, "tests.resend")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_ones_mind()

    assert await statuses(worker_db) == []


async def test_web_process_may_enqueue(web_db, worker_db):
    await queue(web_db, "tests.resend")

    assert await statuses(worker_db) == ["queued"]


async def test_job_that_must_be_there_once_is_not_added_twice(worker_db):
    await queue(worker_db, "tests.resend", once="wh_1")
    await queue(worker_db, "tests.resend", once="wh_1")
    await queue(worker_db, "tests.resend", once="wh_2")

    assert await statuses(worker_db) == ["queued", "queued"]


async def test_delay_counts_from_when_it_is_asked_for_however_old_the_transaction_is(worker_db):
    async with worker_db.transaction("tests.enqueue") as tx:
        asked_at = await tx.connection.fetchval("select clock_timestamp()")
        await enqueue(tx, "tests.later", delay_s=10)
        began_at, due_at = await tx.connection.fetchrow(
            "select now(), execute_after from jobs.pgqueuer where entrypoint = 'tests.later'"
        )

    assert began_at < asked_at
    assert asked_at + timedelta(seconds=10) <= due_at < asked_at + timedelta(seconds=15)


async def test_waiting_worker_starts_at_once_when_a_job_arrives(workers, worker_db):
    started = asyncio.Event()

    async def resend(_job: Job) -> None:
        started.set()

    workers.start(JobHandler("tests.resend", resend))
    await asyncio.sleep(1)
    before = time.perf_counter()
    await queue(worker_db, "tests.resend")
    await asyncio.wait_for(started.wait(), 5)

    assert time.perf_counter() - before < 1


async def test_failed_job_is_tried_again_until_it_succeeds(workers, worker_db):
    attempts = []

    async def resend(job: Job) -> None:
        attempts.append(job.attempt)
        if job.attempt < 3:
            raise TimeoutError

    await queue(worker_db, "tests.resend")
    workers.start(JobHandler("tests.resend", resend, retry_first_s=0.05))

    await until(lambda: done(worker_db))
    assert attempts == [1, 2, 3]


async def test_job_is_held_after_its_last_attempt(workers, worker_db):
    attempts = []

    async def resend(job: Job) -> None:
        attempts.append(job.attempt)
        raise TimeoutError

    await queue(worker_db, "tests.resend")
    workers.start(JobHandler("tests.resend", resend, attempts_max=3, retry_first_s=0.05))

    await until(lambda: is_held(worker_db))
    assert attempts == [1, 2, 3]


async def is_held(db: Database) -> bool:
    return await statuses(db) == ["failed"]


class NotThere(Refusal):
    code = "not-there"
    kind = Kind.ABSENT
    title = "No"


async def test_refused_job_is_held_at_once(workers, worker_db):
    attempts = []

    async def resend(job: Job) -> None:
        attempts.append(job.attempt)
        raise NotThere("The webhook is gone.")

    await queue(worker_db, "tests.resend")
    workers.start(JobHandler("tests.resend", resend, retry_first_s=0.01))

    await until(lambda: is_held(worker_db))
    assert attempts == [1]


async def test_held_job_gets_all_its_attempts_again(workers, worker_db):
    repaired = asyncio.Event()

    async def resend(_job: Job) -> None:
        if not repaired.is_set():
            raise NotThere("Not yet.")

    await queue(worker_db, "tests.resend")
    workers.start(JobHandler("tests.resend", resend))
    await until(lambda: is_held(worker_db))
    repaired.set()

    held = await column(worker_db, "select id from jobs.pgqueuer")
    async with worker_db.transaction("tests.requeue") as tx:
        assert await requeue_held(tx, held) == 1

    await until(lambda: done(worker_db))


async def test_effect_of_a_job_is_claimed_once(worker_db):
    job = Job(7, "tests.pay", b"", 1, worker_db)
    async with job.effect():
        pass

    with pytest.raises(AlreadyDone):
        async with job.effect():
            pass


async def test_claim_is_given_back_when_the_effect_fails(worker_db):
    job = Job(7, "tests.pay", b"", 1, worker_db)

    async def fail() -> None:
        async with job.effect():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    async with job.effect():
        claimed = True
    assert claimed


async def test_two_workers_run_a_cron_once(workers, worker_db):
    ticks = []

    async def tick(_db: Database) -> None:
        ticks.append(time.monotonic())

    for _ in range(2):
        workers.start(crons=(Cron("tests.tick", "* * * * * */2", tick),))
    await asyncio.sleep(7)

    assert 2 <= len(ticks) <= 4
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
    assert min(gaps) > 1


async def test_cron_that_fails_runs_again_next_time(workers):
    ticks = []

    async def tick(_db: Database) -> None:
        ticks.append(1)
        raise ZeroDivisionError

    workers.start(crons=(Cron("tests.tick", "* * * * * *", tick),))

    async def twice() -> bool:
        return len(ticks) >= 2

    await until(twice)
    assert len(ticks) >= 2


async def test_runner_survives_the_loss_of_its_connection(workers, worker_db, dsn):
    seen = []

    async def resend(job: Job) -> None:
        seen.append(job.id)

    workers.start(JobHandler("tests.resend", resend))
    admin = await asyncpg.connect(dsn)
    ended: list = []

    async def is_connected() -> bool:
        ended[:] = await admin.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'molam jobs'"
        )
        return bool(ended)

    await until(is_connected)
    await admin.close()
    await queue(worker_db, "tests.resend")

    await until(lambda: done(worker_db))
    assert len(seen) == 1


async def test_purge_forgets_what_ended_long_ago(worker_db, db):
    job = Job(7, "tests.pay", b"", 1, worker_db)
    async with job.effect():
        pass
    await column(
        db, "update platform.job_effects set done_at = now() - interval '40 days' returning 1"
    )

    async with worker_db.transaction("tests.purge") as tx:
        await purge(tx, days=30)

    assert await column(db, "select 1 from platform.job_effects") == []
