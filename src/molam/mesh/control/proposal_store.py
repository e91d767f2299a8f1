"""The statements about how a proposal is decided."""

from __future__ import annotations

from molam.mesh.control.store import StandingRow
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing

FIND_STANDING = Query(
    """
    /* control.find_standing */
    select p.status, p.shift_share, p.expires_at <= now() as is_expired,
           coalesce(p.applied_at <= now() - make_interval(hours => :window_h), false) as is_late_to_undo
      from mesh.mesh_routing_proposals as p
     where p.id = :id
    """,
    row=StandingRow,
)

SET_ACTION = Query(
    """
    /* control.set_action */
    update mesh.mesh_routing_proposals
       set ops_action_id = :action_id
     where id = :id and status in ('proposed', 'simulated')
    """,
    row=Nothing,
)

SET_ROLLBACK_ACTION = Query(
    """
    /* control.set_rollback_action */
    update mesh.mesh_routing_proposals
       set rollback_action_id = :action_id
     where id = :id and status = 'applied'
    """,
    row=Nothing,
)

SET_APPROVED = Query(
    """
    /* control.set_approved */
    update mesh.mesh_routing_proposals
       set status = 'approved', reviewed_by = :by, reviewed_at = now()
     where id = :id and status in ('proposed', 'simulated')
    """,
    row=Nothing,
)

SET_REJECTED = Query(
    """
    /* control.set_rejected */
    update mesh.mesh_routing_proposals
       set status = 'rejected', reviewed_by = :by, reviewed_at = now(), rejected_reason = :reason
     where id = :id and status in ('proposed', 'simulated', 'approved')
    """,
    row=Nothing,
)
