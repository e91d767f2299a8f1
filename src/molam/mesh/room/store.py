"""What the control room reads beyond what the parts of the mesh answer themselves."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class WaitingRow:
    proposals: int
    overdue: int
    is_stopped: bool


COUNT_WAITING = Query(
    """
    /* mesh.count_waiting */
    select (select count(*) from (
                select from mesh.mesh_routing_proposals
                 where status in ('proposed', 'simulated', 'approved') and expires_at > now()
                 limit 100) as open)::int as proposals,
           (select count(*) from (
                select from mesh.mesh_reconciliations
                 where reconciliation_status = 'pending' and promised_settlement < now()
                 limit 100) as late)::int as overdue,
           exists (select from mesh.kill_switches where is_engaged and scope = 'global') as is_stopped
    """,
    row=WaitingRow,
)
