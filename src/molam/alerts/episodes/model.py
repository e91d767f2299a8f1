"""Alerts, their flags, and whom not to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.alerts.rules.model import SEVERITIES, AlertType, Severity, TenantType
from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.platform.web.wire import CurrencyCode, Identifier

State = Literal["open", "acknowledged", "remediated", "resolved"]
Status = Literal["open", "acknowledged", "resolved", "suppressed", "auto_remediated"]
SilenceKind = Literal["silence", "maintenance"]

SYSTEM = "system"
"""Who opens and ends alerts when values do."""

REMEDIATE = "alerts.remediate"
"""The job that looks what may be done about an alert; its payload is an `AlertJob`."""

OVER = "alerts.over"
"""The job that hears that an alert is over, for which something is asked; an `AlertJob`."""

SILENCE_MAX = timedelta(days=7)
NOTE_LENGTH_MAX = 2000
REASON_LENGTH_MIN, REASON_LENGTH_MAX = 3, 500


class AlertAbsent(Refusal):
    code = "alert-not-found"
    kind = Kind.ABSENT
    title = "There is no such alert"


class AlertOver(Refusal):
    code = "alert-over"
    kind = Kind.CONFLICT
    title = "The alert is over"


class AlertTaken(Refusal):
    code = "alert-taken"
    kind = Kind.CONFLICT
    title = "Somebody else has taken the alert on"


class SilenceAbsent(Refusal):
    code = "silence-absent"
    kind = Kind.ABSENT
    title = "There is no such silence"


class SilenceOver(Refusal):
    code = "silence-over"
    kind = Kind.CONFLICT
    title = "The silence is over"


class SilenceMalformed(Refusal):
    code = "silence-malformed"
    kind = Kind.BROKEN_RULE
    title = "Nobody can be kept quiet like this"


class InhibitionAbsent(Refusal):
    code = "inhibition-absent"
    kind = Kind.ABSENT
    title = "There is no such inhibition"


class InhibitionMalformed(Refusal):
    code = "inhibition-malformed"
    kind = Kind.BROKEN_RULE
    title = "Alerts cannot quiet each other like this"


class AlertJob(msgspec.Struct, frozen=True):
    """Argument of jobs about one alert."""

    alert_id: str


class Matcher(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fits an alert that agrees in everything that is named; it names at least one thing."""

    alert_type: AlertType | None = None
    metric: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    tenant_type: TenantType | None = None
    tenant_id: Identifier | None = None
    currency: CurrencyCode | None = None
    severity: Severity | None = None

    def named(self) -> dict[str, str]:
        return {
            name: value
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not None
        }

    @property
    def covers_critical(self) -> bool:
        return self.severity in {None, "critical"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlert:
    """
    An alert that somebody or something raises by itself, not a rule.

    *metric* holds at least ``metric`` and ``value``; what else it holds is context.
    """

    alert_type: AlertType
    tenant_type: TenantType
    severity: Severity
    metric: Mapping[str, object] = field(default_factory=dict)
    tenant_id: str | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class AlertRow:
    id: UUID
    alert_type: AlertType
    tenant_type: TenantType
    tenant_id: str | None
    severity: Severity
    metric: dict[str, Any]
    state: State
    status: Status
    is_suppressed: bool
    title: str
    description: str
    facts: dict[str, Any]
    rule_id: str | None
    fingerprint: bytes
    episode: int
    currency: str | None
    fired_at: Instant
    created_at: Instant
    acknowledged_at: Instant | None
    acknowledged_by: str | None
    resolved_at: Instant | None
    resolved_by: str | None
    note: str | None
    remedied_by_action_id: UUID | None
    suppressed_until: Instant | None
    suppression_reason: str | None
    is_silenced: bool
    is_inhibited: bool
    is_in_maintenance: bool
    is_flapping: bool
    inhibited_by: UUID | None
    group_key: str
    notified_at: Instant | None
    told_severity: Severity | None
    resolution_notified_at: Instant | None
    notify_roles: list[str]
    escalation: list[dict[str, Any]]
    escalation_step: int
    escalate_at: Instant | None
    version: int
    updated_at: Instant

    @property
    def is_over(self) -> bool:
        return self.resolved_at is not None

    @property
    def is_quiet(self) -> bool:
        """Nobody is told of it and nothing is done about it by itself; it stays on the board."""
        return self.is_silenced or self.is_inhibited or self.is_in_maintenance or self.is_flapping

    @property
    def labels(self) -> dict[str, str | None]:
        return {
            "alert_type": self.alert_type,
            "metric": self.metric.get("metric"),
            "tenant_type": self.tenant_type,
            "tenant_id": self.tenant_id,
            "currency": self.currency,
            "severity": self.severity,
        }


@dataclass(frozen=True, slots=True)
class SilenceRow:
    id: UUID
    kind: SilenceKind
    matcher: dict[str, str]
    reason: str
    starts_at: Instant
    ends_at: Instant
    created_by: str
    created_at: Instant
    ended_at: Instant | None
    ended_by: str | None
    is_in_force: bool
    is_open: bool
    """Not over: in force, or still to begin."""


@dataclass(frozen=True, slots=True)
class InhibitionRow:
    id: str
    source: dict[str, str]
    target: dict[str, str]
    equal: list[str]
    enabled: bool


def how_bad(severity: Severity | None) -> int:
    return -1 if severity is None else SEVERITIES.index(severity)
