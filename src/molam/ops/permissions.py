"""Who may open which page of the console; what they may decide, the engine says."""

from __future__ import annotations

from molam.approvals import permissions as engine
from molam.approvals.risk import evidence_endpoints as evidence
from molam.payments.statements.permissions import VIEW as RECONCILIATION
from molam.platform.web import Permission

# As the engine's API has them, without the programs: those read JSON.
USE_CONSOLE = Permission("ops.use_console", engine.STAFF)
PROPOSE = Permission("ops.propose", engine.CREATE.roles - {engine.SERVICE})
STATISTICS = engine.STATISTICS
VIEW_POLICIES = engine.POLICY_READ
CHANGE_POLICIES = engine.POLICY_WRITE
BREAK_GLASS = engine.BREAK_GLASS
REVIEW = engine.REVIEW
ADD_EVIDENCE = Permission("ops.add_evidence", evidence.ADD_EVIDENCE.roles & engine.STAFF)

__all__ = [
    "ADD_EVIDENCE",
    "BREAK_GLASS",
    "CHANGE_POLICIES",
    "PROPOSE",
    "RECONCILIATION",
    "REVIEW",
    "STATISTICS",
    "USE_CONSOLE",
    "VIEW_POLICIES",
]
