"""Signing in through the real issuer, both apps in this process."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pyotp
import pytest
from callers import in_process
from fastapi import FastAPI
from starlette.requests import Request

from builders import a_merchant, a_person
from molam.kernel.clock import ManualClock
from molam.platform.auth import RelyingParty, assemble, open_client, require_step_up
from molam.platform.auth.sign_in import safe_next
from molam.platform.db import Database
from molam.platform.settings import Secret, Settings, SettingsRefused
from molam.platform.web import Caller, Permission, Routes, Site, build_app
from molam.simulator import issuer
from molam.simulator.people import DEMO_PASSWORD, Person

APP, ID = "http://localhost:3001", "http://localhost:3100"
COOKIE = "molam_merchant_3001"
ADMIN = Permission("manage", frozenset({"merchant_admin"}))

routes = Routes()


@routes.get("/home", needs=ADMIN, page=True)
async def home(request: Request, caller: Caller) -> None:
    request.app.state.seen = caller


@routes.post("/api/pay", needs=ADMIN)
async def pay(request: Request, caller: Caller) -> None:
    request.app.state.seen = caller


@routes.post("/form", needs=ADMIN, page=True, form=True)
async def post_form(request: Request, caller: Caller) -> None:
    request.app.state.seen = caller


@routes.post("/api/refund", needs=ADMIN)
async def refund(request: Request, caller: Caller) -> None:
    require_step_up(caller, now=request.app.state.clock.now())


@routes.get("/refund", needs=ADMIN, page=True)
async def refund_page(request: Request, caller: Caller) -> None:
    require_step_up(caller, now=request.app.state.clock.now())


@dataclass
class Stage:
    """Two apps, a browser that visits both, and a clock the test moves."""

    browser: httpx2.AsyncClient
    app: FastAPI
    clock: ManualClock
    db: Database
    granted: dict[str, frozenset[str]]

    async def follow(self, answer: httpx2.Response) -> httpx2.Response:
        for _ in range(10):
            if "location" not in answer.headers:
                return answer
            answer = await self.browser.get(
                str(answer.request.url.join(answer.headers["location"]))
            )
        pytest.fail("redirected for ever")

    async def sign_in(
        self, login: str = "awa.diop", password: str = DEMO_PASSWORD, path: str = "/home"
    ) -> httpx2.Response:
        page = await self.follow(await self.browser.get(f"{APP}{path}"))
        assert page.url.host == "localhost"
        return await self.follow(await self.prove(page, username=login, password=password))

    async def prove(self, page: httpx2.Response, **fields: str) -> httpx2.Response:
        headers = {"Sec-Fetch-Site": "same-origin"}
        return await self.browser.post(str(page.url), data=fields, headers=headers)

    def otp(self, person: str = "awa.diop", steps: int = 0) -> str:
        totp = pyotp.TOTP(Person(person, person, "fr", ()).totp_secret)
        return totp.at(self.clock.now(), counter_offset=steps)

    async def post(self, path: str, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.browser.post(f"{APP}{path}", headers=named)

    async def replay(self, cookie: str | None) -> httpx2.Response:
        """Ask for the page from another browser that has a copy of *cookie*."""
        async with in_process(self.app, APP) as thief:
            return await thief.get("/home", headers={"Cookie": f"{COOKIE}={cookie}"})

    @property
    def seen(self) -> Caller:
        return self.app.state.seen

    @property
    def cookie(self) -> str | None:
        return self.browser.cookies.get(COOKIE)


@pytest.fixture
async def stage(
    dsn: str, db: Database, web_db: Database, issuer_home: Path
) -> AsyncIterator[Stage]:
    await a_merchant(db)
    await a_person(db)
    await a_person(db, id_="fatou.sarr", name="Fatou Sarr", roles=["merchant_accountant"])
    clock = ManualClock(datetime.now(UTC))
    settings = Settings(database_url=Secret(dsn), molam_home=issuer_home)
    identity = issuer.build_app(settings, clock=clock)
    inner = httpx2.ASGITransport(app=identity)
    granted = {"awa.diop": frozenset({"merchant_admin"})}

    async def directory(subject: str, _merchant_id: str | None) -> frozenset[str] | None:
        return granted.get(subject)

    auth = assemble(
        settings,
        party=RelyingParty("merchant", settings.molam_oidc_client_id, APP, COOKIE),
        client=open_client(inner),
        directory=directory,
        clock=clock,
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.db = web_db
        app.state.forget = auth.directory.forget
        yield

    app = build_app(
        name="merchant",
        routes=[routes, auth.routes],
        authenticator=auth.authenticator,
        settings=settings,
        lifespan=lifespan,
        site=Site(public_origin=APP, form_action=(auth.issuer_origin,), clock=clock),
    )
    mounts = {APP: httpx2.ASGITransport(app=app), ID: inner}
    async with (
        identity.router.lifespan_context(identity),
        app.router.lifespan_context(app),
        httpx2.AsyncClient(mounts=mounts, trust_env=False) as browser,
    ):
        yield Stage(browser, app, clock, db, granted)


async def test_somebody_signs_in_and_arrives_where_they_wanted_to_go(stage: Stage):
    answer = await stage.sign_in(path="/home?period=mtd")

    assert (answer.status_code, str(answer.url)) == (204, f"{APP}/home?period=mtd")
    assert (stage.seen.subject, stage.seen.merchant_id) == ("awa.diop", "merchant-123")
    assert (stage.seen.name, stage.seen.via, stage.seen.locale) == ("Awa Diop", "session", "fr")


async def test_an_email_address_signs_in_as_well(stage: Stage):
    await stage.sign_in("awa.diop@example.com")

    assert stage.seen.subject == "awa.diop"


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(stage: Stage):
    page = await stage.follow(await stage.browser.get(f"{APP}/home"))
    back = await stage.prove(page, username="awa.diop", password=DEMO_PASSWORD)

    answer = await stage.browser.get(back.headers["location"])

    (cookie,) = [
        each for each in answer.headers.get_list("set-cookie") if each.startswith(f"{COOKIE}=")
    ]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie


async def test_only_a_hash_of_the_cookie_is_kept(stage: Stage):
    await stage.sign_in()
    async with stage.db.transaction("tests") as tx:
        kept = await tx.connection.fetchval("select s::text from platform.sessions s")

    assert stage.cookie
    assert stage.cookie not in kept


@pytest.mark.parametrize("login", ["awa.diop", "nobody", "", "awa.diop'--"])
async def test_a_wrong_password_is_refused_the_same_way_for_everybody(stage: Stage, login: str):
    answer = await stage.sign_in(login, "wrong")

    assert answer.status_code == 422
    assert "Identifiant ou mot de passe incorrect" in answer.text
    assert stage.cookie is None


async def test_guessing_passwords_is_slowed_down(stage: Stage):
    page = await stage.follow(await stage.browser.get(f"{APP}/home"))

    answers = [
        (await stage.prove(page, username="awa.diop", password=f"guess-{number}")).status_code
        for number in range(25)
    ]

    assert answers[:20] == [422] * 20
    assert answers[20:] == [429] * 5


async def test_another_site_cannot_post_the_sign_in_form(stage: Stage):
    page = await stage.follow(await stage.browser.get(f"{APP}/home"))
    form = {"username": "awa.diop", "password": DEMO_PASSWORD}

    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        answer = await stage.browser.post(str(page.url), data=form, headers=headers)

        assert answer.status_code == 403


async def test_signing_in_replaces_a_session_planted_before(stage: Stage):
    stage.browser.cookies.set(COOKIE, "planted-by-somebody", domain="localhost.local", path="/")

    await stage.sign_in()

    assert stage.seen.subject == "awa.diop"
    assert stage.cookie != "planted-by-somebody"
    assert (await stage.replay("planted-by-somebody")).status_code == 303


async def test_signing_in_again_ends_the_earlier_session(stage: Stage):
    await stage.sign_in()
    first = stage.cookie
    await stage.follow(await stage.browser.get(f"{APP}/auth/sign-in?next=/home"))

    assert stage.cookie != first
    assert (await stage.replay(first)).status_code == 303
    assert (await stage.replay(stage.cookie)).status_code == 204


async def test_an_answer_meant_for_another_browser_is_refused(stage: Stage):
    page = await stage.follow(await stage.browser.get(f"{APP}/home"))
    back = await stage.prove(page, username="awa.diop", password=DEMO_PASSWORD)
    stage.browser.cookies.clear()

    answer = await stage.browser.get(back.headers["location"])

    assert answer.status_code == 400
    assert stage.cookie is None


async def test_an_answer_works_once(stage: Stage):
    page = await stage.follow(await stage.browser.get(f"{APP}/home"))
    back = await stage.prove(page, username="awa.diop", password=DEMO_PASSWORD)
    assert (await stage.browser.get(back.headers["location"])).status_code == 303

    again = await stage.browser.get(back.headers["location"])

    assert again.status_code == 400


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"iss=[^&]*", "iss=https%3A%2F%2Fevil.example"),
        (r"&iss=[^&]*", ""),
        (r"code=[^&]*", "code=made-up"),
        (r"code=[^&]*", "error=access_denied"),
        (r"state=[^&]*", "state=made-up"),
    ],
)
async def test_an_answer_that_was_tampered_with_is_refused(stage: Stage, old: str, new: str):
    page = await stage.follow(await stage.browser.get(f"{APP}/home"))
    back = await stage.prove(page, username="awa.diop", password=DEMO_PASSWORD)

    answer = await stage.browser.get(re.sub(old, new, back.headers["location"]))

    assert answer.status_code == 400
    assert stage.cookie is None


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "",
        "home",
        "///evil.example",
        "http:/evil.example",
    ],
)
def test_signing_in_leads_nowhere_but_home(path: str):
    assert safe_next(path) == "/"


@pytest.mark.parametrize("path", ["/", "/home", "/home?a=1&b=//x", "/t/tx_123#refund"])
def test_signing_in_leads_back_to_our_own_pages(path: str):
    assert safe_next(path) == path


async def test_a_session_may_not_act_without_the_pages_token(stage: Stage):
    await stage.sign_in()
    csrf = stage.seen.csrf
    assert csrf
    own = {"Sec_Fetch_Site": "same-origin"}

    assert (await stage.post("/api/pay", X_CSRF_Token=csrf, **own)).status_code == 204
    assert (await stage.post("/api/pay", **own)).status_code == 403
    assert (await stage.post("/api/pay", X_CSRF_Token="", **own)).status_code == 403
    assert (await stage.post("/api/pay", X_CSRF_Token=csrf[:-1] + "!", **own)).status_code == 403


async def test_a_session_may_not_act_from_another_site_even_with_the_token(stage: Stage):
    await stage.sign_in()
    csrf = stage.seen.csrf or ""

    for site in ("cross-site", "same-site", "none"):
        answer = await stage.post("/api/pay", X_CSRF_Token=csrf, Sec_Fetch_Site=site)

        assert answer.status_code == 403
        assert answer.json()["code"] == "cross-site-request"
    assert (await stage.post("/api/pay", X_CSRF_Token=csrf)).status_code == 403


async def test_an_old_browser_that_sends_only_origin_may_act(stage: Stage):
    await stage.sign_in()
    csrf = stage.seen.csrf or ""

    own = await stage.post("/api/pay", X_CSRF_Token=csrf, Origin=APP)
    other = await stage.post("/api/pay", X_CSRF_Token=csrf, Origin="http://localhost:3999")

    assert (own.status_code, other.status_code) == (204, 403)


async def test_a_form_carries_the_token_in_a_field(stage: Stage):
    await stage.sign_in()
    headers = {"Sec-Fetch-Site": "same-origin"}
    url = f"{APP}/form"

    right = await stage.browser.post(url, data={"csrf_token": stage.seen.csrf}, headers=headers)
    wrong = await stage.browser.post(url, data={"csrf_token": "guess"}, headers=headers)

    assert (right.status_code, wrong.status_code) == (204, 403)


async def test_a_bearer_token_needs_no_csrf_token(stage: Stage):
    await stage.sign_in()
    settings = Settings(
        database_url=Secret(stage.app.state.settings.database_dsn),
        molam_home=stage.app.state.settings.molam_home,
    )
    token = await issuer.mint_development_token(
        settings, roles=["merchant_admin"], merchant_id="merchant-123"
    )
    stage.browser.cookies.clear()

    answer = await stage.post("/api/pay", Authorization=f"Bearer {token}")

    assert answer.status_code == 204
    assert (stage.seen.subject, stage.seen.via) == ("awa.diop", "bearer")


async def test_signing_out_ends_the_session_here_and_at_the_issuer(stage: Stage):
    await stage.sign_in()
    cookie = stage.cookie
    headers = {"Sec-Fetch-Site": "same-origin"}
    form = {"csrf_token": stage.seen.csrf}

    answer = await stage.browser.post(f"{APP}/auth/sign-out", data=form, headers=headers)
    farewell = await stage.browser.get(answer.headers["location"])

    assert urlsplit(answer.headers["location"]).path == "/logout"
    assert farewell.headers["location"] == f"{APP}/"
    assert (await stage.replay(cookie)).status_code == 303
    again = await stage.follow(await stage.browser.get(f"{APP}/home"))
    assert 'name="password"' in again.text


async def test_another_site_cannot_sign_somebody_out(stage: Stage):
    await stage.sign_in()

    answer = await stage.browser.post(
        f"{APP}/auth/sign-out",
        data={"csrf_token": stage.seen.csrf},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert answer.status_code == 403
    assert (await stage.browser.get(f"{APP}/home")).status_code == 204


@pytest.mark.parametrize(
    "change",
    [
        "seen_at = now() - interval '31 minutes'",
        "created_at = now() - interval '9 hours', expires_at = now() - interval '1 second'",
        "app = 'ops'",
    ],
)
async def test_a_session_ends_by_idleness_by_age_and_outside_its_app(stage: Stage, change: str):
    await stage.sign_in()
    async with stage.db.transaction("tests") as tx:
        await tx.connection.execute(f"update platform.sessions set {change}")

    assert (await stage.browser.get(f"{APP}/home")).status_code == 303


async def test_using_a_session_keeps_it_alive(stage: Stage):
    await stage.sign_in()
    async with stage.db.transaction("tests") as tx:
        await tx.connection.execute(
            "update platform.sessions set seen_at = now() - interval '20 minutes'"
        )

    await stage.browser.get(f"{APP}/home")

    async with stage.db.transaction("tests") as tx:
        idle_s = await tx.connection.fetchval(
            "select extract(epoch from now() - seen_at)::int from platform.sessions"
        )
    assert idle_s < 5


async def test_a_role_taken_away_is_gone_at_the_next_request(stage: Stage):
    await stage.sign_in()

    stage.granted["awa.diop"] = frozenset({"merchant_support"})
    stage.app.state.forget("awa.diop")

    assert (await stage.browser.get(f"{APP}/home")).status_code == 403
    assert stage.seen.roles == {"merchant_admin"}


async def test_without_being_told_a_role_taken_away_lives_on_for_a_moment(stage: Stage):
    await stage.sign_in()

    stage.granted["awa.diop"] = frozenset()

    assert (await stage.browser.get(f"{APP}/home")).status_code == 204


async def test_somebody_without_the_role_sees_a_page_that_says_so(stage: Stage):
    answer = await stage.sign_in("fatou.sarr")

    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")
    assert "Votre rôle ne permet pas cette action" in answer.text


async def test_step_up_asks_for_a_code_and_comes_back(stage: Stage):
    await stage.sign_in()
    headers = {"Sec_Fetch_Site": "same-origin", "X_CSRF_Token": stage.seen.csrf or ""}
    refused = await stage.post("/api/refund", **headers)
    assert refused.status_code == 401
    assert 'error="insufficient_user_authentication"' in refused.headers["www-authenticate"]

    page = await stage.follow(await stage.browser.get(f"{APP}/refund"))
    assert 'name="otp"' in page.text
    answer = await stage.follow(await stage.prove(page, otp=stage.otp()))

    assert (answer.status_code, str(answer.url)) == (204, f"{APP}/refund")
    await stage.browser.get(f"{APP}/home")
    assert stage.seen.acr == "urn:molam:aal2"


async def test_step_up_grows_old(stage: Stage):
    await stage.sign_in()
    page = await stage.follow(await stage.browser.get(f"{APP}/refund"))
    await stage.follow(await stage.prove(page, otp=stage.otp()))

    stage.clock.set(stage.clock.now() + timedelta(seconds=301))
    answer = await stage.browser.get(f"{APP}/refund")

    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["acr_values"] == ["urn:molam:aal2"]
    assert query["max_age"] == ["300"]
    page = await stage.follow(answer)
    assert 'name="otp"' in page.text


async def test_a_code_works_once(stage: Stage):
    await stage.sign_in()
    page = await stage.follow(await stage.browser.get(f"{APP}/refund"))
    code = stage.otp()
    await stage.follow(await stage.prove(page, otp=code))

    stage.clock.set(stage.clock.now() + timedelta(seconds=1))
    page = await stage.follow(
        await stage.browser.get(
            f"{APP}/auth/sign-in?next=/refund&acr_values=urn:molam:aal2&max_age=0"
        )
    )
    again = await stage.prove(page, otp=code)

    assert again.status_code == 422
    assert "déjà utilisé" in again.text


async def test_five_wrong_codes_lock_out_even_the_right_one_for_a_while(stage: Stage):
    await stage.sign_in()
    page = await stage.follow(await stage.browser.get(f"{APP}/refund"))
    for _ in range(5):
        await stage.prove(page, otp="000000")

    locked = await stage.prove(page, otp=stage.otp())
    stage.clock.set(stage.clock.now() + timedelta(minutes=6))
    later = await stage.prove(page, otp=stage.otp())

    assert "5 minutes" in locked.text
    assert later.status_code == 303


async def test_the_visitor_who_types_the_address_with_numbers_is_taken_to_the_named_one(
    stage: Stage,
):
    answer = await stage.browser.get(
        f"{APP}/auth/sign-in?next=/home", headers={"Host": "127.0.0.1:3001"}
    )

    assert answer.headers["location"] == f"{APP}/auth/sign-in?next=/home"


def test_the_issuer_refuses_production(tmp_path: Path):
    settings = Settings(molam_env="production", molam_home=tmp_path)

    with pytest.raises(SettingsRefused, match="production"):
        issuer.build_app(settings)
    assert not (tmp_path / "identity").exists()
