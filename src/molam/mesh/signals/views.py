"""Health, predictions and outages as the API shows them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from molam.mesh.signals.model import HealthRow
from molam.mesh.signals.outage_store import OutageRow
from molam.mesh.signals.prediction_store import PredictionRow


class Interval(msgspec.Struct, frozen=True):
    """What the score will not be below, will be around, and will not be above, in percent."""

    p10: float
    p50: float
    p90: float


class Contribution(msgspec.Struct, frozen=True):
    """What one family of signals adds to the log-odds of being down."""

    name: str
    log_odds: float


class Prediction(msgspec.Struct, frozen=True):
    """A prediction of a bank's health: signed by SIRA over everything in *content*."""

    id: str
    bank_profile_id: str
    mesh_region_id: str | None
    rail: str
    currency: str
    predicted_score: Decimal
    confidence: Decimal
    prediction_window_minutes: int
    prediction_reason: str
    risk_factors: list[str]
    recommended_action: str
    sira_model_version: str
    sira_confidence_intervals: Interval
    contributions: list[Contribution]
    p_down: float
    served_by: str
    sira_signature: str
    content: dict[str, Any]
    valid_from: datetime
    valid_until: datetime
    created_at: datetime


class Health(msgspec.Struct, frozen=True):
    """What is believed of a bank on one rail and in one currency."""

    bank_profile_id: str
    rail: str
    currency: str
    health_score: Decimal
    score_low: Decimal
    score_high: Decimal
    p_down: float
    signals: int
    mode: str
    last_signal_at: datetime | None
    last_failure_at: datetime | None
    short_of_funds_until: datetime | None
    is_announced_down: bool
    outage_until: datetime | None
    doubted_by: list[str]
    """Other regions that make us doubt it more than what we saw of it."""
    silent_since: datetime | None
    updated_at: datetime


class Outage(msgspec.Struct, frozen=True):
    """An announced outage."""

    id: UUID
    bank_profile_id: str
    rail: str | None
    currency: str | None
    begins_at: datetime
    ends_at: datetime | None
    note: str
    source: str
    created_by: str
    created_at: datetime


def prediction(row: PredictionRow) -> Prediction:
    return Prediction(
        id=row.id,
        bank_profile_id=row.bank_profile_id,
        mesh_region_id=row.mesh_region_id,
        rail=row.rail,
        currency=row.currency,
        predicted_score=row.predicted_score,
        confidence=row.confidence,
        prediction_window_minutes=row.prediction_window_minutes,
        prediction_reason=row.prediction_reason,
        risk_factors=row.risk_factors,
        recommended_action=row.recommended_action,
        sira_model_version=row.sira_model_version,
        sira_confidence_intervals=msgspec.convert(row.sira_confidence_intervals, Interval),
        contributions=msgspec.convert(row.explanation.get("contributions", []), list[Contribution]),
        p_down=row.p_down,
        served_by=row.served_by,
        sira_signature=row.sira_signature,
        content=row.content,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        created_at=row.created_at,
    )


def health(row: HealthRow) -> Health:
    return Health(
        bank_profile_id=row.bank_profile_id,
        rail=row.rail,
        currency=row.currency,
        health_score=row.score,
        score_low=row.score_low,
        score_high=row.score_high,
        p_down=round(row.p_down, 6),
        signals=row.signals,
        mode=row.mode,
        last_signal_at=row.last_signal_at,
        last_failure_at=row.last_failure_at,
        short_of_funds_until=row.short_of_funds_until,
        is_announced_down=row.is_announced_down,
        outage_until=row.outage_until,
        doubted_by=list(row.doubted_by),
        silent_since=row.silent_since,
        updated_at=row.updated_at,
    )


def outage(row: OutageRow) -> Outage:
    return Outage(**{name: getattr(row, name) for name in Outage.__struct_fields__})
