"""What strangers send: a 4xx with a stable code, never a 500 and never a guess."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Any

import httpx2
import msgspec
import pytest
from callers import in_process
from fastapi import FastAPI
from msgspec import Meta
from starlette.requests import HTTPConnection, Request

from molam.platform.settings import Settings
from molam.platform.web import PUBLIC, Caller, Permission, Routes, Site, build_app
from molam.platform.web.wire import CurrencyCode, Identifier, Minor, Moment, PageLimit

routes = Routes()


class Order(msgspec.Struct, forbid_unknown_fields=True):
    amount: Minor
    currency: CurrencyCode
    at: Moment | None = None
    reference: Identifier | None = None
    note: Annotated[str, Meta(max_length=20)] | None = None
    metadata: dict[str, Any] = {}


class Approval(msgspec.Struct, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=20)] = ""


class Search(msgspec.Struct, forbid_unknown_fields=True):
    limit: PageLimit = 50
    since: Moment | None = None
    day: date | None = None
    q: Annotated[str, Meta(max_length=20)] | None = None


class Taken(msgspec.Struct):
    amount: int


@routes.post("/orders", needs=PUBLIC, body=Order, answers=Taken, status=201)
async def order(_request: Request, _caller: Caller, body: Order) -> Taken:
    return Taken(body.amount)


@routes.post("/orders/many", needs=PUBLIC, body=list[Order])
async def orders(_request: Request, _caller: Caller, body: list[Order]) -> Taken:
    return Taken(sum(each.amount for each in body))


@routes.post("/orders/{id}/approve", needs=PUBLIC, body=Approval)
async def approve(_request: Request, _caller: Caller, body: Approval) -> Taken:
    return Taken(len(body.reason))


@routes.get("/orders", needs=PUBLIC, query=Search)
async def search(_request: Request, _caller: Caller, query: Search) -> Taken:
    return Taken(query.limit)


@routes.get("/orders/{id}", needs=PUBLIC)
async def one(_request: Request, _caller: Caller) -> Taken:
    return Taken(1)


@routes.get("/slow", needs=PUBLIC, time_limit_s=0.05)
async def slow(_request: Request, _caller: Caller) -> Taken:
    await asyncio.sleep(5)
    return Taken(1)


@routes.get("/bug", needs=PUBLIC)
async def bug(_request: Request, _caller: Caller) -> Taken:
    raise ZeroDivisionError("the account 4242 of Awa")


@routes.get("/page", needs=Permission("look", frozenset({"merchant_admin"})), page=True)
async def page(_request: Request, _caller: Caller) -> Taken:
    return Taken(1)


async def nobody(_connection: HTTPConnection) -> Caller | None:
    return None


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
async def shop() -> AsyncIterator[httpx2.AsyncClient]:
    app = build_app(
        name="shop",
        routes=[routes],
        authenticator=nobody,
        settings=Settings(),
        lifespan=lifespan,
        site=Site(metrics_prefix="shop"),
    )
    async with in_process(app) as client:
        yield client


def is_problem(answer: httpx2.Response, status: int, code: str) -> bool:
    body = answer.json()
    return (
        answer.status_code == status == body["status"]
        and answer.headers["content-type"] == "application/problem+json"
        and body["code"] == code
        and body["type"] == f"https://docs.molam.example/problems/{code}"
        and body["instance"] == f"urn:request:{answer.headers['x-request-id']}"
        and {"title", "detail", "message"} <= body.keys()
    )


async def send(shop: httpx2.AsyncClient, raw: bytes, path: str = "/orders") -> httpx2.Response:
    return await shop.post(path, content=raw, headers={"Content-Type": "application/json"})


async def test_a_good_body_is_taken(shop: httpx2.AsyncClient):
    answer = await send(shop, b'{"amount": 5000, "currency": "XOF", "at": "2026-11-16T12:00:00Z"}')

    assert (answer.status_code, answer.json()) == (201, {"amount": 5000})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1,]",
        b"{'amount': 1}",
        b'{"amount": NaN, "currency": "XOF"}',
        b'{"amount": Infinity, "currency": "XOF"}',
        b'{"amount": 1, "amount": 2, "currency": "XOF"}',
        b'{"amount": 1, "currency": "XOF", "note": "\\u0000"}',
        b'{"amount": 1, "currency": "XOF", "note": "\\ud800"}',
        b'\xff\xfe{"amount": 1}',
        b'\xef\xbb\xbf{"amount": 1, "currency": "XOF"}',
        b'{"amount": 1, "currency": "XOF", "note": "a\nb"}',
        b'{"amount": ' + b"9" * 5000 + b', "currency": "XOF"}',
        b'{"amount": 01, "currency": "XOF"}',
        b'{"amount": 1, "currency": "XOF"} trailing',
        b'{"metadata": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
        b"[" * 30_000,
    ],
    ids=lambda raw: repr(raw[:40]),
)
async def test_what_is_not_json_or_could_be_read_in_two_ways_is_refused(
    shop: httpx2.AsyncClient, raw: bytes
):
    assert is_problem(await send(shop, raw), 400, "json-malformed")


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 50.25},
        {"amount": 50.0},
        {"amount": "5000"},
        {"amount": True},
        {"amount": None},
        {"amount": -1},
        {"amount": 2**53},
        {"amount": 10**30},
        {"currency": "xof"},
        {"currency": "XOFF"},
        {"currency": "XOF\n"},
        {"currency": 952},
        {"at": "2026-11-16T12:00:00"},
        {"at": "2026-11-16"},
        {"at": 1700000000},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"at": "9999-12-31T23:59:59-14:00"},
        {"at": "2026-02-30T00:00:00Z"},
        {"reference": ""},
        {"reference": "x" * 256},
        {"note": "x" * 21},
        {"unknown": 1},
        {"metadata": []},
    ],
    ids=repr,
)
async def test_json_of_another_shape_is_refused(
    shop: httpx2.AsyncClient, changed: dict[str, object]
):
    document = {"amount": 5000, "currency": "XOF", **changed}

    answer = await send(shop, json.dumps(document).encode())

    assert is_problem(answer, 400, "body-malformed")


async def test_an_exponent_is_refused_with_a_sentence_about_minor_units(shop: httpx2.AsyncClient):
    answer = await send(shop, b'{"amount": 5e3, "currency": "XOF"}')

    assert is_problem(answer, 400, "body-malformed")
    assert "minor units" in answer.json()["detail"]
    assert "$.amount" in answer.json()["detail"]


@pytest.mark.parametrize("raw", [b"null", b"[]", b'"text"', b"5"])
async def test_json_that_is_no_object_is_refused(shop: httpx2.AsyncClient, raw: bytes):
    assert is_problem(await send(shop, raw), 400, "body-malformed")


async def test_one_bad_item_of_a_list_names_its_place(shop: httpx2.AsyncClient):
    raw = b'[{"amount": 1, "currency": "XOF"}, {"amount": 1.5, "currency": "XOF"}]'

    answer = await send(shop, raw, "/orders/many")

    assert is_problem(answer, 400, "body-malformed")
    assert "$[1].amount" in answer.json()["detail"]


async def test_a_body_over_the_limit_is_refused_by_its_length(shop: httpx2.AsyncClient):
    assert is_problem(await send(shop, b" " * (64 * 1024 + 1)), 413, "body-too-large")


async def test_a_chunked_body_over_the_limit_is_refused_while_it_arrives(
    shop: httpx2.AsyncClient,
):
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 1024

    answer = await shop.post(
        "/orders", content=chunks(), headers={"Content-Type": "application/json"}
    )

    assert is_problem(answer, 413, "body-too-large")
    assert "content-length" not in answer.request.headers


@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999999999999999", "x"])
async def test_a_strange_content_length_is_no_server_error(shop: httpx2.AsyncClient, length: str):
    answer = await shop.post(
        "/orders",
        content=b"{}",
        headers={"Content-Type": "application/json", "Content-Length": length},
    )

    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "",
        "application/json; charset=utf-16",
        "application/json-patch+json",
    ],
)
async def test_another_content_type_is_refused(shop: httpx2.AsyncClient, media: str):
    answer = await shop.post(
        "/orders", content=b'{"amount":1,"currency":"XOF"}', headers={"Content-Type": media}
    )

    assert is_problem(answer, 415, "unsupported-media-type")


async def test_utf_8_may_be_said_aloud(shop: httpx2.AsyncClient):
    answer = await shop.post(
        "/orders",
        content=b'{"amount":1,"currency":"XOF"}',
        headers={"Content-Type": 'Application/JSON; charset="UTF-8"'},
    )

    assert answer.status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=1e1",
        "limit=1.5",
        "limit=ten",
        "limit=%2010",
        "limit=" + "9" * 40,
        "limit=\u0661\u0660",
        "limit=10&limit=20",
        "offset=10",
        "since=2026-11-16T12:00:00",
        "since=1700000000",
        "since=0001-01-01T00:00:00%2B14:00",
        "day=2026-13-01",
        "day=20261301",
        "day=1700000000",
        "q=%00",
        "q=" + "x" * 21,
        "q=" + "x" * 9000,
        "&".join(f"p{number}=1" for number in range(100)),
    ],
    ids=lambda query: query[:40],
)
async def test_a_wrong_parameter_is_refused(shop: httpx2.AsyncClient, query: str):
    answer = await shop.get(f"/orders?{query}")

    assert is_problem(answer, 400, "query-malformed")


async def test_a_blank_parameter_counts_as_absent(shop: httpx2.AsyncClient):
    answer = await shop.get("/orders?limit=&since=&q=")

    assert answer.json() == {"amount": 50}


async def test_parameters_nobody_declared_are_refused(shop: httpx2.AsyncClient):
    assert is_problem(await shop.get("/orders/1?x=1"), 400, "query-malformed")


@pytest.mark.parametrize("id_", ["a%00b", "a%0Ab", "x" * 256, "%1b[31m"])
async def test_an_id_no_row_could_have_is_absent(shop: httpx2.AsyncClient, id_: str):
    assert is_problem(await shop.get(f"/orders/{id_}"), 404, "not-found")


async def test_an_unforeseen_error_tells_the_caller_nothing(
    shop: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str]
):
    answer = await shop.get("/bug")

    assert is_problem(answer, 500, "unforeseen")
    assert "4242" not in answer.text
    assert "Awa" not in answer.text


async def test_a_request_that_takes_too_long_may_be_tried_again(shop: httpx2.AsyncClient):
    answer = await shop.get("/slow")

    assert is_problem(answer, 503, "try-again")
    assert answer.headers["retry-after"] == "5"


async def test_another_method_is_refused_and_told_which_there_are(shop: httpx2.AsyncClient):
    answer = await shop.delete("/orders")

    assert is_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_options_names_the_methods_and_allows_no_other_origin(shop: httpx2.AsyncClient):
    answer = await shop.options(
        "/orders",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )

    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_an_empty_body_is_none_where_nothing_must_be_said(shop: httpx2.AsyncClient):
    path = "/orders/7/approve"
    for answer in (
        await send(shop, b"", path),
        await shop.post(path),
        await send(shop, b"{}", path),
    ):
        assert (answer.status_code, answer.json()) == (200, {"amount": 0})

    assert is_problem(await send(shop, b"", "/orders"), 400, "json-malformed")
    assert is_problem(await send(shop, b"", "/orders/many"), 400, "json-malformed")
    assert is_problem(await send(shop, b" ", path), 400, "json-malformed")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert is_problem(await shop.post(path, headers=form), 415, "unsupported-media-type")


async def test_head_answers_like_get_without_a_body(shop: httpx2.AsyncClient):
    got, headed = await shop.get("/orders"), await shop.head("/orders")

    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["content-length"] == str(len(got.content))


async def test_an_absent_address_is_a_problem_in_the_form_that_was_asked_for(
    shop: httpx2.AsyncClient,
):
    assert is_problem(await shop.get("/nowhere"), 404, "not-found")

    page = await shop.get("/nowhere", headers={"Accept": "text/html", "Accept-Language": "en-GB"})

    assert page.headers["content-type"].startswith("text/html")
    assert '<html lang="en">' in page.text


@pytest.mark.parametrize(
    ("header", "word"),
    [("fr-SN", "adresse"), ("en;q=0.9, fr;q=0.1", "address"), ("de", "adresse"), ("", "adresse")],
)
async def test_the_message_is_in_the_callers_language(
    shop: httpx2.AsyncClient, header: str, word: str
):
    answer = await shop.get("/nowhere", headers={"Accept-Language": header})

    assert word in answer.json()["message"]
    assert answer.json()["title"] == "There is nothing at this address"


@pytest.mark.parametrize(
    "path", ["/orders", "/orders?limit=0", "/nowhere", "/bug", "/page", "/health", "/openapi.json"]
)
async def test_every_answer_carries_the_security_headers(shop: httpx2.AsyncClient, path: str):
    headers = (await shop.get(path)).headers

    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-store"


async def test_a_request_id_is_kept_if_it_is_harmless(shop: httpx2.AsyncClient):
    kept = await shop.get("/health", headers={"X-Request-Id": "till-7.2026_11"})
    replaced = await shop.get("/health", headers={"X-Request-Id": 'x" onload="alert(1)'})

    assert kept.headers["x-request-id"] == "till-7.2026_11"
    assert len(replaced.headers["x-request-id"]) == 24


async def test_a_visitor_without_a_session_is_sent_to_sign_in_and_back(shop: httpx2.AsyncClient):
    answer = await shop.get("/page?period=mtd&x=1")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/auth/sign-in?next=%2Fpage%3Fperiod%3Dmtd%26x%3D1"


async def test_htmx_is_told_to_move_the_whole_window(shop: httpx2.AsyncClient):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost:3001/home?a=1"}

    answer = await shop.get("/page", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/auth/sign-in?next=%2Fhome%3Fa%3D1"


def test_a_route_without_a_permission_cannot_be_declared():
    with pytest.raises(TypeError, match="needs"):
        Routes().get("/open")  # type: ignore[call-arg]
    with pytest.raises(AssertionError, match="permission"):
        Routes().get("/open", needs=None)(one)  # type: ignore[arg-type]


def test_only_routes_can_be_mounted():
    with pytest.raises(AssertionError, match="Routes only"):
        build_app(
            name="shop",
            routes=[FastAPI()],  # type: ignore[list-item]
            authenticator=nobody,
            settings=Settings(),
            lifespan=lifespan,
            site=Site(metrics_prefix="shop"),
        )


async def test_metrics_are_for_the_allowed_addresses_only(shop: httpx2.AsyncClient):
    await shop.get("/orders?limit=5")

    seen = await shop.get("/metrics")
    proxied = await shop.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})

    assert 'shop_requests_total{method="GET",route="/orders",status="200"}' in seen.text
    assert "merchant_id" not in seen.text
    assert proxied.status_code == 403


async def test_ready_says_what_is_missing():
    async def broken() -> bool:
        return False

    app = build_app(
        name="shop",
        routes=[],
        authenticator=nobody,
        settings=Settings(),
        lifespan=lifespan,
        site=Site(metrics_prefix="shop", ready={"database": broken}),
    )
    async with in_process(app) as client:
        answer = await client.get("/ready")

    assert (answer.status_code, answer.json()["checks"]) == (503, {"database": False})


async def test_logs_of_a_refused_request_hold_nothing_the_caller_wrote(
    shop: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    with caplog.at_level(logging.DEBUG):
        await shop.get("/orders?q=canary-4242&limit=0", headers={"Authorization": "Bearer canary"})

    assert "canary" not in capsys.readouterr().err
