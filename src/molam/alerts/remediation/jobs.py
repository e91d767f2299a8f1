"""What is done about alerts by the queue and by the clock."""

from __future__ import annotations

from uuid import UUID

import msgspec

from molam.alerts.episodes.model import OVER, REMEDIATE, AlertJob
from molam.alerts.remediation import commands, following, grouping, recommendation_actions
from molam.alerts.remediation.group_model import GROUP, GroupJob
from molam.alerts.remediation.model import LOOK, LookJob
from molam.alerts.runtime import Watch
from molam.approvals.locked import FOLLOW_ALERT, ActionFollows
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler


def handlers(watch: Watch) -> list[JobHandler]:
    # Each of these may be run again at any point: what was done is found done.
    async def remediate(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=AlertJob)
        await commands.remediate(job.db, watch, UUID(asked.alert_id))

    async def follow_action(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=ActionFollows)
        await following.follow_action(job.db, watch, UUID(asked.action_id))

    async def look(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=LookJob)
        await following.look(job.db, watch, UUID(asked.remediation_id))

    async def follow_alert(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=AlertJob)
        await following.follow_alert(job.db, watch, UUID(asked.alert_id))

    async def ask_group(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=GroupJob)
        await grouping.ask(
            job.db, watch, alert_type=asked.alert_type, action_type=asked.action_type
        )

    return [
        JobHandler(REMEDIATE, remediate),
        JobHandler(OVER, follow_alert),
        JobHandler(GROUP, ask_group),
        JobHandler(FOLLOW_ALERT, follow_action),
        JobHandler(LOOK, look),
        *recommendation_actions.handlers(watch),
    ]


def crons(watch: Watch) -> list[Cron]:
    async def follow(db: Database) -> None:
        await following.follow(db, watch)
        await grouping.ask_all(db, watch)

    return [Cron("alerts.follow", "* * * * *", follow)]
