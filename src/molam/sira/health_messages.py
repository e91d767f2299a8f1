"""What SIRA is asked about a bank, and what it answers: POST /api/predict/health."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.sira import health, health_content, health_history
from molam.sira.content import SignedContent
from molam.sira.features import Surroundings
from molam.sira.health import Forecast, Part
from molam.sira.health_rules import RecommendedAction

PARTS_MAX = 100
_SCORE_MAX = 100
_WINDOW_MAX_MIN = 24 * 60

RiskFactor = Annotated[str, Meta(max_length=64)]
Identifier = Annotated[str, Meta(min_length=1, max_length=255)]


class Around(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What is known of the moment and is not seen in the history.

    *p_down_min* is how likely the bank is down at least: it has said so, or others see it.
    """

    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z", max_length=2)] = "SN"
    maintenance_now: bool = False
    maintenance_soon: bool = False
    neighbours_p_down: Annotated[float, Meta(ge=0, le=1)] = 0.0
    p_down_min: Annotated[float, Meta(ge=0, le=1)] = 0.0
    overdue: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    is_short_of_funds: bool = False

    @property
    def features(self) -> Surroundings:
        return Surroundings(
            country=self.country,
            maintenance_now=self.maintenance_now,
            maintenance_soon=self.maintenance_soon,
            neighbours_p_down=self.neighbours_p_down,
        )


class HealthRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Which bank is meant, and what was seen of it.

    *historical_data* are minutes of the health log, or signals, in any order. Minutes may
    be added up, an hour of them in its last one.
    """

    bank_profile_id: Identifier
    mesh_region_id: Identifier | None = None
    rail: Annotated[str, Meta(min_length=1, max_length=64)] = "bank"
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z", max_length=3)] = "XOF"
    historical_data: Annotated[list[dict[str, Any]], Meta(max_length=health_history.ROWS_MAX)] = []
    prediction_window_minutes: Annotated[int, Meta(ge=1, le=_WINDOW_MAX_MIN)] = (
        health.WINDOW_MINUTES
    )
    surroundings: Around = Around()

    @property
    def subject(self) -> health_content.Subject:
        return health_content.Subject(
            bank_profile_id=self.bank_profile_id,
            mesh_region_id=self.mesh_region_id,
            rail=self.rail,
            currency=self.currency,
        )


Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class Interval(msgspec.Struct, frozen=True):
    """Where the score lies four times in five, and its median."""

    p10: Decimal
    p50: Decimal
    p90: Decimal

    def __post_init__(self) -> None:
        ends = (self.p10, self.p50, self.p90)
        # What is not a number cannot even be compared.
        if not all(each.is_finite() for each in ends) or not (
            0 <= self.p10 <= self.p50 <= self.p90 <= _SCORE_MAX
        ):
            raise ValueError("no interval of scores")


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What the prediction is made of; the contributions add up to its log-odds."""

    contributions: Annotated[list[Part], Meta(max_length=PARTS_MAX)]
    recent_attempts: Count
    recent_failures: Count
    stays_with: Count | None


class PredictionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction, and SIRA's signature over all of it and over what it was made from."""

    bank_profile_id: str
    mesh_region_id: str | None
    rail: str
    currency: str
    predicted_score: Decimal
    confidence: Share
    prediction_window_minutes: int
    reason: Annotated[str, Meta(max_length=1000)]
    risk_factors: Annotated[list[RiskFactor], Meta(max_length=20)]
    recommended_action: RecommendedAction
    interval: Interval
    p_down: Share
    n_eff: Annotated[float, Meta(ge=0)]
    explanation: Explanation
    model_version: Annotated[str, Meta(min_length=1, max_length=128)]
    served_by: health.ServedBy
    history: str
    valid_from: datetime
    valid_until: datetime
    token_id: str
    signature: str

    def __post_init__(self) -> None:
        if not (self.predicted_score.is_finite() and 0 <= self.predicted_score <= _SCORE_MAX):
            raise ValueError("no score")

    @classmethod
    def of(
        cls, asked: HealthRequest, made: Forecast, signed: SignedContent, history: str
    ) -> PredictionAnswer:
        return cls(
            bank_profile_id=asked.bank_profile_id,
            mesh_region_id=asked.mesh_region_id,
            rail=asked.rail,
            currency=asked.currency,
            predicted_score=made.predicted_score,
            confidence=made.confidence,
            prediction_window_minutes=made.window_minutes,
            reason=made.reason,
            risk_factors=list(made.risk_factors),
            recommended_action=made.recommended_action,
            interval=Interval(made.p10, made.p50, made.p90),
            p_down=made.p_down,
            n_eff=made.n_eff,
            explanation=Explanation(
                contributions=list(made.contributions),
                recent_attempts=made.recent_attempts,
                recent_failures=made.recent_failures,
                stays_with=made.stays_with,
            ),
            model_version=made.model_version,
            served_by=made.served_by,
            history=history,
            valid_from=signed.issued,
            valid_until=signed.expires,
            token_id=signed.token_id,
            signature=signed.token,
        )

    def forecast(self) -> Forecast:
        """Return what is predicted, as whoever made it knew it."""
        return Forecast(
            predicted_score=self.predicted_score,
            p10=self.interval.p10,
            p50=self.interval.p50,
            p90=self.interval.p90,
            p_down=self.p_down,
            confidence=self.confidence,
            n_eff=self.n_eff,
            window_minutes=self.prediction_window_minutes,
            risk_factors=tuple(self.risk_factors),
            recommended_action=self.recommended_action,
            reason=self.reason,
            contributions=tuple(self.explanation.contributions),
            model_version=self.model_version,
            served_by=self.served_by,
            recent_attempts=self.explanation.recent_attempts,
            recent_failures=self.explanation.recent_failures,
            stays_with=self.explanation.stays_with,
        )
