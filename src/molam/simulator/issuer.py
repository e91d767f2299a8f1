"""An OpenID Connect issuer for development and tests; it refuses to run in production."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode, urlsplit

import msgspec
from fastapi import FastAPI
from msgspec import Meta
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from molam.kernel.clock import Clock, SystemClock
from molam.kernel.refusals import Kind, Refusal
from molam.platform.auth.tokens import AAL1, AAL2
from molam.platform.db import ProcessRole, open_database
from molam.platform.settings import Settings
from molam.platform.web import PUBLIC, Caller, Problem, Routes, Site, csrf, health, languages, wire
from molam.platform.web import build_app as build_site
from molam.platform.web.limits import Limiter
from molam.simulator import issuer_pages, issuer_store
from molam.simulator.issuer_exchange import Exchange, TokenForm
from molam.simulator.issuer_grants import Asked, Forgetful, OneTimeCodes, SignedIn
from molam.simulator.issuer_keys import load_keys
from molam.simulator.issuer_tokens import mint_development_token, refuse_production
from molam.simulator.people import DEMO_PASSWORD

__all__ = ["build_app", "mint_development_token"]

_SESSION_TTL = timedelta(hours=12)
_CHALLENGE_LENGTH = 43


class SignInRequestRefused(Refusal):
    code = "sign-in-request-refused"
    kind = Kind.MALFORMED
    title = "The application sent a sign-in request that is not valid"


class AuthorizeQuery(msgspec.Struct):
    """OpenID Connect Core 3.1.2.1. Parameters we do not know are ignored, as it demands."""

    client_id: str = ""
    redirect_uri: str = ""
    response_type: str = ""
    code_challenge: str = ""
    code_challenge_method: str = ""
    state: Annotated[str, Meta(max_length=512)] = ""
    nonce: Annotated[str, Meta(max_length=512)] = ""
    scope: Annotated[str, Meta(max_length=255)] = "openid"
    acr_values: Annotated[str, Meta(max_length=255)] = ""
    max_age: Annotated[int, Meta(ge=0, le=86_400)] | None = None
    prompt: Annotated[str, Meta(max_length=64)] = ""
    ui_locales: Annotated[str, Meta(max_length=64)] = ""


class ProofForm(msgspec.Struct, forbid_unknown_fields=True):
    username: Annotated[str, Meta(max_length=255)] = ""
    password: Annotated[str, Meta(max_length=255)] = ""
    otp: Annotated[str, Meta(max_length=16)] = ""


class HomeQuery(msgspec.Struct, forbid_unknown_fields=True):
    ui_locales: str = ""


class LogoutQuery(msgspec.Struct, forbid_unknown_fields=True):
    client_id: str = ""
    post_logout_redirect_uri: str = ""
    id_token_hint: str = ""
    state: Annotated[str, Meta(max_length=512)] = ""
    ui_locales: str = ""


def build_app(settings: Settings, *, clock: Clock | None = None) -> FastAPI:
    """
    Make the issuer's app.

    Raises:
        SettingsRefused: MOLAM_ENV is production.
    """
    refuse_production(settings)
    issuer = DevelopmentIssuer(settings, clock or SystemClock())

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        db = await open_database(
            settings.database_dsn,
            ProcessRole.WEB,
            application="molam identity",
            connections_max=2,
        )
        app.state.db = db
        yield
        await db.close()

    apps = [urlsplit(url) for url in (settings.merchant_url, settings.ops_url, settings.mesh_url)]
    site = Site(
        public_origin=settings.issuer,
        form_action=tuple(f"{app.scheme}://{app.netloc}" for app in apps),
        problem_page=_problem_page,
        ready={"database": health.database_answers(lambda: app.state.db)},
        metrics_prefix="molam_identity",
        clock=issuer.clock,
    )
    app: FastAPI = build_site(
        name="molam-identity",
        routes=[issuer.routes()],
        authenticator=_nobody,
        settings=settings,
        lifespan=lifespan,
        site=site,
    )
    return app


async def _nobody(_connection: HTTPConnection) -> Caller | None:
    return None


def _problem_page(_request: Request, problem: Problem) -> str:
    words = issuer_pages.WORDS[problem.locale]
    return issuer_pages.notice_page(
        locale=problem.locale, title=words.refused, intro=problem.message
    )


class DevelopmentIssuer:
    """Its endpoints, and what it remembers between requests. A restart forgets all of it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.clock = clock
        self._settings = settings
        self._url = settings.issuer
        self._cookie = f"molam_identity_{settings.port(3100)}"
        clients = {
            settings.molam_oidc_client_id: settings.merchant_url,
            settings.molam_ops_client_id: settings.ops_url,
            settings.molam_mesh_client_id: settings.mesh_url,
        }
        self._redirects = {client: f"{url}/auth/callback" for client, url in clients.items()}
        self._homes = {client: f"{url}/" for client, url in clients.items()}
        self._keys = load_keys(settings.molam_home)
        self._sessions = Forgetful[SignedIn](clock, ttl=_SESSION_TTL)
        self._exchange = Exchange(settings, keys=self._keys, clock=clock)
        self._one_time = OneTimeCodes(clock)
        self._wrong = Limiter(burst=20, per_minute=10)

    def routes(self) -> Routes:
        routes = Routes()
        routes.get("/.well-known/openid-configuration", needs=PUBLIC)(self.discovery)
        routes.get("/.well-known/jwks.json", needs=PUBLIC)(self.jwks)
        routes.get("/", needs=PUBLIC, page=True, query=HomeQuery)(self.home)
        routes.get("/authorize", needs=PUBLIC, page=True)(self.authorize)
        prove = routes.post("/authorize", needs=PUBLIC, page=True, form=True, body=ProofForm)
        prove(self.prove)
        exchange = routes.post("/token", needs=PUBLIC, form=True, body=TokenForm)
        exchange(self._exchange.token)
        routes.get("/logout", needs=PUBLIC, page=True, query=LogoutQuery)(self.logout)
        routes.get("/identity.css", needs=PUBLIC)(self.stylesheet)
        return routes

    async def discovery(self, _request: Request, _caller: Caller) -> Response:
        """Say what the issuer offers and where (OpenID Connect Discovery 1.0)."""
        return JSONResponse(
            {
                "issuer": self._url,
                "authorization_endpoint": f"{self._url}/authorize",
                "token_endpoint": f"{self._url}/token",
                "jwks_uri": f"{self._url}/.well-known/jwks.json",
                "end_session_endpoint": f"{self._url}/logout",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "acr_values_supported": [AAL1, AAL2],
                "scopes_supported": ["openid", "profile"],
                "ui_locales_supported": list(languages.LOCALES),
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def jwks(self, _request: Request, _caller: Caller) -> Response:
        """Publish the keys that tokens are signed with."""
        return JSONResponse(self._keys.public(), headers={"Cache-Control": "public, max-age=300"})

    async def stylesheet(self, _request: Request, _caller: Caller) -> Response:
        """Serve the style of the pages."""
        return Response(
            issuer_pages.STYLESHEET,
            media_type="text/css",
            headers={"Cache-Control": "public, max-age=300"},
        )

    async def home(self, request: Request, _caller: Caller, query: HomeQuery) -> Response:
        """List the demo people, and lead to where one signs in."""
        wanted = query.ui_locales or languages.preferred(request.headers)
        return HTMLResponse(
            issuer_pages.home_page(
                locale=languages.known(wanted),
                people=await issuer_store.list_holders(request.app.state.db),
                sign_in_url=self._settings.merchant_url,
            )
        )

    async def authorize(self, request: Request, _caller: Caller) -> Response:
        """Ask for whatever proof is missing, or send the browser back with a code."""
        asked = self._asked(request)
        signed_in = self._sessions.find(request.cookies.get(self._cookie, ""))
        missing = self._missing(asked, signed_in)
        if missing is None:
            assert signed_in is not None
            return self._code(asked, signed_in)
        if asked.prompt == "none":
            return self._back(asked, error="login_required")
        return await self._proof_page(request, asked, missing, signed_in)

    async def prove(self, request: Request, caller: Caller, form: ProofForm) -> Response:
        """Take a password or a one-time code."""
        csrf.check_origin(request, public_origin=self._url)
        asked = self._asked(request)
        words = issuer_pages.WORDS[_locale(request, asked)]
        cookie = request.cookies.get(self._cookie, "")
        signed_in = self._sessions.find(cookie)
        if form.otp:
            if signed_in is None:
                return await self._proof_page(request, asked, "password", None)
            if not self._one_time.accept(signed_in.person_id, form.otp.strip()):
                locked = self._one_time.is_locked(signed_in.person_id)
                error = words.locked if locked else words.wrong_code
                return await self._proof_page(request, asked, "code", signed_in, error=error)
            signed_in = signed_in.stepped_up(self.clock.now())
        else:
            self._wrong.check(caller.ip)
            self._wrong.check(form.username)
            holder = await issuer_store.find_holder(request.app.state.db, form.username.strip())
            right = secrets.compare_digest(form.password.encode(), DEMO_PASSWORD.encode())
            if holder is None or not right:
                self._wrong.take(caller.ip)
                self._wrong.take(form.username)
                page = await self._proof_page(request, asked, "password", None, error=words.wrong)
                page.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
                return page
            signed_in = SignedIn(holder.id, self.clock.now())
        # Each proof changes the session's id, so one planted before is worth nothing.
        self._sessions.take(cookie)
        answer: Response
        if AAL2 in asked.acr_values.split() and signed_in.acr != AAL2:
            answer = await self._proof_page(request, asked, "code", signed_in)
        else:
            answer = self._code(asked, signed_in)
        answer.set_cookie(
            self._cookie, self._sessions.add(signed_in), httponly=True, samesite="lax"
        )
        return answer

    async def logout(self, request: Request, _caller: Caller, query: LogoutQuery) -> Response:
        """End the browser's session here, and go back if the address is registered."""
        self._sessions.take(request.cookies.get(self._cookie, ""))
        answer: Response
        if query.post_logout_redirect_uri and (
            query.post_logout_redirect_uri == self._homes.get(query.client_id)
        ):
            answer = RedirectResponse(
                query.post_logout_redirect_uri, status_code=HTTPStatus.SEE_OTHER
            )
        else:
            locale = query.ui_locales or languages.preferred(request.headers)
            words = issuer_pages.WORDS[languages.known(locale)]
            answer = HTMLResponse(
                issuer_pages.notice_page(
                    locale=languages.known(locale),
                    title=words.signed_out,
                    intro=words.signed_out_intro,
                )
            )
        answer.delete_cookie(self._cookie)
        return answer

    def _asked(self, request: Request) -> Asked:
        """
        Check an authorization request. Until this passes, nothing is redirected anywhere.

        Raises:
            SignInRequestRefused: an unknown client, another address, or no PKCE.
        """
        query = wire.read_query(request.scope["query_string"], AuthorizeQuery, strict=False)
        assert query is not None
        registered = self._redirects.get(query.client_id)
        if registered is None or query.redirect_uri != registered:
            raise SignInRequestRefused("The client or its redirect_uri is not registered.")
        s256 = query.code_challenge_method == "S256"
        if (
            query.response_type != "code"
            or not s256
            or (len(query.code_challenge) != _CHALLENGE_LENGTH)
        ):
            raise SignInRequestRefused("Use response_type=code with PKCE S256.")
        return Asked(
            client_id=query.client_id,
            redirect_uri=query.redirect_uri,
            code_challenge=query.code_challenge,
            state=query.state,
            nonce=query.nonce,
            scope=query.scope,
            acr_values=query.acr_values,
            max_age=query.max_age,
            prompt=query.prompt,
            ui_locales=query.ui_locales,
        )

    def _missing(self, asked: Asked, signed_in: SignedIn | None) -> str | None:
        """Say which proof is still missing: password, code, or none."""
        if signed_in is None or asked.prompt == "login":
            return "password"
        age_s = (self.clock.now() - signed_in.auth_time).total_seconds()
        stale = asked.max_age is not None and age_s > asked.max_age
        if AAL2 in asked.acr_values.split():
            return "code" if stale or signed_in.acr != AAL2 else None
        return "password" if stale else None

    async def _proof_page(
        self,
        request: Request,
        asked: Asked,
        missing: str,
        signed_in: SignedIn | None,
        *,
        error: str = "",
    ) -> HTMLResponse:
        locale = _locale(request, asked)
        here = request.url.query
        if missing == "code":
            assert signed_in is not None
            return HTMLResponse(
                issuer_pages.code_page(
                    locale=locale,
                    person_id=signed_in.person_id,
                    current=self._one_time.next_code(signed_in.person_id),
                    error=error,
                    here=here,
                ),
                HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK,
            )
        people = await issuer_store.list_holders(request.app.state.db)
        return HTMLResponse(
            issuer_pages.password_page(locale=locale, people=people, error=error, here=here)
        )

    def _code(self, asked: Asked, signed_in: SignedIn) -> Response:
        return self._back(asked, code=self._exchange.code(asked, signed_in))

    def _back(self, asked: Asked, **answer: str) -> Response:
        parameters = {**answer, "state": asked.state, "iss": self._url}
        return RedirectResponse(
            f"{asked.redirect_uri}?{urlencode(parameters)}", status_code=HTTPStatus.SEE_OTHER
        )


def _locale(request: Request, asked: Asked) -> str:
    wanted = asked.ui_locales.split(" ")[0]
    return languages.known(wanted) if wanted else languages.preferred(request.headers)
