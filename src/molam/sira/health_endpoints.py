"""The health API that the mesh asks: POST /api/predict/health."""

from __future__ import annotations

import time

import msgspec
from prometheus_client import Counter, Histogram
from starlette.requests import Request

from molam.kernel import canonical
from molam.platform.web import Caller, Permission, Routes
from molam.sira import content, health_content, health_history
from molam.sira import health_filter as filter_
from molam.sira.health_messages import HealthRequest, PredictionAnswer
from molam.sira.health_serving import predict_by

routes = Routes()

PREDICT = Permission(
    "sira.predict_health", frozenset({"service", "ops_admin", "treasury_ops", "mesh_viewer"})
)
BODY_BYTES_MAX = 1024 * 1024
VALID_S = 600

PREDICTIONS = Counter(
    "molam_sira_predictions_total",
    "Predictions of banks' health, by who served and what was recommended.",
    ["served_by", "recommended"],
)
CONFIDENCE = Histogram(
    "molam_sira_prediction_confidence",
    "How sure predictions were.",
    buckets=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
)
_SECONDS = Histogram("molam_sira_prediction_seconds", "Time to predict.")


@routes.post(
    "/api/predict/health",
    needs=PREDICT,
    body=HealthRequest,
    answers=PredictionAnswer,
    body_bytes_max=BODY_BYTES_MAX,
    refuses=(canonical.JsonMalformed,),
)
async def predict(request: Request, _caller: Caller, body: HealthRequest) -> PredictionAnswer:
    """
    Predict which share of a bank's payouts will complete in time, and say why.

    Nothing is remembered of earlier requests: everything is learnt from the history sent.
    """
    began = time.perf_counter()
    state = request.app.state
    now = state.clock.now()
    rows = health_history.read(body.historical_data)
    belief, recent = health_history.learn(rows, now=now.timestamp())
    around = body.surroundings
    made = predict_by(
        state.shelf.serving(),
        filter_.doubted(
            filter_.advance(belief, now.timestamp()),
            around.p_down_min,
            "declared_outage" if around.maintenance_now else "regions",
        ),
        window_minutes=body.prediction_window_minutes,
        at=now.timestamp(),
        recent=msgspec.structs.replace(
            recent,
            overdue=around.overdue,
            is_short_of_funds=recent.is_short_of_funds or around.is_short_of_funds,
        ),
        around=around.features,
    )
    history = health_content.digest_of_history(body.historical_data)
    said = health_content.content_of(body.subject, made, history=history, surroundings=around)
    signed = content.sign_content("prediction", said, key=state.signing_key, now=now, ttl_s=VALID_S)
    PREDICTIONS.labels(made.served_by, made.recommended_action).inc()
    CONFIDENCE.observe(made.confidence)
    _SECONDS.observe(time.perf_counter() - began)
    return PredictionAnswer.of(body, made, signed, history)
