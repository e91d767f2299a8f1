"""What alerting reads from the log, and does by the clock and by the queue."""

from __future__ import annotations

from collections.abc import Sequence

from molam.alerts.episodes import commands as episodes
from molam.alerts.episodes import jobs as episode_jobs
from molam.alerts.remediation import jobs as remediation
from molam.alerts.rules import intake
from molam.alerts.rules import jobs as rules
from molam.alerts.runtime import Watch
from molam.alerts.sources import jobs as sources
from molam.platform.events import Consumer
from molam.platform.jobs import Cron, JobHandler

TOPICS: tuple[str, ...] = intake.TOPICS
"""What of alerting goes to Kafka, where there is one."""


def handlers(watch: Watch) -> Sequence[JobHandler]:
    return (
        *rules.handlers(watch),
        *sources.handlers(),
        *episode_jobs.handlers(),
        *remediation.handlers(watch),
    )


def crons(watch: Watch) -> Sequence[Cron]:
    return (*rules.crons(watch), *sources.crons(), *episode_jobs.crons(), *remediation.crons(watch))


def consumers(watch: Watch, *, group: str = "") -> Sequence[Consumer]:
    return (intake.consumer(watch, episodes.apply, group=group),)
