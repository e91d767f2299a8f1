"""Delivering what was published: claim it, send it outside any transaction, settle it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter, Gauge, Histogram

from molam.platform.db import Database, Tx
from molam.platform.egress import Egress
from molam.platform.events.bell import Bell
from molam.platform.events.consumer import Behind, Patience
from molam.platform.events.loop import keep_going
from molam.webhooks import delivery_store, store
from molam.webhooks.commands import CHANNEL
from molam.webhooks.model import Told, judge
from molam.webhooks.sending import send
from molam.webhooks.vault import Vault

log = structlog.get_logger()

DURATION = Histogram(
    "molam_merchant_webhook_delivery_duration_seconds",
    "Time a merchant's endpoint took to answer, or to be given up.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
DELIVERIES = Counter(
    "molam_merchant_webhook_deliveries", "Attempts to deliver, by what follows.", ["outcome"]
)
IN_FLIGHT = Gauge("molam_merchant_webhook_in_flight", "Requests to endpoints under way.")

PER_ENDPOINT_MAX = 16
HEALTHY_MAX = 256
FAILING_MAX = 64
LEASE_S = 30.0
FAILING_DAYS = 5
DEAD_MAX = 10
DEAD_AFTER_S = 3600.0

_QUEUES_MAX = 2000
_POLL_S = 1.0
_SWEEP_EVERY_S = 5.0
_GRACE_S = 3.0
# What lands within so long is settled together: a round for each alone was six times slower.
_GATHER_S = 0.003
_GATHERED = 4
_FAILING_EVERY_S = 0.1
_AT_HAND = 2
_NO_LEASE = UUID(int=0)
_OUTCOMES = {"delivered": "delivered", "waiting": "retried", "dead": "dead"}

# Note [Nobody waits for another]
#
# Each endpoint has at most PER_ENDPOINT_MAX requests under way, and one whose latest
# attempt failed has one, taken from places of their own: endpoints that hang, however
# many, hold FAILING_MAX places and leave the others theirs. The first success gives an
# endpoint all its places back.
#
# An endpoint's places are kept by a gate in this process. Twice as many are claimed, so
# that the next is at hand when a place is free: otherwise each place stood empty for the
# round trips of settling and claiming, which is most of the time of a quick endpoint.
#
# Note [Delivered at least once]
#
# A delivery is claimed under a lease, sent, and settled. Who dies in between has sent
# it or not; when the lease runs out it is sent again under the same webhook-id, by
# which receivers drop what they have had. What an expired lease no longer covers is
# not settled, so an answer that comes late changes nothing.

OnDisabled = Callable[[Tx, delivery_store.FailingRow], Awaitable[None]]
"""Tells a merchant that an endpoint was switched off, in the transaction that does it."""


async def _tell_nobody(_tx: Tx, _row: delivery_store.FailingRow) -> None:
    return


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is under way at a time, and for how long a claim holds."""

    per_endpoint: int = PER_ENDPOINT_MAX
    healthy: int = HEALTHY_MAX
    failing: int = FAILING_MAX
    lease_s: float = LEASE_S


@dataclass(slots=True)
class _Flight:
    row: delivery_store.DueRow
    failing: bool


@dataclass(slots=True)
class _Claimed:
    rows: list[delivery_store.DueRow] = field(default_factory=list)
    failing: list[delivery_store.DueRow] = field(default_factory=list)


