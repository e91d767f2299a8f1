"""Signing people in: Authorization Code with PKCE, and a session on our side."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.refusals import Outage
from molam.platform.auth import sessions
from molam.platform.auth.issuer import Issuer, SignInRefused
from molam.platform.auth.step_up import NEXT_LENGTH_MAX
from molam.platform.auth.tokens import AAL1, AAL2, Identity, TokenRefused, Tokens
from molam.platform.telemetry import log
from molam.platform.web import wire
from molam.platform.web.caller import PUBLIC, SIGNED_IN, Caller
from molam.platform.web.limits import Limiter
from molam.platform.web.operations import origin_of
from molam.platform.web.routes import Routes

_SIGN_IN_S = 600
_SESSION_S = 8 * 3600


class SignInQuery(msgspec.Struct, forbid_unknown_fields=True):
    next: Annotated[str, Meta(max_length=NEXT_LENGTH_MAX)] = "/"
    acr_values: Annotated[str, Meta(max_length=64)] = ""
    max_age: Annotated[int, Meta(ge=0, le=86_400)] | None = None


class CallbackQuery(msgspec.Struct):
    """What the issuer sends back (RFC 6749 4.1.2, RFC 9207). It may say more than we know."""

    state: Annotated[str, Meta(max_length=128)] = ""
    code: Annotated[str, Meta(max_length=2048)] = ""
    iss: Annotated[str, Meta(max_length=512)] | None = None
    error: Annotated[str, Meta(max_length=128)] = ""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """One app, as the issuer knows it."""

    app: str
    client_id: str
    public_url: str
    cookie: str

    @property
    def redirect_uri(self) -> str:
        return f"{self.public_url}/auth/callback"

    @property
    def host(self) -> str:
        return urlsplit(self.public_url).netloc

    @property
    def https(self) -> bool:
        return self.public_url.startswith("https://")

    def set_cookie(self, response: Response, name: str, value: str, *, max_age_s: int) -> None:
        response.set_cookie(
            name, value, max_age=max_age_s, httponly=True, samesite="lax", secure=self.https
        )


class SignIn:
    """The routes under /auth/ of one app."""

    def __init__(self, party: RelyingParty, *, issuer: Issuer, tokens: Tokens) -> None:
        self._party = party
        self._issuer = issuer
        self._tokens = tokens
        self._browser_cookie = f"{party.cookie}_sign_in"
        self._begun = Limiter(burst=60, per_minute=30)

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.get("/auth/sign-in", needs=PUBLIC, page=True, query=SignInQuery)
        declare(self.begin)
        routes.get("/auth/callback", needs=PUBLIC, page=True)(self.callback)
        routes.post("/auth/sign-out", needs=SIGNED_IN, page=True, form=True)(self.sign_out)
        return routes

    async def begin(self, request: Request, caller: Caller, query: SignInQuery) -> Response:
        """
        Send the browser to the issuer.

        Raises:
            TooManyAttempts: this address begins too often.
        """
        self._begun.take(caller.ip)
        if request.headers.get("host") != self._party.host:
            # The cookie set here would not be sent to the address that the issuer answers to.
            return RedirectResponse(f"{self._party.public_url}/auth/sign-in?{request.url.query}")
        verifier, state, nonce = (secrets.token_urlsafe(size) for size in (48, 24, 24))
        browser = secrets.token_urlsafe(24)
        row = sessions.SignInRow(verifier, nonce, safe_next(query.next), sessions.hashed(browser))
        discovery = await self._issuer.discovery()
        db = request.app.state.db
        await sessions.add_sign_in(db, app=self._party.app, state=state, row=row)
        parameters = {
            "response_type": "code",
            "client_id": self._party.client_id,
            "redirect_uri": self._party.redirect_uri,
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
            "ui_locales": caller.locale,
        }
        if query.acr_values in {AAL1, AAL2}:
            parameters["acr_values"] = query.acr_values
        if query.max_age is not None:
            parameters["max_age"] = str(query.max_age)
        target = f"{discovery.authorization_endpoint}?{urlencode(parameters)}"
        answer = RedirectResponse(target, status_code=HTTPStatus.SEE_OTHER)
        self._party.set_cookie(answer, self._browser_cookie, browser, max_age_s=_SIGN_IN_S)
        return answer

    async def callback(self, request: Request, _caller: Caller) -> Response:
        """
        Receive the issuer's answer and begin a session.

        Raises:
            SignInRefused: not begun in this browser, or the issuer said no.
        """
        query = wire.read_query(request.scope["query_string"], CallbackQuery, strict=False)
        assert query is not None
        db = request.app.state.db
        begun = await sessions.take_sign_in(db, app=self._party.app, state=query.state)
        browser = sessions.hashed(request.cookies.get(self._browser_cookie, ""))
        if begun is None or not secrets.compare_digest(begun.browser_hash, browser):
            raise SignInRefused("It was not begun in this browser, or too long ago.")
        identity = await self._redeem(query, begun)
        origin = origin_of(request)
        cookie = await sessions.start_session(
            db,
            app=self._party.app,
            identity=identity,
            replaces=request.cookies.get(self._party.cookie),
            begun_at=(origin["ip"], origin["user_agent"]),
        )
        log.info("signed in", subject=identity.sub, acr=identity.acr)
        answer = RedirectResponse(begun.next_path, status_code=HTTPStatus.SEE_OTHER)
        self._party.set_cookie(answer, self._party.cookie, cookie, max_age_s=_SESSION_S)
        answer.delete_cookie(self._browser_cookie)
        return answer

    async def _redeem(self, query: CallbackQuery, begun: sessions.SignInRow) -> Identity:
        """Exchange the code for tokens, and believe them only if every check agrees."""
        discovery = await self._issuer.discovery()
        names_itself = discovery.authorization_response_iss_parameter_supported
        if (query.iss is not None or names_itself) and query.iss != self._issuer.url:
            raise SignInRefused("The answer comes from another issuer.")
        if query.error or not query.code:
            raise SignInRefused("The issuer ended it without signing you in.")
        answered = await self._issuer.redeem(
            {
                "grant_type": "authorization_code",
                "code": query.code,
                "code_verifier": begun.verifier,
                "redirect_uri": self._party.redirect_uri,
                "client_id": self._party.client_id,
            }
        )
        try:
            person = await self._tokens.verify_id_token(
                answered.id_token, client_id=self._party.client_id, nonce=begun.nonce
            )
            identity = await self._tokens.verify(answered.access_token)
        except TokenRefused as refusal:
            raise SignInRefused(refusal.detail) from refusal
        if person.sub != identity.sub:
            raise SignInRefused("The two tokens name different people.")
        return identity

    async def sign_out(self, request: Request, caller: Caller) -> Response:
        """End this browser's session, here and at the issuer."""
        cookie = request.cookies.get(self._party.cookie, "")
        await sessions.end_session(request.app.state.db, app=self._party.app, cookie=cookie)
        log.info("signed out", subject=caller.subject)
        answer = RedirectResponse(await self._farewell(), status_code=HTTPStatus.SEE_OTHER)
        answer.delete_cookie(self._party.cookie)
        return answer

    async def _farewell(self) -> str:
        """Where signing out ends: at the issuer's door, or at home if it has none or is away."""
        home = f"{self._party.public_url}/"
        try:
            door = (await self._issuer.discovery()).end_session_endpoint
        except Outage:
            return home
        parameters = {"client_id": self._party.client_id, "post_logout_redirect_uri": home}
        return home if door is None else f"{door}?{urlencode(parameters)}"


def challenge(verifier: str) -> str:
    """Derive the PKCE challenge of *verifier* (RFC 7636, S256)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def safe_next(path: str) -> str:
    """Keep *path* only if it stays on our own site; otherwise go to the start."""
    # Browsers read a backslash as a slash, and drop tabs and line breaks.
    if not path.startswith("/") or not path.isprintable() or "\\" in path:
        return "/"
    parts = urlsplit(path)
    if parts.scheme or parts.netloc or path.startswith("//"):
        return "/"
    return path
