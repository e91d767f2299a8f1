"""Predictions of banks' health: made, signed over all they say, kept, and verified before use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

import msgspec
import structlog

from molam.kernel.clock import Instant
from molam.kernel.ids import show, uuid7
from molam.mesh.runtime import Mesh
from molam.mesh.signals import history, intervals, metrics, prediction_store, queries
from molam.mesh.signals.messages import OURS
from molam.mesh.signals.model import DECLARED_P_DOWN, HealthRow, Key, NoHealthData, Predict
from molam.mesh.signals.prediction_store import MemberKeyRow, PredictionRow
from molam.platform.db import Database, Tx
from molam.platform.events import Event, cloud_event, publish
from molam.platform.jobs import enqueue
from molam.sira import content as sira_content
from molam.sira.health import Forecast, doubted_too
from molam.sira.health_filter import Belief, observe, p_down
from molam.sira.health_serving import predict_by
from molam.sira.signing import AdviceRefused

__all__ = [
    "PREDICT",
    "TOPIC",
    "PredictionRow",
    "belief_of",
    "content_of",
    "keep",
    "newest",
    "predict",
    "refresh",
    "refresh_all",
    "valid",
]

log = structlog.get_logger()

TOPIC = "mesh.predictions"
PREDICT = "mesh.predict_remotely"
VALID_S = 600
"""Twice as long as a prediction is refreshed."""
WINDOW_MINUTES = 60

_KEYS_MAX = 5000
_PLACES = 6
_FOUR_PLACES = Decimal("0.0001")
_ANNOUNCED_FAILURES_MAX = 10


@dataclass(frozen=True, slots=True)
class About:
    """What a prediction is about."""

    bank_profile_id: str
    mesh_region_id: str | None
    rail: str
    currency: str
    window_minutes: int = WINDOW_MINUTES


async def predict(
    tx: Tx,
    mesh: Mesh,
    *,
    bank_profile_id: str,
    mesh_region_id: str | None,
    rail: str,
    currency: str,
) -> PredictionRow:
    """
    Predict the next hour of a bank in this process, and keep the prediction, signed.

    Raises:
        NoHealthData: nothing has been heard of the bank on that rail and in that currency.
    """
    about = About(bank_profile_id, mesh_region_id, rail, currency)
    now = mesh.clock.now()
    row = await health_row(tx, about)
    serving = mesh.serving()
    if serving.model is None:
        rows = await history.minutes_of(tx, row, now, hours=1)
    else:
        rows = [*await history.hours_of(tx, row, now), *await history.minutes_of(tx, row, now)]
    recent, around = await history.surroundings(tx, row, now, rows=rows)
    forecast = predict_by(
        serving,
        belief_of(row, now),
        window_minutes=about.window_minutes,
        at=now.timestamp(),
        recent=recent,
        around=around,
    )
    return await keep(tx, mesh, about, doubted_too(forecast, row.doubted_by))


async def main_of(
    tx: Tx, bank_profile_id: str, *, rail: str | None, currency: str | None
) -> tuple[str, str]:
    """
    Find the rail and the currency that a bank is mainly heard of, among those asked for.

    Raises:
        NoHealthData: nothing has been heard of it.
    """
    found = await tx.one(
        prediction_store.FIND_MAIN, bank_id=bank_profile_id, rail=rail, currency=currency
    )
    if found is None:
        raise _nothing_heard(bank_profile_id)
    return found.rail, found.currency


def _nothing_heard(bank_profile_id: str) -> NoHealthData:
    return NoHealthData(
        "No payment, probe or report has told anything of it on this rail and currency.",
        bank_profile_id=bank_profile_id,
    )


async def health_row(tx: Tx, about: About) -> HealthRow:
    """
    Read what is believed of what *about* names.

    Raises:
        NoHealthData: nothing has been heard of it.
    """
    rows = await queries.health_of(
        tx, currency=about.currency, rail=about.rail, bank_ids=[about.bank_profile_id]
    )
    if not rows or not (rows[0].signals or rows[0].is_announced_down):
        raise _nothing_heard(about.bank_profile_id)
    return rows[0]


def belief_of(row: HealthRow, now: Instant) -> Belief:
    """Return what is believed; an announced outage counts as the failures that would show it."""
    belief = row.belief
    if row.is_announced_down:
        for _ in range(_ANNOUNCED_FAILURES_MAX):
            if p_down(belief) >= DECLARED_P_DOWN:
                break
            belief = observe(belief, 1.0, now.timestamp(), "declared_outage")
    return belief


async def keep(tx: Tx, mesh: Mesh, about: About, forecast: Forecast) -> PredictionRow:
    """Sign *forecast*, keep it and tell whoever listens, when *tx* commits."""
    now = mesh.clock.now()
    key = about.bank_profile_id, about.rail, about.currency
    row = _unsigned(about, await intervals.drawn_out(tx, forecast, key), now)
    signed = sira_content.sign_content(
        "prediction", row.content, key=mesh.signing_key, now=row.valid_from, ttl_s=VALID_S
    )
    kept = _with(row, sira_signature=signed.token, token_id=signed.token_id)
    assert kept.valid_until == signed.expires
    await tx.run(prediction_store.APPEND, **asdict(kept))
    await publish(tx, [_event(kept)])
    metrics.CONFIDENCE.observe(float(kept.confidence))
    return kept


def _unsigned(about: About, forecast: Forecast, now: Instant) -> PredictionRow:
    begins = now.replace(microsecond=0)
    ends = Instant.fromtimestamp(int(now.timestamp()) + VALID_S, begins.tzinfo)
    row = PredictionRow(
        id=show("bhp", uuid7(now)),
        bank_profile_id=about.bank_profile_id,
        mesh_region_id=about.mesh_region_id,
        rail=about.rail,
        currency=about.currency,
        predicted_score=forecast.predicted_score,
        confidence=Decimal(forecast.confidence).quantize(_FOUR_PLACES),
        prediction_window_minutes=forecast.window_minutes,
        prediction_reason=forecast.reason,
        risk_factors=list(forecast.risk_factors),
        recommended_action=forecast.recommended_action,
        sira_model_version=forecast.model_version,
        sira_confidence_intervals={
            "p10": float(forecast.p10),
            "p50": float(forecast.p50),
            "p90": float(forecast.p90),
        },
        explanation={
            "contributions": [
                {"name": part.name, "log_odds": round(part.log_odds, _PLACES)}
                for part in forecast.contributions
            ],
            "n_eff": forecast.n_eff,
            "recent_attempts": forecast.recent_attempts,
            "recent_failures": forecast.recent_failures,
            "stays_with": forecast.stays_with,
            **({"doubted_by": list(forecast.doubted_by)} if forecast.doubted_by else {}),
        },
        p_down=round(forecast.p_down, _PLACES),
        served_by=forecast.served_by,
        sira_signature="",
        token_id="",
        content={},
        valid_from=begins,
        valid_until=ends,
        created_at=now,
    )
    return _with(row, content=content_of(row))


def content_of(row: PredictionRow) -> dict[str, object]:
    """Write all that *row* says, as it is signed: nothing of it can change unnoticed."""
    return {
        "prediction_id": row.id,
        "bank_profile_id": row.bank_profile_id,
        "mesh_region_id": row.mesh_region_id,
        "rail": row.rail,
        "currency": row.currency,
        "predicted_score": f"{row.predicted_score:.2f}",
        "confidence": f"{row.confidence:.4f}",
        "prediction_window_minutes": row.prediction_window_minutes,
        "reason": row.prediction_reason,
        "risk_factors": list(row.risk_factors),
        "recommended_action": row.recommended_action,
        "model_version": row.sira_model_version,
        "intervals": row.sira_confidence_intervals,
        "explanation": row.explanation,
        "p_down": row.p_down,
        "served_by": row.served_by,
        "valid_from": int(row.valid_from.timestamp()),
        "valid_until": int(row.valid_until.timestamp()),
    }


def _with(row: PredictionRow, **changed: object) -> PredictionRow:
    return PredictionRow(**{**asdict(row), **changed})


def _event(row: PredictionRow) -> Event:
    return Event(
        topic=TOPIC,
        key=row.bank_profile_id,
        payload=cloud_event(
            id_=row.id,
            source=OURS,
            type_=TOPIC,
            subject=row.bank_profile_id,
            time=row.created_at,
            data={
                "prediction_id": row.id,
                "bank_profile_id": row.bank_profile_id,
                "mesh_region_id": row.mesh_region_id,
                "predicted_score": float(row.predicted_score),
                "confidence": float(row.confidence),
                "prediction_window_minutes": row.prediction_window_minutes,
                "recommendation": row.recommended_action,
                "timestamp": row.created_at,
                "rail": row.rail,
                "currency": row.currency,
                "content": row.content,
                "sira_signature": row.sira_signature,
            },
        ),
    )


async def valid(
    tx: Tx,
    mesh: Mesh,
    *,
    currency: str,
    rail: str,
    bank_ids: Sequence[str] | None = None,
) -> list[PredictionRow]:
    """List the newest valid prediction of each bank and region. One that is not SIRA's is none."""
    now = mesh.clock.now()
    rows = await tx.all(
        prediction_store.LIST_VALID,
        currency=currency,
        rail=rail,
        bank_ids=None if bank_ids is None else list(bank_ids),
        at=now,
        limit=_KEYS_MAX,
    )
    return [row for row in rows if is_signed(row, mesh, now)]


