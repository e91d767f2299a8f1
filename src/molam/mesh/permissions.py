"""Who may do what in the mesh."""

from __future__ import annotations

from molam.platform.web import Permission

SERVICE = "service"
OPS_ADMIN = "ops_admin"
TREASURY = "treasury_ops"
COMPLIANCE = "compliance"
VIEWER = "mesh_viewer"

_STAFF = frozenset(
    {OPS_ADMIN, TREASURY, COMPLIANCE, "finance_ops", "cfo", "auditor", "super_admin"}
)

VIEW = Permission("mesh.view", _STAFF | {VIEWER, SERVICE})
USE_ROOM = Permission("mesh.use_room", _STAFF | {VIEWER})
POST_HEALTH = Permission("mesh.post_health", frozenset({SERVICE, TREASURY, OPS_ADMIN}))
PREDICT = Permission("mesh.predict", frozenset({SERVICE, TREASURY, OPS_ADMIN}))
PROPOSE = Permission("mesh.propose", frozenset({SERVICE, TREASURY, OPS_ADMIN}))
SIMULATE = Permission("mesh.simulate", frozenset({TREASURY, OPS_ADMIN, COMPLIANCE}))
VOTE = Permission("mesh.vote", frozenset({TREASURY, OPS_ADMIN}))
ROLL_BACK = Permission("mesh.roll_back", frozenset({TREASURY, OPS_ADMIN}))
ADD_MEMBERS = Permission("mesh.add_members", frozenset({TREASURY, OPS_ADMIN}))
CHANGE_POLICIES = Permission("mesh.change_policies", frozenset({TREASURY, OPS_ADMIN}))
STOP = Permission("mesh.stop", frozenset({TREASURY, OPS_ADMIN, COMPLIANCE}))
DRAW = Permission("mesh.draw", frozenset({TREASURY}))
ADD_STATEMENTS = Permission("mesh.add_statements", frozenset({TREASURY, "finance_ops"}))
FEDERATE = Permission("mesh.federate", frozenset({TREASURY, OPS_ADMIN}))
DRILL = Permission("mesh.drill", frozenset({TREASURY, OPS_ADMIN}))
