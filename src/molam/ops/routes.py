"""The console as wiring mounts it: every route, and what the open pages must hear."""

from __future__ import annotations

from molam.ops import (
    action_pages,
    audit_pages,
    delegation_pages,
    emergency_pages,
    entity_pages,
    evidence_pages,
    freeze_pages,
    history_pages,
    inbox_pages,
    live,
    mesh_pages,
    policy_editor,
    policy_pages,
    propose_pages,
    queue_pages,
    security_pages,
    statement_books_pages,
    statement_line_pages,
    statement_pages,
    statistics_pages,
)
from molam.ops.live import hear

__all__ = ["ALL", "hear"]

ALL = (
    queue_pages.routes,
    action_pages.routes,
    emergency_pages.routes,
    evidence_pages.routes,
    propose_pages.routes,
    history_pages.routes,
    entity_pages.routes,
    policy_pages.routes,
    policy_editor.routes,
    statistics_pages.routes,
    inbox_pages.routes,
    delegation_pages.routes,
    freeze_pages.routes,
    security_pages.routes,
    statement_pages.routes,
    statement_line_pages.routes,
    statement_books_pages.routes,
    audit_pages.routes,
    mesh_pages.routes,
    live.routes,
)
