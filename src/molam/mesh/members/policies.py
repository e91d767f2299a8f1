"""Which policy decides in a region, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from molam.kernel.refusals import Kind, Refusal
from molam.mesh.members import policy_store as store
from molam.mesh.members import regions
from molam.mesh.members.policy_store import PolicyRow
from molam.mesh.members.rules import Rules, read_rules
from molam.mesh.runtime import Mesh
from molam.platform.db import Tx

_POLICIES_MAX = 200


class PolicyMissing(Refusal):
    code = "mesh-policy-absent"
    kind = Kind.ABSENT
    title = "No such mesh policy"


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What decides in a region now.

    *id* None: nobody wrote a policy there, and the rules are those this process is set to.
    """

    id: str | None
    region_id: str
    name: str
    version: int | None
    rules: Rules
    region_is_auto: bool
    approval_threshold: int
    """A payout above it never moves without approval; minor units of the region's currency."""
    approval_currency: str

    @property
    def may_act_alone(self) -> bool:
        """Whether the controller may: the mode and both flags must say so."""
        return (
            self.rules.mode == "auto" and self.rules.auto_failover_enabled and self.region_is_auto
        )


async def effective(tx: Tx, region_id: str, mesh: Mesh) -> Policy:
    """
    Read what decides in a region: its active policy of the smallest number.

    Raises:
        RegionAbsent: there is no such region.
    """
    region = await regions.get(tx, region_id)
    row = await tx.one(store.FIND_DECIDING, region_id=region.id)
    rules = default_rules(mesh) if row is None else rules_of(row)
    own = rules.approval_required_threshold
    return Policy(
        id=None if row is None else row.id,
        region_id=region.id,
        name="default" if row is None else row.name,
        version=None if row is None else row.version,
        rules=rules,
        region_is_auto=region.auto_failover_enabled,
        approval_threshold=region.approval_threshold if own is None else own,
        approval_currency=region.approval_currency,
    )


def default_rules(mesh: Mesh) -> Rules:
    """Say what decides where nobody wrote a policy."""
    return Rules(
        mode=mesh.default_mode,
        auto_failover_enabled=mesh.default_mode == "auto",
        auto_confidence_threshold=mesh.default_auto_threshold,
    )


def rules_of(row: PolicyRow) -> Rules:
    """Read a stored policy's rules; its mode and threshold have columns of their own."""
    return read_rules(
        {
            **_without_columns(row.rules),
            "mode": row.mode,
            "auto_confidence_threshold": row.auto_confidence_threshold,
        }
    )


async def listed(tx: Tx, *, region: str | None = None) -> list[PolicyRow]:
    """List policies of a region, by its id or name, or of all; the deciding ones first."""
    return await tx.all(store.LIST_POLICIES, region=region, limit=_POLICIES_MAX)


async def get(tx: Tx, policy_id: str) -> PolicyRow:
    """
    Raises:
        PolicyMissing: there is none of that id.
    """
    row = await tx.one(store.FIND_POLICY, id=policy_id)
    if row is None:
        raise PolicyMissing("Policies are listed by GET /api/mesh/policies.")
    return row


def _without_columns(rules: Mapping[str, Any]) -> dict[str, Any]:
    doubled = {"mode", "auto_confidence_threshold", "min_confidence_for_auto"}
    return {name: value for name, value in rules.items() if name not in doubled}
