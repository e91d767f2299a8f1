"""Who may read statements and books, and who may change what is said of them."""

from __future__ import annotations

from molam.platform.web import Permission

RECONCILE = Permission("ops.reconcile", frozenset({"finance_ops"}))
VIEW = Permission("ops.view_reconciliation", frozenset({"finance_ops", "auditor"}))
