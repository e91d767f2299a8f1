"""Who may see the dashboard, arrange it, and have done what it recommends."""

from __future__ import annotations

from molam.approvals import permissions as engine
from molam.platform.web import Permission

VIEW = Permission("dashboard.view", engine.STAFF)
READ = Permission("dashboard.read", engine.STAFF | {engine.SERVICE})
ARRANGE = Permission("dashboard.arrange", engine.STAFF)
APPLY = Permission("dashboard.apply_recommendations", frozenset({"ops_admin", "finance_ops"}))
CHANGE_WIDGETS = Permission("dashboard.change_widgets", frozenset({"ops_admin"}))
CREATE_ACTION = Permission("dashboard.create_action", engine.OPS)
APPROVE_ACTION = Permission("dashboard.approve_action", frozenset({"ops_admin", "pay_admin"}))
EXECUTE_ACTION = Permission("dashboard.execute_action", frozenset({"ops_admin"}))
