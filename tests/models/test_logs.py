"""Logs in the specification's shape, holding nothing they should not."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from starlette.types import Message

from molam.platform import telemetry
from molam.platform.telemetry import configure_logging, line, log
from molam.simulator.banks.trouble import Cut


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("merchant-dashboard", level="debug", stream=stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def last(written: io.StringIO) -> dict[str, object]:
    lines = written.getvalue().splitlines()
    return json.loads(lines[-1])


def test_a_log_line_has_the_specifications_shape(written: io.StringIO):
    log.info("KPI updated", merchant_id="mer_123", kpi_key="sales", value=1_500_000)

    found = last(written)
    assert list(found) == ["timestamp", "level", "service", "message", "metadata"]
    assert str(found["timestamp"]).endswith("Z")
    assert found | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "service": "merchant-dashboard",
        "message": "KPI updated",
        "metadata": {"merchant_id": "mer_123", "kpi_key": "sales", "value": 1_500_000},
    }


def test_a_librarys_log_has_the_same_shape(written: io.StringIO):
    logging.getLogger("asyncio").warning("slow %s", "callback")

    found = last(written)
    assert (found["level"], found["message"]) == ("warning", "slow callback")
    assert found["metadata"] == {"logger": "asyncio"}


def test_an_exception_is_one_line(written: io.StringIO):
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        log.error("unforeseen", exc_info=error)

    assert len(written.getvalue().splitlines()) == 1
    assert "ValueError: a" in str(last(written)["metadata"])


def test_the_request_is_named(written: io.StringIO):
    token = telemetry.request_id.set("req-42")
    log.info("refused")
    telemetry.request_id.reset(token)

    assert last(written)["metadata"] == {"request_id": "req-42"}


@pytest.mark.parametrize(
    "hostile",
    [
        'x\n{"level":"info","message":"paid"}',
        "x\r\nfake",
        "\x1b[2J\x1b[31mred",
        "\x9b31m",
        "line\u2028separator",
        "\u202egnp.exe",
        "\x00",
        "\ud800",
        '"}, {"level": "error',
    ],
    ids=ascii,
)
def test_what_a_stranger_wrote_stays_inside_its_string(hostile: str):
    text = line("s", "info", hostile, {"value": hostile})

    assert text.isprintable()
    assert len(text.splitlines()) == 1
    assert json.loads(text)["level"] == "info"


@pytest.mark.parametrize(
    "key",
    ["authorization", "Cookie", "set-cookie", "access_token", "password", "csrf", "otp", "api_key"],
)
def test_secrets_are_not_written_under_their_names(key: str):
    assert "4242" not in line("s", "info", "m", {key: "canary-4242", "in": {key: "canary-4242"}})


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
        "Authorization: Bearer abcdefgh12345678",
        "postgresql://molam:devpass99@db/molam",
        "GET /auth/callback?code=abcdefgh12345678&state=zyxwvuts",
    ],
)
def test_secrets_are_not_written_inside_sentences_either(secret: str):
    text = line("s", "info", f"seen {secret} today", {"value": [secret]})

    for part in ("eyJzdWIi", "abcdefgh12345678", "devpass99", "zyxwvuts"):
        assert part not in text
    assert "seen" in text
    assert "today" in text


def test_levels_below_the_chosen_one_cost_nothing(written: io.StringIO):
    configure_logging("merchant-dashboard", level="warning", stream=written)

    log.info("not this")
    log.warning("but this")

    assert [json.loads(each)["message"] for each in written.getvalue().splitlines()] == ["but this"]


def test_a_refused_handshake_is_no_error(written: io.StringIO):
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.error("ASGI callable returned without completing handshake.")
    uvicorn.error("something else")

    assert last(written)["message"] == "something else"
    assert len(written.getvalue().splitlines()) == 1


def test_an_answer_that_a_simulated_bank_loses_is_no_error_and_any_other_is(
    written: io.StringIO,
):
    lost = "ASGI callable returned without completing response."
    uvicorn = logging.getLogger("uvicorn.error")

    async def send(_message: Message) -> None:
        return

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def lose(*, on_purpose: bool) -> None:
        if on_purpose:
            await Cut()({"type": "http"}, receive, send)
        uvicorn.error(lost)

    asyncio.run(lose(on_purpose=True))
    assert written.getvalue() == ""
    asyncio.run(lose(on_purpose=False))
    assert last(written)["message"] == lost
