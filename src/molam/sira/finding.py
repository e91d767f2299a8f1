"""What a detector has to say, in figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Severity = Literal["info", "warning", "critical"]


class Kind(Enum):
    """What is unusual; the values are stable and stored with alerts."""

    SALES_SURGE = "sales_surge"
    PAYMENTS_HIGH = "payments_high"
    PAYMENTS_LOW = "payments_low"
    REFUNDS_HIGH = "refunds_high"
    DISPUTES_HIGH = "disputes_high"
    SUCCESS_RATE_LOW = "success_rate_low"
    CHARGEBACK_RATE_HIGH = "chargeback_rate_high"
    TICKET_HIGH = "ticket_high"
    TICKET_LOW = "ticket_low"
    PAYMENTS_SINKING = "payments_sinking"
    PAYMENTS_RISING = "payments_rising"
    PAYOUT_FAILURES_HIGH = "payout_failures_high"
    JOINT_UNUSUAL = "joint_unusual"

    @property
    def alert_type(self) -> str:
        """The specification's word for it."""
        return _ALERT_TYPES.get(self, "sira_anomaly")


_ALERT_TYPES = {
    Kind.SALES_SURGE: "unusual_sales_volume",
    Kind.PAYMENTS_HIGH: "velocity_exceeded",
    Kind.REFUNDS_HIGH: "unusual_refund_pattern",
    Kind.CHARGEBACK_RATE_HIGH: "high_chargeback_rate",
}


Dimension = Literal["payments", "ticket", "fees", "success", "refunds"]


@dataclass(frozen=True, slots=True)
class Part:
    """One figure of several that are unusual together, in the units of a finding's."""

    of: Dimension
    observed: float
    expected: float


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something out of the ordinary.

    *score* is -log10 of the probability of seeing it by chance; the floor rule,
    which knows no chance, has 0. *observed* and *expected* are minor units for
    sales, counts, fractions for rates, and factors of the ordinary for tickets.
    """

    kind: Kind
    severity: Severity
    score: float
    observed: float
    expected: float
    hours: int = 24
    trials: int = 0
    parts: tuple[Part, ...] = ()
    """Of what is unusual together only: what makes it so, first what does most."""

    @property
    def confidence(self) -> float:
        """The score as the specification's sira_score: 0 to 1, rounded to 4 digits."""
        return round(min(1 - 10 ** -max(self.score, 0.0), 0.9999), 4)
