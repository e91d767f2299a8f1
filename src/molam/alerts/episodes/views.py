"""Alerts and silences as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from molam.alerts.episodes.list_store import DecisionRow, TypeStatRow
from molam.alerts.episodes.model import (
    AlertRow,
    InhibitionRow,
    SilenceKind,
    SilenceRow,
    State,
    Status,
)
from molam.alerts.episodes.store import MoveRow
from molam.alerts.rules.model import AlertType, Severity, TenantType


class AlertView(msgspec.Struct, frozen=True):
    """`status` is suppressed while an open alert is silenced; `state` says what it is beneath."""

    id: str
    alert_type: AlertType
    tenant_type: TenantType
    tenant_id: str | None
    severity: Severity
    metric: dict[str, Any]
    status: Status
    state: State
    title: str
    description: str
    currency: str | None
    episode: int
    fired_at: datetime
    created_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    note: str | None
    remedied_by_action_id: str | None
    suppressed_until: datetime | None
    suppression_reason: str | None
    is_silenced: bool
    is_inhibited: bool
    is_in_maintenance: bool
    is_flapping: bool
    inhibited_by: str | None
    notified_at: datetime | None
    escalation_step: int
    escalate_at: datetime | None
    version: int


class MoveView(msgspec.Struct, frozen=True):
    moved: str
    by: str
    at: datetime
    details: dict[str, Any]


class DecisionView(msgspec.Struct, frozen=True):
    decision: dict[str, Any]
    created_at: datetime


class SilenceView(msgspec.Struct, frozen=True):
    id: str
    kind: SilenceKind
    matcher: dict[str, str]
    reason: str
    starts_at: datetime
    ends_at: datetime
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    is_in_force: bool


class InhibitionView(msgspec.Struct, frozen=True):
    """While an alert that fits `source` is open, those that fit `target` tell nobody."""

    id: str
    source: dict[str, str]
    target: dict[str, str]
    equal: list[str]
    enabled: bool


class TypeStatView(msgspec.Struct, frozen=True):
    alert_type: AlertType
    auto_remediated_count: int
    open_count: int
    resolved_count: int
    avg_resolution_time_seconds: int | None


def alert(row: AlertRow) -> AlertView:
    return AlertView(
        id=str(row.id),
        alert_type=row.alert_type,
        tenant_type=row.tenant_type,
        tenant_id=row.tenant_id,
        severity=row.severity,
        metric=row.metric,
        status=row.status,
        state=row.state,
        title=row.title,
        description=row.description,
        currency=row.currency,
        episode=row.episode,
        fired_at=row.fired_at,
        created_at=row.created_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        resolved_at=row.resolved_at,
        resolved_by=row.resolved_by,
        note=row.note,
        remedied_by_action_id=_text(row.remedied_by_action_id),
        suppressed_until=row.suppressed_until,
        suppression_reason=row.suppression_reason,
        is_silenced=row.is_silenced,
        is_inhibited=row.is_inhibited,
        is_in_maintenance=row.is_in_maintenance,
        is_flapping=row.is_flapping,
        inhibited_by=_text(row.inhibited_by),
        notified_at=row.notified_at,
        escalation_step=row.escalation_step,
        escalate_at=row.escalate_at,
        version=row.version,
    )


def move(row: MoveRow) -> MoveView:
    return MoveView(moved=row.moved, by=row.by_whom, at=row.created_at, details=row.details)


def decision(row: DecisionRow) -> DecisionView:
    return DecisionView(decision=row.decision, created_at=row.created_at)


def silence(row: SilenceRow) -> SilenceView:
    return SilenceView(
        id=str(row.id),
        kind=row.kind,
        matcher=row.matcher,
        reason=row.reason,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_by=row.created_by,
        created_at=row.created_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        is_in_force=row.is_in_force,
    )


def inhibition(row: InhibitionRow) -> InhibitionView:
    return InhibitionView(
        id=row.id, source=row.source, target=row.target, equal=row.equal, enabled=row.enabled
    )


def type_stat(row: TypeStatRow) -> TypeStatView:
    return TypeStatView(
        alert_type=row.alert_type,
        auto_remediated_count=row.auto_remediated_count,
        open_count=row.open_count,
        resolved_count=row.resolved_count,
        avg_resolution_time_seconds=row.avg_resolution_time_seconds,
    )


def _text(id_: object) -> str | None:
    return None if id_ is None else str(id_)
