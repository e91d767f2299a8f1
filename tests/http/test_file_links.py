"""Signed links let one file through, for a while, in one direction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import obstore
import pytest
from callers import in_process
from fastapi import FastAPI
from obstore.store import S3Store

from molam.kernel.clock import ManualClock
from molam.platform.links import PUT_BYTES_MAX, Links

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)


@pytest.fixture
async def links(app: FastAPI) -> Links:
    before = app.state.links
    app.state.links = Links(before.files, before.key, before.origin, ManualClock(NOW))
    return app.state.links


async def _signed(links: Links, method: str = "GET", **changed: object) -> str:
    link = await links.sign("tests/a file é.csv", method=method, name="été.csv", **changed)
    return link.url


async def _kept(links: Links, content: bytes = b"a;b\n") -> None:
    await obstore.put_async(links.files, "tests/a file é.csv", content)


async def test_link_gives_the_file_to_whoever_has_it(client: httpx2.AsyncClient, links: Links):
    await _kept(links)

    answer = await client.get(await _signed(links, media_type="text/csv"))

    assert answer.status_code == 200
    assert answer.content == b"a;b\n"
    assert answer.headers["content-type"].startswith("text/csv")


async def test_browsers_save_the_file_and_run_nothing_in_it(
    client: httpx2.AsyncClient, links: Links
):
    await _kept(links, b"<script>alert(1)</script>")

    answer = await client.get(await _signed(links, media_type="text/html"))

    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"_t_.csv\"; filename*=UTF-8''%C3%A9t%C3%A9.csv"
    )
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "no-store" in answer.headers["cache-control"]


async def test_head_says_how_long_the_file_is(client: httpx2.AsyncClient, links: Links):
    await _kept(links)

    answer = await client.head(await _signed(links))

    assert answer.headers["content-length"] == "4"


async def test_link_stops_working_when_its_time_is_over(
    app: FastAPI, client: httpx2.AsyncClient, links: Links
):
    await _kept(links)
    url = await _signed(links, ttl_s=3600)
    clock = app.state.links.clock

    clock.set(NOW + timedelta(seconds=3599))
    before = await client.get(url)
    clock.set(NOW + timedelta(seconds=3600))
    after = await client.get(url)

    assert before.status_code == 200
    assert (after.status_code, after.json()["code"]) == (403, "link-expired")


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "tests/other.csv"},
        {"path": "../secret"},
        {"expires": "4102444800"},
        {"name": "x.html"},
        {"type": "text/html"},
        {"bytes_max": "5"},
    ],
    ids=str,
)
async def test_altered_link_is_refused(
    client: httpx2.AsyncClient, links: Links, changed: dict[str, str]
):
    await _kept(links)
    parts = urlsplit(await _signed(links, media_type="text/csv"))
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changed

    answer = await client.get(f"{parts.path}?{urlencode(query)}")

    assert (answer.status_code, answer.json()["code"]) == (403, "link-refused")


@pytest.mark.parametrize("token", ["A" * 43, "é", "%00", "", "a" * 300])
async def test_made_up_token_is_refused(client: httpx2.AsyncClient, links: Links, token: str):
    parts = urlsplit(await _signed(links))

    answer = await client.get(f"/files/{token}?{parts.query}")

    assert answer.status_code in {403, 404}


async def test_link_works_in_its_own_direction_only(client: httpx2.AsyncClient, links: Links):
    await _kept(links)

    put = await client.put(await _signed(links), content=b"x")
    get = await client.get(await _signed(links, "PUT"))

    assert put.json()["code"] == get.json()["code"] == "link-refused"


async def test_link_of_another_installation_is_refused(
    app: FastAPI, client: httpx2.AsyncClient, links: Links
):
    await _kept(links)
    other = Links(
        links.files, type(links.key)("another key of enough length"), links.origin, links.clock
    )

    answer = await client.get((await other.sign("tests/a file é.csv")).url)

    assert answer.json()["code"] == "link-refused"


async def test_missing_file_is_said_to_be_gone(client: httpx2.AsyncClient, links: Links):
    answer = await client.get((await links.sign("tests/never.csv")).url)

    assert (answer.status_code, answer.json()["code"]) == (404, "file-absent")


async def test_file_is_left_once_and_never_changed(client: httpx2.AsyncClient, links: Links):
    url = (await links.sign(f"tests/{datetime.now(UTC).timestamp()}", method="PUT")).url

    first = await client.put(url, content=b"first")
    second = await client.put(url, content=b"second")

    assert first.status_code == 201
    assert first.json()["bytes"] == 5
    assert len(first.json()["sha256"]) == 64
    assert (second.status_code, second.json()["code"]) == (409, "file-exists")


@pytest.mark.parametrize(
    ("size", "code"), [(0, "file-empty"), (PUT_BYTES_MAX + 1, "body-too-large")]
)
async def test_file_of_another_size_is_refused(
    client: httpx2.AsyncClient, links: Links, size: int, code: str
):
    url = (await links.sign("tests/size", method="PUT")).url

    answer = await client.put(url, content=b"x" * size)

    assert answer.json()["code"] == code


async def test_large_file_is_refused_before_it_is_read(app: FastAPI, links: Links):
    url = (await links.sign("tests/huge", method="PUT")).url

    async with in_process(app) as client:
        answer = await client.put(url, headers={"Content-Length": str(1024**3)}, content=b"x")

    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


async def test_bucket_signs_its_own_links(links: Links):
    bucket = S3Store(
        "files",
        config={
            "region": "eu-west-1",
            "access_key_id": "AKIATESTS",
            "secret_access_key": "of the tests",
        },
    )

    link = await Links(bucket, links.key, links.origin, links.clock).sign("exports/1/a.csv")

    parts = urlsplit(link.url)
    query = parse_qs(parts.query)
    assert (parts.scheme, parts.path) == ("https", "/files/exports/1/a.csv")
    assert query["X-Amz-Expires"] == ["3600"]
    assert "X-Amz-Signature" in query
