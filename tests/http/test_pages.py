"""The pages' own routes, without a browser: assets, preferences, who is sent where."""

from __future__ import annotations

import gzip

import httpx2
import pytest

from molam.platform.web import assets


async def test_a_visitor_is_led_to_the_landing_page_and_back(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/transactions?status=failed", headers={"Accept": "text/html"})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Ftransactions%3Fstatus%3Dfailed"


async def test_stepping_up_skips_the_welcome(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/sign-in?next=/&acr_values=urn:molam:aal2&max_age=300")

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/auth/sign-in?")
    assert "max_age=300" in answer.headers["location"]


@pytest.mark.parametrize(
    ("header", "language"), [("fr-SN,fr;q=0.9", "fr"), ("en-NG", "en"), ("wo", "fr"), ("", "fr")]
)
async def test_a_stranger_is_greeted_in_the_browsers_language(
    client: httpx2.AsyncClient, header: str, language: str
) -> None:
    answer = await client.get("/sign-in", headers={"Accept-Language": header})

    assert f'<html lang="{language}"' in answer.text
    assert answer.headers["content-language"] == language


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "evil"]
)
async def test_choosing_a_theme_never_leads_off_the_site(
    client: httpx2.AsyncClient, path: str
) -> None:
    answer = await client.get("/preferences", params={"theme": "dark", "next": path})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    assert "molam_theme=dark" in answer.headers["set-cookie"]


async def test_an_unknown_theme_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/preferences?theme=neon")

    assert answer.status_code == 400


async def test_assets_are_kept_for_ever_and_sent_compressed(client: httpx2.AsyncClient) -> None:
    address = assets.url("app.css")

    packed = await client.get(address, headers={"Accept-Encoding": "gzip"})
    plain = await client.get(address, headers={"Accept-Encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in packed.headers["cache-control"]
    assert packed.headers["vary"] == "Accept-Encoding"
    assert plain.content == packed.content == gzip.decompress(gzip.compress(plain.content))
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize("address", ["/s/0123456789ab/app.css", "/s/x/..%2f..%2fassets.py"])
async def test_another_version_of_an_asset_is_not_served_under_its_name(
    client: httpx2.AsyncClient, address: str
) -> None:
    assert (await client.get(address)).status_code == 404


async def test_pages_allow_nothing_inline(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/sign-in")

    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert "onclick" not in answer.text
