"""Who may see alerts, take them on, quiet them, and change what raises them."""

from __future__ import annotations

from molam.approvals import permissions as engine
from molam.platform.web import Permission

VIEW = Permission("alerts.view", engine.STAFF | {engine.SERVICE})
ACKNOWLEDGE = Permission("alerts.acknowledge", engine.STAFF - {"auditor"})
RESOLVE = Permission("alerts.resolve", frozenset({"ops_admin", "pay_admin"}))
SILENCE = Permission("alerts.silence", frozenset({"ops_admin", "pay_admin", "finance_ops"}))
REMEDIATE = Permission("alerts.remediate", frozenset({"ops_admin"}))
VIEW_POLICIES = Permission("alerts.view_policies", engine.OPS | {"auditor", "cfo", "super_admin"})
CHANGE_POLICIES = Permission("alerts.change_policies", frozenset({"ops_admin"}))
POST_METRICS = Permission("alerts.post_metrics", frozenset({"ops_admin", engine.SERVICE}))
