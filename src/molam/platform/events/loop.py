"""Running consumers until told to stop, through outages and bugs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

import asyncpg
import structlog

from molam.kernel.refusals import Outage
from molam.platform.db import Database
from molam.platform.events import metrics
from molam.platform.events.bell import Bell
from molam.platform.events.consumer import Behind, Consumer, Fenced, Patience
from molam.platform.events.kafka import Kafka
from molam.platform.events.kafka_source import KafkaSource
from molam.platform.events.log import LOG
from molam.platform.events.postgres_source import PostgresSource
from molam.platform.events.relay import RELAY_LOCK, Relay

log = structlog.get_logger()

BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 5.0

LAG_EVERY_S = 10.0

# Nobody's fault and over in a moment: the same batch again.
TRANSIENT = (
    Outage,
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


class Source(Protocol):
    """Where a consumer's events come from."""

    async def open(self) -> None: ...

    async def step(self, patience: Patience) -> int:
        """Apply the next batch and return its size."""
        ...

    async def wait(self) -> None:
        """Return when there may be more, after a step that found nothing."""
        ...

    async def behind(self) -> Behind: ...

    async def close(self) -> None: ...


async def run_consumers(
    db: Database,
    consumers: Sequence[Consumer],
    *,
    dsn: str,
    stop: asyncio.Event,
    kafka: Kafka | None = None,
) -> None:
    """
    Apply events until *stop*; batches in hand are finished first.

    They come from the log, or from Kafka where there is one: `run_relay` takes them
    there. Any number of processes may do this for the same groups; they share the parts.
    """
    bell = Bell(dsn, LOG)
    async with asyncio.TaskGroup() as tasks:
        for consumer in consumers:
            source: Source = (
                PostgresSource(db, consumer, bell.subscribe())
                if kafka is None
                else KafkaSource(db, consumer, kafka)
            )
            tasks.create_task(keep_going(source, consumer.group, stop))
        if kafka is None:
            tasks.create_task(bell.listen(stop))


async def run_relay(
    db: Database, kafka: Kafka, *, topics: Sequence[str], dsn: str, stop: asyncio.Event
) -> None:
    """Publish events of the log to Kafka until *stop*. Of several processes, one does."""
    bell = Bell(dsn, LOG, lock=RELAY_LOCK)
    async with asyncio.TaskGroup() as tasks:
        source = Relay(db, kafka, topics, bell)
        tasks.create_task(keep_going(source, source.group, stop))
        tasks.create_task(bell.listen(stop))


async def keep_going(source: Source, group: str, stop: asyncio.Event) -> None:
    """Take step after step of *source*, whatever goes wrong, until *stop*."""
    patience = Patience()
    watch = asyncio.create_task(_watch(source, group))
    is_open = False
    try:
        while not stop.is_set():
            try:
                if not is_open:
                    await source.open()
                    is_open = True
                moved = await source.step(patience)
            except Fenced as fenced:
                log.info("events.reader.fenced", group=group, reason=str(fenced))
                is_open = False
                await source.close()
                patience.failures += 1
                await _pause(stop, patience.failures)
            except Exception as error:  # noqa: BLE001 - the loop outlives every step.
                patience.failures += 1
                _report(error, group, patience.failures)
                await _pause(stop, patience.failures)
            else:
                patience.failures = 0
                if not moved:
                    await source.wait()
    finally:
        watch.cancel()
        await source.close()


def _report(error: Exception, group: str, failures: int) -> None:
    metrics.FAILURES.labels(group).inc()
    if isinstance(error, TRANSIENT):
        log.warning("events.batch.postponed", group=group, reason=repr(error), failures=failures)
    else:
        log.error("events.batch.failed", group=group, failures=failures, exc_info=error)


async def _pause(stop: asyncio.Event, failures: int) -> None:
    delay_s = min(BACKOFF_MIN_S * 2 ** (failures - 1), BACKOFF_MAX_S)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), delay_s)


async def _watch(source: Source, group: str) -> None:
    """Measure now and then how far behind *group* is."""
    while True:
        # An outage here is an outage of the reader too, which reports it.
        with contextlib.suppress(*TRANSIENT):
            behind = await source.behind()
            metrics.BEHIND.labels(group).set(behind.events)
            metrics.BEHIND_SECONDS.labels(group).set(behind.seconds)
        await asyncio.sleep(LAG_EVERY_S)
