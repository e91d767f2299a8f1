"""What may be done about an alert by itself, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

import msgspec

from molam.alerts.episodes.model import AlertRow
from molam.alerts.rules.model import AlertType
from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal

SIRA = "sira-system"
"""Who asks for what SIRA recommends."""

LOOK = "alerts.follow_remediation"

Decider = Literal["sira", "system", "user"]
Decided = Literal["suggest", "skip", "require_approval", "execute", "error", "create_ops_action"]


class NoRemedy(Refusal):
    code = "no-remedy"
    kind = Kind.BROKEN_RULE
    title = "No action is known that would help"


class PolicyUnknown(Refusal):
    code = "remediation-policy-absent"
    kind = Kind.ABSENT
    title = "There is no such remediation policy"


class PolicyRefused(Refusal):
    code = "remediation-policy-refused"
    kind = Kind.BROKEN_RULE
    title = "This remediation policy cannot hold"


class PolicyOutOfBounds(PolicyRefused):
    code = "remediation-policy-out-of-bounds"
    title = "The policy's action is outside of its own bounds"


class BreakerShut(Refusal):
    code = "remediation-breaker-absent"
    kind = Kind.ABSENT
    title = "No breaker is open there"


class LookJob(msgspec.Struct, frozen=True):
    """Arguments of the job `LOOK`."""

    remediation_id: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Remedy:
    """What a policy asks for; of *action_type* `MANUAL_REVIEW` that is nothing: people look."""

    action_type: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be asked for about alerts of one type, and within which limits."""

    id: str
    alert_type: AlertType
    enabled: bool
    auto_action: dict[str, Any]
    bounds: dict[str, Any]
    auto_threshold: Decimal
    cooldown_seconds: int
    last_executed_at: Instant | None
    require_multi_sig: bool
    required_approvals: int
    notify_channels: list[str]
    targets_per_hour: int
    share_of_targets: Decimal
    verify_hold_s: int
    verify_within_s: int
    version: int
    created_by: str
    updated_by: str
    created_at: Instant
    updated_at: Instant

    @property
    def action_type(self) -> str:
        return str(self.auto_action.get("action_type", ""))

    def remedy_for(self, tenant_type: str) -> Remedy:
        """Return what is asked for about a kind of tenant: its own, or else that of all."""
        return _remedy(self._for_tenants.get(tenant_type, self.auto_action))

    def remedies(self) -> list[tuple[str | None, Remedy]]:
        """List what may be asked for, and about which kind of tenant; None: about all others."""
        own = [(kind, _remedy(said)) for kind, said in sorted(self._for_tenants.items())]
        return [(None, _remedy(self.auto_action)), *own]

    @property
    def _for_tenants(self) -> Mapping[str, Mapping[str, object]]:
        found = self.auto_action.get("for_tenants", {})
        return found if isinstance(found, Mapping) else {}

    def as_json(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def targets_max(self, active: int) -> int:
        """Return how many targets an hour may be acted on, of so many active ones."""
        share = int(self.share_of_targets * active)
        return min(self.targets_per_hour, max(1, share))


def _remedy(said: Mapping[str, object]) -> Remedy:
    params = said.get("params", {})
    return Remedy(
        str(said.get("action_type", "")), dict(params) if isinstance(params, Mapping) else {}
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of what was decided about an alert."""

    actor: Decider
    action: Decided
    details: Mapping[str, object]

    def as_json(self) -> dict[str, Any]:
        return {"actor": self.actor, "action": self.action, "details": dict(self.details)}


def quiet(alert: AlertRow) -> str | None:
    """Name the flag that keeps remediation quiet, if any does."""
    flags = {
        "silenced": alert.is_silenced or alert.is_suppressed,
        "inhibited": alert.is_inhibited,
        "maintenance": alert.is_in_maintenance,
        "flapping": alert.is_flapping,
    }
    return next((name for name, is_set in flags.items() if is_set), None)


def tightening(policy: Policy, roles: frozenset[str]) -> dict[str, Any]:
    """
    Say what a remediation asks of the approval policy, which may only become stricter by it.

    How sure SIRA is does not enter: below the threshold nothing is asked for at all, and
    above it nobody's vote is saved.
    """
    wish: dict[str, Any] = {"auto_execute": not policy.require_multi_sig}
    if policy.require_multi_sig:
        wish["required_quorum"] = {
            "type": "role",
            "value": {"roles": sorted(roles), "min_votes": policy.required_approvals},
        }
    return wish
