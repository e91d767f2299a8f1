"""Asking SIRA's service for a prediction, and believing only what it signed."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from prometheus_client import Counter

from molam.kernel import canonical
from molam.kernel.clock import Clock, Instant
from molam.kernel.refusals import Outage
from molam.platform.settings import Secret
from molam.sira import content, health_content, remote
from molam.sira.health import Forecast
from molam.sira.health_messages import HealthRequest, PredictionAnswer
from molam.sira.remote import Unheard
from molam.sira.signing import AdviceRefused

TIMEOUT_S = 10.0

FAILURES = Counter(
    "molam_sira_predictions_in_vain_total", "Predictions that a remote SIRA was asked for in vain."
)

_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSira:
    """Where SIRA is, what opens it, and what its signatures are held against."""

    url: str
    signing_key: Secret
    clock: Clock
    api_key: Secret | None = None
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Heard:
    """A prediction that SIRA signed, about what was asked."""

    forecast: Forecast
    content: dict[str, object]
    token: str
    token_id: str
    valid_until: Instant


async def ask(sira: RemoteSira, asked: HealthRequest) -> Heard:
    """
    Ask *sira* once. No transaction is open.

    Raises:
        Unheard: there is no prediction that could be believed; an `Outage`.
    """
    body = _encode(asked)
    try:
        said = await remote.post(
            f"{sira.url.rstrip('/')}/api/predict/health",
            body,
            api_key=sira.api_key,
            timeout_s=sira.timeout_s,
        )
        return _believed(sira, asked, body, said)
    except Outage:
        FAILURES.inc()
        raise


def _believed(sira: RemoteSira, asked: HealthRequest, body: bytes, said: canonical.Json) -> Heard:
    """
    Raises:
        Unheard: no prediction, one about something else, or one that SIRA did not sign.
    """
    try:
        answer = msgspec.convert(said, PredictionAnswer)
    except msgspec.ValidationError as error:
        raise Unheard(f"SIRA's answer is not one: {error}") from None
    forecast = answer.forecast()
    if forecast.window_minutes != asked.prediction_window_minutes:
        raise Unheard("SIRA predicted another window")
    # Not what the answer repeats of the question, but the question as it was sent.
    sent = canonical.parse(body)
    assert isinstance(sent, dict)
    history = health_content.digest_of_history(sent["historical_data"])
    vouched = health_content.content_of(
        asked.subject, forecast, history=history, surroundings=asked.surroundings
    )
    try:
        claims = content.verify_content(
            answer.signature, "prediction", vouched, key=sira.signing_key, now=sira.clock.now()
        )
    except AdviceRefused as refusal:
        raise Unheard(refusal.detail) from None
    return Heard(forecast, vouched, answer.signature, claims.jti, answer.valid_until)
