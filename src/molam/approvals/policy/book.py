"""The policies in force, compiled once for each version."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prometheus_client import Counter

from molam.approvals import store
from molam.approvals.policy.criteria import compile_criteria
from molam.approvals.policy.history import history_of
from molam.approvals.policy.rules import read_rules
from molam.approvals.policy.selection import Selection, StoredPolicy, select
from molam.approvals.store import PolicyRow
from molam.kernel.clock import Instant
from molam.platform.actions import Registry
from molam.platform.db import Tx

TIES = Counter(
    "molam_approvals_policy_ties_total", "Decisions for which policies of one priority fitted."
)


class PolicyBook:
    """Reads policies in the caller's transaction, and remembers what they compile to."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._compiled: dict[UUID, tuple[int, StoredPolicy]] = {}

    async def in_force(self, tx: Tx) -> list[StoredPolicy]:
        rows = await tx.all(store.LIST_ENABLED_POLICIES)
        compiled = [self._compile(row) for row in rows]
        self._compiled = {
            row.id: (row.version, each) for row, each in zip(rows, compiled, strict=True)
        }
        return compiled

    async def select(
        self, tx: Tx, facts: dict[str, Any], *, asked_at: Instant | None = None
    ) -> Selection:
        """
        Find the policy for *facts* at the transaction's instant; see `selection.select`.

        *asked_at* is when the action was asked for that stands already, None for a new one.
        """
        policies = [each for each in await self.in_force(tx) if _may_fit(each, facts)]
        history = await history_of(tx, policies, facts, asked_at=asked_at)
        selection = select(policies, {**facts, "history": history.sums}, history.at)
        if selection.trace["tie"]:
            TIES.inc()
        return selection

    def _compile(self, row: PolicyRow) -> StoredPolicy:
        held = self._compiled.get(row.id)
        if held is not None and held[0] == row.version:
            return held[1]
        return StoredPolicy(
            id=row.id,
            name=row.name,
            version=row.version,
            criteria=compile_criteria(
                row.criteria, self.registry, baseline=row.baseline, stored=True
            ),
            rules=read_rules(row.policy),
            priority=row.priority,
            enabled=row.enabled,
            baseline=row.baseline,
            valid_from=row.valid_from,
            valid_until=row.valid_until,
            created_at=row.created_at,
        )


def _may_fit(policy: StoredPolicy, facts: dict[str, Any]) -> bool:
    types = policy.criteria.types
    return types is None or facts["action_type"] in types
