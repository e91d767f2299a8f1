"""What about proposed routes is done by the clock."""

from __future__ import annotations

from molam.mesh.routing import outcomes
from molam.platform.jobs import Cron


def crons() -> list[Cron]:
    return [Cron("mesh.judge_moves", "*/5 * * * *", outcomes.judge_due)]
