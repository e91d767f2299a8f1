"""Asking a SIRA that is a service of its own: after the commit, and never inside it."""

from __future__ import annotations

import msgspec
import structlog

from molam.kernel.refusals import Outage
from molam.mesh.runtime import Mesh
from molam.mesh.signals import prediction_store, predictions
from molam.mesh.signals.model import NoHealthData, Predict, PredictionUnavailable
from molam.mesh.signals.prediction_store import PredictionRow
from molam.mesh.signals.predictions import About
from molam.platform.db import Database, Tx
from molam.platform.jobs import Job, JobHandler
from molam.sira import health_client, health_fallback
from molam.sira.health import Forecast
from molam.sira.health_client import RemoteSira
from molam.sira.health_fallback import Look
from molam.sira.health_messages import HealthRequest

log = structlog.get_logger()

HISTORY_MINUTES = 1440


async def predict(db: Database, mesh: Mesh, about: About) -> PredictionRow:
    """
    Let the remote SIRA predict; when it cannot, a rule of thumb does, and says so.

    Raises:
        NoHealthData: nothing has been heard of the bank.
        PredictionUnavailable: SIRA does not answer, and nothing may take its place.
    """
    async with db.transaction("mesh.read_history", readonly=True) as tx:
        await predictions.health_row(tx, about)
        history = await _history(tx, mesh, about)
    forecast = await _asked(mesh, about, history)
    async with db.transaction("mesh.keep_prediction") as tx:
        return await predictions.keep(tx, mesh, about, forecast)


async def _history(tx: Tx, mesh: Mesh, about: About) -> list[prediction_store.MinuteRow]:
    return await tx.all(
        prediction_store.LIST_MINUTES,
        bank_id=about.bank_profile_id,
        rail=about.rail,
        currency=about.currency,
        at=mesh.clock.now(),
        minutes=HISTORY_MINUTES,
    )


async def _asked(mesh: Mesh, about: About, history: list[prediction_store.MinuteRow]) -> Forecast:
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
        historical_data=[_told(row) for row in history],
        prediction_window_minutes=about.window_minutes,
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
            [_look(row) for row in history], window_minutes=about.window_minutes
        )


def _told(row: prediction_store.MinuteRow) -> dict[str, object]:
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


def _look(row: prediction_store.MinuteRow) -> Look:
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
