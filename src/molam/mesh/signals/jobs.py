"""What is done about signals by the clock, by the queue and as events arrive."""

from __future__ import annotations

from molam.mesh.runtime import Mesh
from molam.mesh.signals import (
    intake,
    intervals,
    messages,
    monitor,
    outages,
    predictions,
    remote,
)
from molam.platform.db import Database
from molam.platform.events import Consumer
from molam.platform.jobs import Cron, JobHandler

TOPICS = (*messages.TOPICS, predictions.TOPIC)
"""What of signals goes to Kafka, where there is one."""


def handlers(mesh: Mesh) -> list[JobHandler]:
    return remote.handlers(mesh)


def consumers(mesh: Mesh, *, group: str = "") -> list[Consumer]:
    return [intake.consumer(mesh, group=group)]


def crons(mesh: Mesh) -> list[Cron]:
    """Probes are apart, in `probes.crons`: they need what sends to banks."""

    async def publish_health(db: Database) -> None:
        await monitor.publish_health(db, mesh)

    async def tell_outages(db: Database) -> None:
        await outages.tell_due(db, mesh)

    async def refresh(db: Database) -> None:
        await predictions.refresh_all(db, mesh)

    async def listen(db: Database) -> None:
        await intake.listen(db, mesh)

    async def learn_usual(db: Database) -> None:
        await monitor.learn_usual(db, mesh)

    return [
        Cron("mesh.publish_health", "* * * * *", publish_health),
        Cron("mesh.tell_outages", "* * * * *", tell_outages),
        Cron("mesh.listen", "* * * * *", listen),
        Cron("mesh.judge_intervals", "*/5 * * * *", intervals.judge_ended),
        Cron("mesh.predict", "*/5 * * * *", refresh),
        Cron("mesh.learn_usual", "7,52 * * * *", learn_usual),
        Cron("mesh.purge_signals", "37 * * * *", monitor.purge),
    ]
