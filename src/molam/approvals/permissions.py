"""Who may call what of the engine's API. Who may decide an action is its policy's business."""

from __future__ import annotations

from molam.platform.web import Permission

OPS = frozenset({"ops_admin", "finance_ops", "pay_admin"})
STAFF = OPS | {"compliance", "cfo", "auditor", "treasury_ops", "super_admin"}
SERVICE = "service"

CREATE = Permission("ops.create_action", OPS | {SERVICE, "treasury_ops", "super_admin"})
VOTE = Permission("ops.vote", STAFF - {"auditor"})
COMMENT = Permission("ops.comment", STAFF)
EXECUTE = Permission("ops.execute", frozenset({"ops_admin", "finance_ops"}))
READ = Permission("ops.read_actions", STAFF | {SERVICE})
STATISTICS = Permission("ops.read_statistics", OPS | {"auditor", "cfo", "super_admin"})
BREAK_GLASS = Permission("ops.break_glass", frozenset({"super_admin"}))
REVIEW = Permission("ops.review_break_glass", frozenset({"ops_admin", "compliance", "cfo"}))
POLICY_WRITE = Permission("ops.change_policies", frozenset({"ops_admin"}))
POLICY_READ = Permission("ops.read_policies", OPS | {"auditor", "compliance", "cfo", "super_admin"})
DELEGATE = Permission("ops.delegate", STAFF)
FREEZE = Permission("ops.freeze_execution", frozenset({"ops_admin", "compliance", "cfo"}))
LIFT_FREEZE = Permission("ops.lift_freeze", OPS | FREEZE.roles | {"super_admin"})
PASSKEYS = Permission("ops.passkeys", STAFF)
