"""Regions, members, policies and switches as the API shows them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from molam.approvals.store import ActionRow
from molam.mesh.members.policies import rules_of
from molam.mesh.members.policy_store import PolicyRow, SwitchRow, VersionRow
from molam.mesh.members.rules import rules_json
from molam.mesh.members.store import MemberRecord, RegionRow


class RegionView(msgspec.Struct, frozen=True):
    id: str
    name: str
    description: str
    countries: list[str]
    auto_failover_enabled: bool
    approval_threshold: int
    approval_currency: str
    allowed_crossborder: bool
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class RegionsAnswer(msgspec.Struct, frozen=True):
    ok: bool
    regions: list[RegionView]


class MemberView(msgspec.Struct, frozen=True):
    id: str
    mesh_region_id: str
    mesh_region_name: str
    bank_profile_id: str
    bank_name: str
    bank_country: str
    bank_currencies: list[str]
    bank_rails: list[str]
    bank_in_use: bool
    role: str
    prefer_order: int
    status: str
    capabilities: dict[str, Any]
    failure_domains: list[str]
    last_health_update: datetime | None
    current_health_score: Decimal | None
    kyc_verified: bool
    contract_signed: bool
    compliance_status: str
    ops_action_id: str | None
    created_by: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class MembersAnswer(msgspec.Struct, frozen=True):
    ok: bool
    members: list[MemberView]


class ActionView(msgspec.Struct, frozen=True):
    """The action by which others decide."""

    id: str
    action_type: str
    status: str
    expires_at: datetime | None


class MemberAnswer(msgspec.Struct, frozen=True):
    ok: bool
    member: MemberView
    action: ActionView | None = None


class ActionAnswer(msgspec.Struct, frozen=True):
    """What waits for others, and which rules it would loosen."""

    ok: bool
    action: ActionView | None
    loosened: list[str] = []


class PolicyView(msgspec.Struct, frozen=True):
    id: str
    mesh_region_id: str
    mesh_region_name: str
    name: str
    description: str
    mode: str
    auto_confidence_threshold: Decimal
    rules: dict[str, Any]
    priority: int
    active: bool
    version: int
    created_by: str
    ops_action_id: str | None
    created_at: datetime
    updated_at: datetime


class PoliciesAnswer(msgspec.Struct, frozen=True):
    ok: bool
    policies: list[PolicyView]


class PolicyAnswer(msgspec.Struct, frozen=True):
    """*action* is set where others have to agree first; then nothing has changed yet."""

    ok: bool
    policy: PolicyView | None
    action: ActionView | None = None
    loosened: list[str] = []


class VersionView(msgspec.Struct, frozen=True):
    version: int
    document: dict[str, Any]
    changed_by: str
    action_id: str | None
    replaced_at: datetime


class HistoryAnswer(msgspec.Struct, frozen=True):
    ok: bool
    versions: list[VersionView]


class SwitchView(msgspec.Struct, frozen=True):
    scope: str
    engaged: bool
    reason: str
    changed_by: str
    changed_at: datetime


class SwitchesAnswer(msgspec.Struct, frozen=True):
    ok: bool
    switches: list[SwitchView]


class SwitchAnswer(msgspec.Struct, frozen=True):
    ok: bool
    switch: SwitchView
    action: ActionView | None = None


def region_view(row: RegionRow) -> RegionView:
    return RegionView(**{name: getattr(row, name) for name in RegionView.__struct_fields__})


def member_view(row: MemberRecord) -> MemberView:
    names = set(MemberView.__struct_fields__) - {"mesh_region_name"}
    return MemberView(
        mesh_region_name=row.region_name, **{name: getattr(row, name) for name in names}
    )


def policy_view(row: PolicyRow) -> PolicyView:
    names = set(PolicyView.__struct_fields__) - {"mesh_region_name", "rules"}
    return PolicyView(
        mesh_region_name=row.region_name,
        rules=rules_json(rules_of(row)),
        **{name: getattr(row, name) for name in names},
    )


def version_view(row: VersionRow) -> VersionView:
    return VersionView(row.version, row.document, row.changed_by, row.action_id, row.replaced_at)


def switch_view(row: SwitchRow) -> SwitchView:
    return SwitchView(row.scope, row.is_engaged, row.reason, row.changed_by, row.changed_at)


def action_view(row: ActionRow) -> ActionView:
    return ActionView(str(row.id), row.action_type, row.status, row.expires_at)
