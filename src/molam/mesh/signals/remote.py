"""Asking a SIRA that is a service of its own: after the commit, and never inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from molam.kernel.refusals import Outage
from molam.mesh.runtime import Mesh
from molam.mesh.signals import history, predictions
from molam.mesh.signals.model import NoHealthData, Predict, PredictionUnavailable
from molam.mesh.signals.prediction_store import MinuteRow, PredictionRow
from molam.mesh.signals.predictions import About
from molam.platform.db import Database, Tx
from molam.platform.jobs import Job, JobHandler
from molam.sira import health_client, health_fallback
from molam.sira.health import Forecast, doubted_too
from molam.sira.health_client import RemoteSira
from molam.sira.health_fallback import Look
from molam.sira.health_messages import Around, HealthRequest

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Known:
    """What SIRA is told, and what it leaves to us."""

    hours: Sequence[MinuteRow]
    minutes: Sequence[MinuteRow]
    around: Around
    doubted_by: tuple[str, ...]


async def predict(db: Database, mesh: Mesh, about: About) -> PredictionRow:
    """
    Let the remote SIRA predict; when it cannot, a rule of thumb does, and says so.

    Raises:
        NoHealthData: nothing has been heard of the bank.
        PredictionUnavailable: SIRA does not answer, and nothing may take its place.
    """
    async with db.transaction("mesh.read_history", readonly=True) as tx:
        known = await _known(tx, mesh, about)
    forecast = doubted_too(await _asked(mesh, about, known), known.doubted_by)
    async with db.transaction("mesh.keep_prediction") as tx:
        return await predictions.keep(tx, mesh, about, forecast)


async def _known(tx: Tx, mesh: Mesh, about: About) -> _Known:
    now = mesh.clock.now()
    row = await predictions.health_row(tx, about)
    minutes = await history.minutes_of(tx, row, now)
    recent, around = await history.surroundings(tx, row, now, rows=minutes)
    return _Known(
        hours=await history.hours_of(tx, row, now),
        minutes=minutes,
        around=Around(
            country=around.country,
            maintenance_now=around.maintenance_now,
            maintenance_soon=around.maintenance_soon,
            neighbours_p_down=around.neighbours_p_down,
            # What was announced, or is seen elsewhere, is in no minute of ours.
            p_down_min=row.p_down if row.is_announced_down or row.doubted_by else 0.0,
            overdue=recent.overdue,
            is_short_of_funds=recent.is_short_of_funds,
        ),
        doubted_by=row.doubted_by,
    )


async def _asked(mesh: Mesh, about: About, known: _Known) -> Forecast:
    sira = RemoteSira(
        url=mesh.sira_url,
        signing_key=mesh.signing_key,
        clock=mesh.clock,
        api_key=mesh.sira_api_key if mesh.sira_api_key.reveal() else None,
        timeout_s=mesh.sira_timeout_s,
    )
    asked = HealthRequest(
        bank_profile_id=about.bank_profile_id,
        mesh_region_id=about.mesh_region_id,
        rail=about.rail,
        currency=about.currency,
        historical_data=[_told(row) for row in (*known.hours, *known.minutes)],
        prediction_window_minutes=about.window_minutes,
        surroundings=known.around,
    )
    try:
        return (await health_client.ask(sira, asked)).forecast
    except Outage as outage:
        log.warning("mesh.sira.unheard", bank=about.bank_profile_id, why=str(outage))
        if not mesh.fallback_enabled:
            raise PredictionUnavailable(
                "Without it there is no prediction, and routes stay as they are."
            ) from outage
        return health_fallback.forecast(
            [_look(row) for row in known.minutes],
            window_minutes=about.window_minutes,
            p_down_min=known.around.p_down_min,
        )


def _told(row: MinuteRow) -> dict[str, object]:
    return {
        "checked_at": row.checked_at.isoformat(),
        **{
            name: getattr(row, name)
            for name in (
                *("attempts", "failures", "sla_misses", "timeouts", "not_its_fault"),
                *("probes", "probe_failures", "latency_sum_ms", "latency_max_ms", "latencies"),
            )
        },
    }


def _look(row: MinuteRow) -> Look:
    return Look(
        health_score=None if row.health_score is None else float(row.health_score),
        latency_ms=row.latency_sum_ms / row.latencies if row.latencies else None,
        success_rate=None if row.success_rate is None else float(row.success_rate),
    )


def handlers(mesh: Mesh) -> list[JobHandler]:
    async def predict_remotely(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=Predict)
        about = About(asked.bank_profile_id, asked.mesh_region_id, asked.rail, asked.currency)
        try:
            await predict(job.db, mesh, about)
        except (NoHealthData, PredictionUnavailable) as refusal:
            # The next one is due in five minutes; nobody has to look at this.
            log.info("mesh.prediction.none", bank=asked.bank_profile_id, why=refusal.code)

    return [JobHandler(predictions.PREDICT, predict_remotely, attempts_max=1, at_once_max=20)]
