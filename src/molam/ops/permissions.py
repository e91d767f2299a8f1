"""Who may open which page of the console; what they may decide, the engine says."""

from __future__ import annotations

from molam.platform.web import Permission

OPS_ADMIN = "ops_admin"
FINANCE_OPS = "finance_ops"
PAY_ADMIN = "pay_admin"

CONSOLE_ROLES = frozenset(
    {
        OPS_ADMIN,
        FINANCE_OPS,
        PAY_ADMIN,
        "compliance",
        "cfo",
        "auditor",
        "treasury_ops",
        "super_admin",
    }
)

USE_CONSOLE = Permission("ops.use_console", CONSOLE_ROLES)
PROPOSE = Permission("ops.propose", frozenset({OPS_ADMIN, FINANCE_OPS, PAY_ADMIN}))
VIEW_POLICIES = Permission(
    "ops.view_policies", frozenset({OPS_ADMIN, FINANCE_OPS, PAY_ADMIN, "auditor"})
)
