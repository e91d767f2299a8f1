"""The outbox's deliveries, one job each, and forgetting what is old."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import msgspec
from prometheus_client import Counter

from molam.kernel.clock import Clock, Instant
from molam.kernel.refusals import Outage, Refusal
from molam.notices import email, store, webhook
from molam.notices.channels import Channels
from molam.notices.commands import SEND, Delivery
from molam.notices.model import Undeliverable
from molam.platform.db import Database
from molam.platform.egress import Egress
from molam.platform.jobs import Cron, Job, JobHandler

ATTEMPTS_MAX = 60
"""With waits that double from 5 s up to 5 min: about four hours and a half."""
RETRY_FIRST_S = 5.0
AT_ONCE_MAX = 20
"""For each channel: a relay that is slow to answer is not sent a thousand at once."""
KEPT_DAYS = 400

_PURGED_AT_ONCE = 5000
_PURGE_ROUNDS_MAX = 200

DELIVERIES = Counter("molam_notices_deliveries", "Attempts to deliver", ["channel", "outcome"])

# Note [Told at least once]
#
# A worker may die after a message has left and before that is written down; it is
# then sent again. Nothing that leaves decides anything, so a second copy is a
# nuisance and no more, and each copy names the delivery's id (Message-ID,
# Idempotency-Key, `id`), by which receivers drop it.


PageFor = Callable[[Database, store.DeliveryRow], Awaitable[str | None]]
"""Finds a page made for one reader, which is then linked instead of the notice's own."""


def handlers(
    channels: Channels,
    egress: Egress,
    clock: Clock,
    *,
    page_for: PageFor | None = None,
    attempts_max: int = ATTEMPTS_MAX,
    retry_first_s: float = RETRY_FIRST_S,
) -> list[JobHandler]:
    async def run(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=Delivery)
        rows = await job.db.read(store.FIND_DELIVERY, id=UUID(asked.delivery_id))
        if not rows or rows[0].state == "sent":
            return
        row = rows[0]
        if page_for is not None:
            row = replace(row, link=await page_for(job.db, row) or row.link)
        try:
            await send(row, channels, egress, clock.now())
        except (Refusal, Outage) as error:
            is_last = isinstance(error, Refusal) or job.attempt >= attempts_max
            await _note(job.db, row, error, is_last=is_last)
            raise
        async with job.effect() as tx:
            await tx.run(store.SET_SENT, id=row.id)
        DELIVERIES.labels(row.channel, "sent").inc()

    return [
        JobHandler(
            name,
            run,
            attempts_max=attempts_max,
            retry_first_s=retry_first_s,
            at_once_max=AT_ONCE_MAX,
        )
        for name in SEND.values()
    ]


def crons() -> list[Cron]:
    return [Cron("notices.purge", "47 * * * *", _purge)]


async def send(row: store.DeliveryRow, channels: Channels, egress: Egress, now: Instant) -> None:
    """
    Deliver by whichever channel it is for. No transaction is open.

    Raises:
        Undeliverable: it never will be.
        AddressRefused: nothing is sent there.
        Outage: it may be later.
    """
    if row.channel not in channels.enabled:
        raise Undeliverable(f"The channel {row.channel} is not set up any more.")
    if row.channel == "email":
        await email.send(row, channels)
    elif row.channel == "webhook":
        await webhook.post_webhook(row, channels, egress, now)
    else:
        await webhook.post_slack(row, channels, egress)


async def _note(
    db: Database, row: store.DeliveryRow, error: Refusal | Outage, *, is_last: bool
) -> None:
    said = error.detail if isinstance(error, Refusal) else f"For now: {error.dependency}."
    state = "held" if is_last else "failed"
    async with db.transaction("notices.note_trouble") as tx:
        await tx.run(store.SET_TROUBLE, id=row.id, state=state, error=said)
    DELIVERIES.labels(row.channel, state).inc()


async def _purge(db: Database) -> None:
    for _ in range(_PURGE_ROUNDS_MAX):
        async with db.transaction("notices.purge") as tx:
            await tx.run(store.PURGE_CALLBACKS)
            if not await tx.run(store.PURGE_NOTICES, days=KEPT_DAYS, limit=_PURGED_AT_ONCE):
                return
