"""The development issuer keeps the rules that production's must keep."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from callers import in_process
from joserfc import jwt
from joserfc.jwk import KeySet

from builders import a_merchant, a_person
from molam.platform.auth.sign_in import challenge
from molam.platform.db import Database
from molam.platform.settings import Secret, Settings, SettingsRefused
from molam.simulator import issuer
from molam.simulator.issuer_keys import load_keys
from molam.simulator.people import DEMO_PASSWORD

ID = "http://localhost:3100"
VERIFIER = "v" * 50
REQUEST = {
    "response_type": "code",
    "client_id": "molam-merchant",
    "redirect_uri": "http://localhost:3001/auth/callback",
    "scope": "openid profile",
    "state": "s-1",
    "nonce": "n-1",
    "code_challenge": challenge(VERIFIER),
    "code_challenge_method": "S256",
}


@pytest.fixture
def settings(dsn: str, issuer_home: Path) -> Settings:
    return Settings(database_url=Secret(dsn), molam_home=issuer_home)


@pytest.fixture
async def identity(settings: Settings, db: Database) -> AsyncIterator[httpx2.AsyncClient]:
    await a_merchant(db)
    await a_person(db)
    app = issuer.build_app(settings)
    async with app.router.lifespan_context(app), in_process(app, ID) as client:
        yield client


async def a_code(identity: httpx2.AsyncClient, **changed: str) -> str:
    answer = await identity.post(
        "/authorize",
        params={**REQUEST, **changed},
        data={"username": "awa.diop", "password": DEMO_PASSWORD},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


async def redeem(identity: httpx2.AsyncClient, given: str, **changed: str) -> httpx2.Response:
    form = {
        "grant_type": "authorization_code",
        "code": given,
        "code_verifier": VERIFIER,
        "client_id": "molam-merchant",
        "redirect_uri": REQUEST["redirect_uri"],
        **changed,
    }
    return await identity.post("/token", data=form)


async def test_a_code_becomes_tokens_that_say_who_and_how(identity: httpx2.AsyncClient):
    tokens = (await redeem(identity, await a_code(identity))).json()

    published = KeySet.import_key_set((await identity.get("/.well-known/jwks.json")).json())
    access = jwt.decode(tokens["access_token"], published)
    assert access.header["typ"] == "at+jwt"
    assert access.claims["aud"] == "molam-connect"
    assert access.claims["roles"] == ["merchant_admin"]
    assert access.claims["merchant_id"] == "merchant-123"
    assert access.claims["exp"] - access.claims["iat"] == 300
    assert (access.claims["country"], access.claims["currency"]) == ("SN", "XOF")
    identified = jwt.decode(tokens["id_token"], published)
    assert (identified.claims["aud"], identified.claims["nonce"]) == ("molam-merchant", "n-1")


async def test_two_public_keys_are_published_and_nothing_private(identity: httpx2.AsyncClient):
    keys = (await identity.get("/.well-known/jwks.json")).json()["keys"]

    assert len({key["kid"] for key in keys}) == 2
    assert {name for key in keys for name in key} == {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "http://localhost:3001/auth/callback/"},
        {"redirect_uri": "http://localhost:3001/auth/callback?x=1"},
        {"redirect_uri": "https://evil.example/auth/callback"},
        {"redirect_uri": ""},
        {"client_id": "somebody"},
        {"client_id": "", "redirect_uri": ""},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
    ],
    ids=repr,
)
async def test_a_wrong_request_is_told_so_and_sent_nowhere(
    identity: httpx2.AsyncClient, changed: dict[str, str]
):
    answer = await identity.get("/authorize", params={**REQUEST, **changed})

    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "w" * 50},
        {"code_verifier": ""},
        {"client_id": "somebody"},
        {"redirect_uri": "http://localhost:3001/"},
        {"grant_type": "password"},
        {"code": "made-up"},
    ],
    ids=repr,
)
async def test_a_code_is_worth_nothing_to_somebody_else(
    identity: httpx2.AsyncClient, changed: dict[str, str]
):
    answer = await redeem(identity, await a_code(identity), **changed)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_grant"})


async def test_a_code_used_twice_ends_what_it_gave(identity: httpx2.AsyncClient):
    code = await a_code(identity)
    tokens = (await redeem(identity, code)).json()

    assert (await redeem(identity, code)).status_code == 400

    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    answer = await identity.post("/token", data={**refresh, "client_id": "molam-merchant"})
    assert answer.status_code == 400


async def test_a_refresh_token_rotates_and_its_copy_ends_the_family(identity: httpx2.AsyncClient):
    first = (await redeem(identity, await a_code(identity))).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": "molam-merchant"}

    second = (await identity.post("/token", data={**form, "refresh_token": first})).json()
    stolen = await identity.post("/token", data={**form, "refresh_token": first})
    after = await identity.post("/token", data={**form, "refresh_token": second["refresh_token"]})

    assert second["refresh_token"] != first
    assert (stolen.status_code, after.status_code) == (400, 400)


async def test_the_page_is_in_the_language_asked_for(identity: httpx2.AsyncClient):
    french = await identity.get("/authorize", params=REQUEST)
    english = await identity.get("/authorize", params={**REQUEST, "ui_locales": "en"})

    assert '<html lang="fr">' in french.text
    assert "Comptes de démonstration" in french.text
    assert '<html lang="en">' in english.text
    assert "Demo accounts" in english.text
    assert "awa.diop" in english.text


async def test_what_the_visitor_typed_is_escaped(identity: httpx2.AsyncClient):
    answer = await identity.get("/authorize", params={**REQUEST, "state": '"><script>x</script>'})

    assert "<script" not in answer.text


async def test_nothing_asked_of_somebody_already_signed_in(identity: httpx2.AsyncClient):
    await a_code(identity)

    answer = await identity.get("/authorize", params=REQUEST)

    assert answer.status_code == 303
    assert "code=" in answer.headers["location"]


@pytest.mark.parametrize("changed", [{"prompt": "login"}, {"max_age": "0"}])
async def test_an_app_may_insist_on_the_password(
    identity: httpx2.AsyncClient, changed: dict[str, str]
):
    await a_code(identity)

    answer = await identity.get("/authorize", params={**REQUEST, **changed})

    assert 'name="password"' in answer.text


async def test_prompt_none_never_shows_a_page(identity: httpx2.AsyncClient):
    answer = await identity.get("/authorize", params={**REQUEST, "prompt": "none"})

    assert "error=login_required" in answer.headers["location"]


async def test_signing_out_returns_only_to_a_registered_address(identity: httpx2.AsyncClient):
    evil = {"client_id": "molam-merchant", "post_logout_redirect_uri": "https://evil.example/"}
    home = {"client_id": "molam-merchant", "post_logout_redirect_uri": "http://localhost:3001/"}

    assert (await identity.get("/logout", params=evil)).status_code == 200
    assert (await identity.get("/logout", params=home)).headers["location"] == home[
        "post_logout_redirect_uri"
    ]


def test_keys_are_kept_and_private(tmp_path: Path):
    first = load_keys(tmp_path).public()

    assert load_keys(tmp_path).public() == first
    path = tmp_path / "identity" / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


async def test_a_development_token_is_that_of_somebody_who_holds_the_role(
    settings: Settings, identity: httpx2.AsyncClient
):
    token = await issuer.mint_development_token(
        settings, roles=["merchant_admin"], merchant_id="merchant-123", aal2=True
    )

    published = KeySet.import_key_set((await identity.get("/.well-known/jwks.json")).json())
    found = jwt.decode(token, published).claims
    assert (found["sub"], found["merchant_id"]) == ("awa.diop", "merchant-123")
    assert found["acr"] == "urn:molam:aal2"


async def test_a_service_token_is_the_wallets(settings: Settings, identity: httpx2.AsyncClient):
    token = await issuer.mint_development_token(settings, roles=["service"])

    published = KeySet.import_key_set((await identity.get("/.well-known/jwks.json")).json())
    found = jwt.decode(token, published).claims
    assert (found["sub"], found["roles"]) == ("service:wallet", ["service"])
    assert "merchant_id" not in found


async def test_a_development_token_nobody_could_hold_is_refused(
    settings: Settings, identity: httpx2.AsyncClient
):
    with pytest.raises(SettingsRefused, match="nobody holds cfo at merchant-123"):
        await issuer.mint_development_token(settings, roles=["cfo"], merchant_id="merchant-123")


async def test_the_issuers_own_address_lists_the_demo_people(identity: httpx2.AsyncClient):
    answer = await identity.get("/", headers={"Accept-Language": "en"})

    assert answer.status_code == 200
    assert "awa.diop" in answer.text
    assert DEMO_PASSWORD in answer.text
    assert 'href="http://localhost:3001"' in answer.text
