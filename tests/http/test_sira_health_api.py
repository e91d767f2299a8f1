"""The health service as the mesh sees it: what it says is signed, and about what was asked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from callers import bearer, in_process
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from molam.entrypoints.keys import sira_signing_key
from molam.entrypoints.wiring_sira import sira_app
from molam.kernel.clock import SystemClock
from molam.platform.settings import Secret, Settings, SettingsRefused
from molam.simulator.issuer_keys import IssuerKeys
from molam.sira import health_client
from molam.sira.health_client import RemoteSira
from molam.sira.health_messages import HealthRequest
from molam.sira.remote import Unheard
from sinks import HttpSink, serving

API_KEY = "a-key-of-a-service"
KEYED = {"X-API-Key": API_KEY}
PATH = "/api/predict/health"
ABOUT = {"bank_profile_id": "bp_123", "mesh_region_id": "region_cedeao"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, sira_api_key=Secret(API_KEY))


@pytest.fixture
async def sira(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    app = sira_app(settings)
    async with (
        app.router.lifespan_context(app),
        in_process(app, "http://localhost:8000") as client,
    ):
        yield client


def minutes(failures: list[int]) -> list[dict[str, Any]]:
    """An hour of the health log, the last minutes with *failures*."""
    wanted = [0] * (60 - len(failures)) + failures
    now = datetime.now(UTC)
    return [
        {
            "checked_at": (now - timedelta(minutes=len(wanted) - place)).isoformat(),
            "attempts": 3,
            "failures": failed,
            "latency_sum_ms": 900,
            "latencies": 3,
        }
        for place, failed in enumerate(wanted)
    ]


def signals(outcomes: list[str]) -> list[dict[str, Any]]:
    now = datetime.now(UTC).timestamp()
    return [
        {"at": now - 20 * (len(outcomes) - place), "kind": "payout", "outcome": outcome}
        for place, outcome in enumerate(outcomes)
    ]


async def asked(sira: httpx2.AsyncClient, rows: list[dict[str, Any]], **more: Any) -> Any:
    answer = await sira.post(PATH, json={**ABOUT, "historical_data": rows, **more}, headers=KEYED)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_healthy_bank_is_watched_and_a_dead_one_left(sira: httpx2.AsyncClient):
    good, bad = await asked(sira, minutes([])), await asked(sira, minutes([3, 3, 3, 3]))

    assert good["recommended_action"] == "monitor"
    assert good["predicted_score"] > 98
    assert (bad["recommended_action"], bad["served_by"]) == ("failover", "tier1")
    assert bad["interval"]["p10"] <= bad["predicted_score"] <= bad["interval"]["p90"]
    assert bad["risk_factors"] == ["low_success_rate", "declining_health"]
    assert bad["explanation"]["recent_failures"] == 12
    assert bad["explanation"]["stays_with"] < 12
    assert {each["name"] for each in bad["explanation"]["contributions"]} == {"usual", "payout"}
    assert "12 of the last" in bad["reason"]
    assert (bad["prediction_window_minutes"], bad["confidence"] > 0.9) == (60, True)


async def test_history_may_be_signals_in_any_order(sira: httpx2.AsyncClient):
    rows = signals(["ok"] * 40 + ["bank_technical", "bank_timeout_unknown"] * 3)

    there, back = await asked(sira, rows), await asked(sira, rows[::-1])

    assert there["recommended_action"] == back["recommended_action"] == "failover"
    assert there["p_down"] == pytest.approx(back["p_down"], rel=1e-3)


async def test_bank_that_says_we_are_short_of_funds_gets_more_of_them(sira: httpx2.AsyncClient):
    said = await asked(sira, signals(["ok"] * 40 + ["liquidity"] * 3))

    assert said["recommended_action"] == "increase_reserve"


async def test_bank_nothing_is_known_of_is_predicted_by_what_is_usual(sira: httpx2.AsyncClient):
    said = await asked(sira, [])

    assert (said["recommended_action"], said["confidence"]) == ("monitor", 0.6)


async def test_looks_that_only_have_a_rate_of_success_count_once_each(sira: httpx2.AsyncClient):
    now = datetime.now(UTC)
    rows = [
        {
            "checked_at": (now - timedelta(minutes=40 - place)).isoformat(),
            "success_rate": 0.05,
            "latency_ms": 900,
            "health_score": 5,
        }
        for place in range(40)
    ]

    assert (await asked(sira, rows))["recommended_action"] == "failover"


async def test_malformed_question_is_refused_with_what_is_wrong_with_it(
    sira: httpx2.AsyncClient,
):
    for changed in (
        {"bank_profile_id": ""},
        {"bank_profile_id": None},
        {"prediction_window_minutes": 0},
        {"prediction_window_minutes": 1.5},
        {"currency": "xof"},
        {"historical_data": [{}] * 1501},
        {"historical_data": [[]]},
        {"historical_data": [{"at": 1.0, "kind": "rumour", "outcome": "ok"}]},
        {"unknown": 1},
    ):
        answer = await sira.post(PATH, json={**ABOUT, **changed}, headers=KEYED)

        assert (answer.status_code, answer.json()["code"]) == (400, "body-malformed"), changed


async def test_strangers_and_merchants_are_told_nothing(sira: httpx2.AsyncClient, keys: IssuerKeys):
    found = [
        (await sira.post(PATH, json=ABOUT, headers=headers)).status_code
        for headers in ({}, {"X-API-Key": "another"}, bearer(keys))
    ]

    assert found == [401, 401, 403]


@dataclass
class Between(HttpSink):
    """Hands each question on to SIRA, and lets a test alter what comes back."""

    sira: httpx2.AsyncClient | None = None
    alter: Callable[[dict[str, Any]], object] = lambda said: said
    questions: list[Any] = field(default_factory=list)

    async def serve(self, reader: Any, writer: Any) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        assert self.sira is not None
        self.questions.append(json.loads(body))
        answer = await self.sira.post(
            PATH, content=body, headers={**KEYED, "Content-Type": "application/json"}
        )
        said = answer.json()
        altered = self.alter(said)
        sent = json.dumps(said if altered is None else altered).encode()
        writer.write(
            f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent
        )
        with contextlib.suppress(ConnectionError):
            await writer.drain()


@pytest.fixture
async def between(sira: httpx2.AsyncClient) -> AsyncIterator[Between]:
    sink = Between(sira=sira)
    async with serving(sink):
        yield sink


def remote(between: Between, settings: Settings, **changed: Any) -> RemoteSira:
    made = RemoteSira(
        url=f"{between.url}/",
        signing_key=sira_signing_key(settings),
        clock=SystemClock(),
        api_key=Secret(API_KEY),
    )
    return replace(made, **changed)


def question() -> HealthRequest:
    return HealthRequest(
        bank_profile_id="bp_123",
        mesh_region_id="region_cedeao",
        historical_data=[{**row, "p_down": 0.1} for row in minutes([1, 0, 2])],
        prediction_window_minutes=15,
    )


async def test_signed_prediction_is_heard_as_it_was_made(between: Between, settings: Settings):
    heard = await health_client.ask(remote(between, settings), question())

    assert heard.forecast.window_minutes == 15
    assert heard.forecast.recent_failures == 3
    assert heard.content["bank_profile_id"] == "bp_123"
    assert heard.token_id
    assert between.questions[0]["prediction_window_minutes"] == 15


def _worse(said: dict[str, Any]) -> None:
    said["predicted_score"] = 1


def _kinder(said: dict[str, Any]) -> None:
    said["recommended_action"] = "increase_reserve"


def _more(said: dict[str, Any]) -> None:
    said["explanation"]["contributions"][0]["log_odds"] += 1


def _surer(said: dict[str, Any]) -> None:
    said["confidence"] = 0.123


async def test_prediction_altered_on_its_way_is_no_prediction(between: Between, settings: Settings):
    for alter in (_worse, _kinder, _more, _surer):
        between.alter = alter

        with pytest.raises(Unheard) as info:
            await health_client.ask(remote(between, settings), question())
        assert info.value.why == "It says something else than what was signed."


async def test_prediction_about_another_bank_or_history_is_no_prediction(
    between: Between, settings: Settings
):
    kept: list[dict[str, Any]] = []
    between.alter = lambda said: kept.append(said) or kept[0]
    here = remote(between, settings)
    first = question()
    await health_client.ask(here, first)

    for other in (
        replace_struct(first, bank_profile_id="bp_124"),
        replace_struct(first, historical_data=first.historical_data[1:]),
        replace_struct(first, currency="EUR"),
    ):
        with pytest.raises(Unheard) as info:
            await health_client.ask(here, other)
        assert info.value.why == "It says something else than what was signed."
    with pytest.raises(Unheard):
        await health_client.ask(here, replace_struct(first, prediction_window_minutes=60))


def replace_struct(request: HealthRequest, **changed: Any) -> HealthRequest:
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    return HealthRequest(**{**fields, **changed})


async def test_prediction_signed_by_another_is_no_prediction(between: Between, settings: Settings):
    stranger = remote(between, settings, signing_key=Secret("x" * 32))

    with pytest.raises(Unheard) as info:
        await health_client.ask(stranger, question())
    assert info.value.why == "Its signature is wrong."


async def test_answer_that_is_none_is_an_outage(between: Between, settings: Settings):
    wrong: list[dict[str, Any]] = [
        {"predicted_score": 101},
        {"interval": {"p10": 90, "p50": 50, "p90": 10}},
        {"reason": "x" * 2000},
        {"confidence": "high"},
        {"predicted_score": "NaN"},
        {"interval": {"p10": 1, "p50": "NaN", "p90": 90}},
        {"signature": None},
    ]
    for changed in wrong:
        between.alter = lambda said, changed=changed: {**said, **changed}

        with pytest.raises(Unheard, match="SIRA's answer is not one"):
            await health_client.ask(remote(between, settings), question())
    between.alter = lambda _: []
    with pytest.raises(Unheard, match="SIRA's answer is not one"):
        await health_client.ask(remote(between, settings), question())


async def test_silence_and_errors_are_outages(between: Between, settings: Settings):
    between.status = 503
    with pytest.raises(Unheard) as info:
        await health_client.ask(remote(between, settings), question())
    assert info.value.why == "SIRA answered 503"
    nobody = remote(between, settings, url="http://127.0.0.1:1", timeout_s=0.5)
    with pytest.raises(Unheard) as info:
        await health_client.ask(nobody, question())
    assert info.value.why == "SIRA did not answer"


async def test_service_counts_what_it_predicts(sira: httpx2.AsyncClient):
    await asked(sira, minutes([]))

    text = (await sira.get("/metrics")).text
    assert 'molam_sira_predictions_total{recommended="monitor",served_by="tier1"}' in text
    assert PATH in (await sira.get("/openapi.json")).json()["paths"]


async def test_sira_does_not_start_with_a_key_that_signs_nothing(settings: Settings):
    public = Ed25519PrivateKey.generate().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    with pytest.raises(SettingsRefused, match="public key"):
        sira_app(replace(settings, sira_signing_key=Secret(pem)))


async def test_service_with_an_ed25519_key_is_believed_by_who_has_its_public_half(
    settings: Settings,
):
    pair = Ed25519PrivateKey.generate()
    private = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    app = sira_app(replace(settings, sira_signing_key=Secret(private)))
    async with (
        app.router.lifespan_context(app),
        in_process(app, "http://localhost:8000") as client,
    ):
        sink = Between(sira=client)
        async with serving(sink):
            here = remote(sink, settings, signing_key=Secret(public.decode()))
            heard = await health_client.ask(here, question())

    assert heard.forecast.served_by == "tier1"