def is_signed(row: PredictionRow, mesh: Mesh, now: Instant) -> bool:
    """Tell whether SIRA vouches for every word of *row*, now."""
    try:
        claims = sira_content.verify_content(
            row.sira_signature, "prediction", content_of(row), key=mesh.signing_key, now=now
        )
    except AdviceRefused as refusal:
        metrics.REFUSED.labels("signature").inc()
        log.warning("mesh.prediction.refused", prediction=row.id, why=refusal.detail)
        return False
    if claims.jti != row.token_id:
        metrics.REFUSED.labels("token").inc()
        log.warning("mesh.prediction.refused", prediction=row.id, why="another token's id")
        return False
    return True


async def newest(
    tx: Tx, *, region: str | None, bank_id: str | None, limit: int
) -> list[PredictionRow]:
    """List predictions, newest first."""
    return await tx.all(prediction_store.LIST_NEWEST, region=region, bank_id=bank_id, limit=limit)


async def refresh(tx: Tx, mesh: Mesh, keys: Collection[Key]) -> int:
    """
    Predict anew what is believed of members at *keys*; a remote SIRA is asked after *tx*.

    Returns of how many: what no member serves is left out.
    """
    rows = await tx.all(
        prediction_store.LIST_MEMBER_KEYS,
        bank_ids=sorted({bank for bank, _, _ in keys}),
        limit=_KEYS_MAX,
    )
    known = [row for row in rows if (row.bank_profile_id, row.rail, row.currency) in keys]
    for row in known:
        await _predict_or_ask(tx, mesh, row)
    return len(known)


async def refresh_all(db: Database, mesh: Mesh) -> None:
    """Predict anew for every member, bank by bank."""
    rows = await db.read(prediction_store.LIST_MEMBER_KEYS, bank_ids=None, limit=_KEYS_MAX)
    for bank in sorted({row.bank_profile_id for row in rows}):
        async with db.transaction("mesh.predict") as tx:
            for row in rows:
                if row.bank_profile_id == bank:
                    await _predict_or_ask(tx, mesh, row)


async def _predict_or_ask(tx: Tx, mesh: Mesh, row: MemberKeyRow) -> None:
    if mesh.sira_url:
        asked = Predict(row.bank_profile_id, row.mesh_region_id, row.rail, row.currency)
        once = "/".join((PREDICT, *msgspec.structs.astuple(asked)[:4]))
        await enqueue(tx, PREDICT, asked, once=once)
        return
    await predict(
        tx,
        mesh,
        bank_profile_id=row.bank_profile_id,
        mesh_region_id=row.mesh_region_id,
        rail=row.rail,
        currency=row.currency,
    )
