"""What the mesh does by the clock and by the queue."""

from __future__ import annotations

from collections.abc import Sequence

from molam.mesh.control import jobs as control
from molam.mesh.control import override_actions
from molam.mesh.federation import jobs as federation
from molam.mesh.liquidity import jobs as liquidity
from molam.mesh.routing import jobs as routing
from molam.mesh.runtime import Mesh
from molam.mesh.signals import jobs as signals
from molam.platform.events import Consumer
from molam.platform.jobs import Cron, JobHandler

TOPICS = (*signals.TOPICS, "mesh.proposals", "mesh.actions")
"""What of the mesh goes to Kafka, where there is one."""


def handlers(mesh: Mesh) -> Sequence[JobHandler]:
    return (*signals.handlers(mesh), *control.handlers(mesh), *override_actions.handlers(mesh))


def crons(mesh: Mesh) -> Sequence[Cron]:
    return (
        *signals.crons(mesh),
        *liquidity.crons(mesh),
        *federation.crons(mesh),
        *control.crons(mesh),
        *routing.crons(),
    )


def consumers(mesh: Mesh, *, group: str = "") -> Sequence[Consumer]:
    return (*signals.consumers(mesh, group=group),)
