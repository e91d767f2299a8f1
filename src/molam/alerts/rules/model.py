"""Measured values, the rules that judge them, and what comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal

AlertType = Literal[
    "float_low",
    "recon_match_drop",
    "refund_spike",
    "payout_fail_rate",
    "dlq_growth",
    "fraud_score_high",
    "conversion_drop",
    "chargeback_spike",
]
TenantType = Literal["platform", "merchant", "agent", "bank", "region"]
Severity = Literal["info", "warning", "critical"]
Comparison = Literal["below", "above"]
Unit = Literal["amount", "share", "count", "score"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""From the mildest to the worst."""

PLACES = Decimal("0.000001")
"""Values are kept, and so judged, to a millionth."""

Moved = Literal["opened", "worsened", "eased", "resolved", "no_data", "flapping", "steady"]


class MetricMalformed(Refusal):
    code = "metric-malformed"
    kind = Kind.MALFORMED
    title = "This measurement cannot be used"


class RuleAbsent(Refusal):
    code = "alert-rule-absent"
    kind = Kind.ABSENT
    title = "There is no such alert rule"


class RuleMalformed(Refusal):
    code = "alert-rule-malformed"
    kind = Kind.BROKEN_RULE
    title = "This alert rule contradicts itself"


class RuleLoosened(Refusal):
    code = "alert-rule-loosened"
    kind = Kind.CONFLICT
    title = "This would let through what raises an alert now"


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    One measurement of one tenant.

    Amounts are whole minor units of *currency*. *context* is what its source tells
    beside, its own threshold included: it is shown, and never judges.
    """

    metric: str
    value: Decimal
    tenant_type: TenantType
    at: Instant
    tenant_id: str | None = None
    currency: str | None = None
    context: dict[str, object] = {}
    event_id: str | None = None


class Escalation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to tell when nobody has taken an alert on for so long."""

    after_s: int
    role: str


@dataclass(frozen=True, slots=True)
class Rule:
    """When a measured value is an alert, and who is told."""

    id: str
    alert_type: AlertType
    metric: str
    comparison: Comparison
    tenant_type: TenantType
    tenant_id: str | None
    currency: str | None
    unit: Unit
    fire_at: Decimal
    clear_at: Decimal
    critical_at: Decimal | None
    for_s: int
    keep_firing_s: int
    no_data_s: int | None
    severity: Severity
    notify_roles: tuple[str, ...]
    escalation: tuple[Escalation, ...]
    enabled: bool
    version: int
    updated_by: str
    updated_at: Instant

    @property
    def family(self) -> Family:
        return self.alert_type, self.metric, self.tenant_type

    def fires(self, value: Decimal | int) -> bool:
        return value < self.fire_at if self.comparison == "below" else value > self.fire_at

    def clears(self, value: Decimal | int) -> bool:
        return value >= self.clear_at if self.comparison == "below" else value <= self.clear_at

    def severity_of(self, value: Decimal | int) -> Severity:
        """Say how bad *value* is, given that it is an alert."""
        if self.critical_at is None:
            return self.severity
        if self.comparison == "below":
            return "critical" if value <= self.critical_at else self.severity
        return "critical" if value > self.critical_at else self.severity

    def eases(self, value: Decimal) -> bool:
        """Tell whether *value* is well off the critical level: half-way back, or further."""
        assert self.critical_at is not None
        middle = (self.fire_at + self.critical_at) / 2
        return value > middle if self.comparison == "below" else value < middle


Family = tuple[AlertType, str, TenantType]
"""Rules for one alert type, metric and kind of tenant: the most specific one judges."""

Key = tuple[str, TenantType, str | None, str | None]
"""What is measured, and of whom: metric, kind of tenant, tenant, currency."""


@dataclass(frozen=True, slots=True)
class Transition:
    """
    Something that became true of one watched tenant at *at*, by the time of what was measured.

    - opened: an episode begins; *severity* is that of its alert.
    - worsened, eased: its severity is another.
    - resolved: it is over.
    - no_data: nothing was measured for as long as the rule allows. An alert, if none of
      this *episode* is open yet; otherwise a remark on the one that is.
    - flapping, steady: its alerts say nothing to anybody, or do again. No episode need be open.

    *cause* says what opened the episode: a value, or silence. *fingerprint* and *episode*
    name the alert.
    """

    moved: Moved
    at: Instant
    fingerprint: bytes
    episode: int
    rule: Rule
    tenant_id: str | None
    currency: str | None
    severity: Severity
    value: Decimal
    previous_value: Decimal | None
    is_flapping: bool
    cause: Literal["value", "silence"] = "value"
    context: Mapping[str, object] = field(default_factory=dict)

    @property
    def alert_type(self) -> AlertType:
        return self.rule.alert_type

    @property
    def metric(self) -> str:
        return self.rule.metric

    @property
    def tenant_type(self) -> TenantType:
        return self.rule.tenant_type


def fingerprint(
    alert_type: str, metric: str, tenant_type: str, tenant_id: str | None, *, currency: str | None
) -> bytes:
    """Name what is watched, whichever rule of the family judges it now."""
    labels = {"currency": currency, "tenant_id": tenant_id, "tenant_type": tenant_type}
    text = msgspec.json.encode([f"{alert_type}/{metric}", sorted(labels.items())])
    return hashlib.sha256(text).digest()


def key_of(sample: Sample) -> Key:
    return sample.metric, sample.tenant_type, sample.tenant_id, sample.currency


def lane_key(tenant_type: str, tenant_id: str | None) -> str:
    """Name the lane of the log in which everything measured of one tenant stays in order."""
    return f"{tenant_type}:{tenant_id or ''}"


def exact(value: float | Decimal) -> Decimal:
    """Write a number as it was written in JSON, to a millionth."""
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    return number.quantize(PLACES).normalize() if number % 1 else Decimal(int(number))


def is_in_range(number: float | Decimal) -> bool:
    """Tell whether *number* is one that amounts and levels can be: finite, and no larger."""
    if isinstance(number, Decimal) and not number.is_finite():
        return False
    return -MINOR_MAX <= number <= MINOR_MAX


def moment(at: datetime) -> datetime:
    return at.astimezone(UTC)