class Dispatcher:
    """
    Delivers until told to stop; any number of processes may.

    It is a `Source` of `keep_going`: each step writes down what came back, and sends
    what is due and has room.
    """

    def __init__(
        self,
        db: Database,
        egress: Egress,
        vault: Vault,
        *,
        on_disabled: OnDisabled = _tell_nobody,
        limits: Limits | None = None,
    ) -> None:
        self._db = db
        self._egress = egress
        self._vault = vault
        self._on_disabled = on_disabled
        self._limits = limits or Limits()
        self._lease = uuid4()
        self._chance = random.SystemRandom()
        self._flights: dict[asyncio.Task[Told | None], _Flight] = {}
        self._ended: list[tuple[delivery_store.DueRow, Told]] = []
        self._rung = asyncio.Event()
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._swept_at = 0.0
        self._failing_at = 0.0
        self._beginning = ""

    async def run(self, *, dsn: str, stop: asyncio.Event) -> None:
        """Deliver until *stop*; requests under way get a moment to end."""
        bell = Bell(dsn, CHANNEL)
        self._rung = bell.subscribe()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_going(self, "webhooks-delivery", stop))
            tasks.create_task(bell.listen(stop))

    async def open(self) -> None:
        return

    async def step(self, _patience: Patience) -> int:
        """Settle what has ended, take back what was lost, and send what is due."""
        if self._flights and len(self._ended) < _GATHERED:
            await asyncio.sleep(_GATHER_S)
        self._rung.clear()
        settled = await self._settle()
        if time.monotonic() - self._swept_at > _SWEEP_EVERY_S:
            self._swept_at = time.monotonic()
            await self._take_back(_NO_LEASE)
            await self._egress.tidy()
            flying = {each.row.endpoint_id for each in self._flights.values()}
            self._gates = {id_: gate for id_, gate in self._gates.items() if id_ in flying}
            # From anywhere on: with more queues than one look takes, none is always the last.
            started = await self._db.read(delivery_store.PICK_QUEUE)
            self._beginning = started[0].id if started else ""
        claimed = await self._claim()
        if not claimed and self._beginning:
            self._beginning = ""
            claimed = await self._claim()
        self._beginning = ""
        return settled + claimed

    async def wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), _POLL_S)

    async def behind(self) -> Behind:
        (row,) = await self._db.read(delivery_store.BEHIND)
        return Behind(row.due, row.oldest_s)

    async def close(self) -> None:
        if self._flights:
            await asyncio.wait(self._flights, timeout=_GRACE_S)
        await self._settle()
        for task in list(self._flights):
            task.remove_done_callback(self._landed)
            task.cancel()
        self._flights.clear()
        await self._take_back(self._lease)

    async def _claim(self) -> int:
        busy_failing = sum(each.failing for each in self._flights.values())
        busy = len(self._flights) - busy_failing
        free = self._limits.healthy - busy
        free_failing = 0
        if time.monotonic() - self._failing_at > _FAILING_EVERY_S:
            free_failing = self._limits.failing - busy_failing
        if free <= 0 and free_failing <= 0:
            return 0
        claimed = _Claimed()
        async with self._db.transaction("webhooks.claim") as tx:
            await tx.run(delivery_store.HOLD_CLAIMS)
            if free > 0:
                claimed.rows = await self._due(tx, limit=free, failing=False)
            if free_failing > 0:
                self._failing_at = time.monotonic()
                claimed.failing = await self._due(tx, limit=free_failing, failing=True)
        began = time.monotonic()
        for row in claimed.rows:
            self._send(row, began, failing=False)
        for row in claimed.failing:
            self._send(row, began, failing=True)
        return len(claimed.rows) + len(claimed.failing)

    async def _due(self, tx: Tx, *, limit: int, failing: bool) -> list[delivery_store.DueRow]:
        return await tx.all(
            delivery_store.CLAIM,
            beginning=self._beginning,
            failing=failing,
            limit=limit,
            queues_max=_QUEUES_MAX,
            per_endpoint=self._limits.per_endpoint * _AT_HAND,
            lease=self._lease,
            lease_s=self._limits.lease_s,
        )

    def _send(self, row: delivery_store.DueRow, began: float, *, failing: bool) -> None:
        task = asyncio.create_task(self._through_gate(row, began))
        self._flights[task] = _Flight(row, failing)
        IN_FLIGHT.set(len(self._flights))
        task.add_done_callback(self._landed)

    async def _through_gate(self, row: delivery_store.DueRow, began: float) -> Told | None:
        gate = self._gates.setdefault(row.endpoint_id, asyncio.Semaphore(self._limits.per_endpoint))
        async with gate:
            if time.monotonic() - began > self._limits.lease_s / 2:
                # It might outlive its lease, and another worker send it meanwhile.
                return None
            return await send(row, self._egress, self._vault, began=began)

    def _landed(self, task: asyncio.Task[Told | None]) -> None:
        row = self._flights.pop(task).row
        IN_FLIGHT.set(len(self._flights))
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            # A bug that one delivery meets is that delivery's failure, and no other's.
            log.error("webhooks.delivery.unforeseen", delivery=str(row.id), exc_info=error)
        told = Told(None, 0.0, error="unforeseen") if error is not None else task.result()
        if told is not None:
            self._ended.append((row, told))
        self._rung.set()

    async def _settle(self) -> int:
        ended = self._ended[:]
        if not ended:
            return 0
        verdicts = [
            judge(
                told,
                attempts=row.attempts,
                schedule=row.retry_schedule,
                is_test=row.is_test,
                chance=self._chance,
            )
            for row, told in ended
        ]
        async with self._db.transaction("webhooks.settle") as tx:
            failing = await tx.all(
                delivery_store.SETTLE,
                lease=self._lease,
                ids=[row.id for row, _ in ended],
                states=[each.state for each in verdicts],
                retry_s=[each.retry_in_s for each in verdicts],
                statuses=[told.status for _, told in ended],
                latencies=[round(told.latency_s * 1000) for _, told in ended],
                errors=[told.error for _, told in ended],
                sizes=[told.answer_bytes for _, told in ended],
                pauses_s=[each.pause_s for each in verdicts],
                gone=[each.gone for each in verdicts],
                failing_days=FAILING_DAYS,
                dead_max=DEAD_MAX,
                dead_after_s=DEAD_AFTER_S,
            )
            for endpoint in failing:
                await self._disable(tx, endpoint)
        del self._ended[: len(ended)]
        for (row, told), verdict in zip(ended, verdicts, strict=True):
            _report(row, told, verdict.state)
        return len(ended)

    async def _disable(self, tx: Tx, endpoint: delivery_store.FailingRow) -> None:
        merchant_id = endpoint.merchant_id
        await tx.run(
            store.SET_DISABLED, merchant_id=merchant_id, id=endpoint.id, reason=endpoint.reason
        )
        await tx.run(store.SKIP_QUEUE, merchant_id=merchant_id, id=endpoint.id)
        await self._on_disabled(tx, endpoint)
        log.warning("webhooks.endpoint.disabled", endpoint=endpoint.id, reason=endpoint.reason)

    async def _take_back(self, lease: UUID) -> None:
        async with self._db.transaction("webhooks.take_back") as tx:
            count = await tx.run(delivery_store.TAKE_BACK, lease=lease)
        if count:
            log.warning("webhooks.deliveries.taken_back", count=count)


def _report(row: delivery_store.DueRow, told: Told, state: str) -> None:
    DURATION.observe(told.latency_s)
    DELIVERIES.labels(_OUTCOMES[state]).inc()
    facts = {
        "status": told.status,
        "webhook_id": row.event_id,
        "webhook_event": row.event,
        "endpoint": row.endpoint_id,
        "merchant_id": row.merchant_id,
        "attempt": row.attempts,
        "latency_ms": round(told.latency_s * 1000),
    }
    if state == "delivered":
        log.info("Webhook delivered", **facts)
        return
    # The size alone of what was answered: it may hold anything.
    log.warning(
        "Webhook not delivered",
        **facts,
        reason=told.error or f"HTTP {told.status}",
        outcome=_OUTCOMES[state],
        answer_bytes=told.answer_bytes,
    )
