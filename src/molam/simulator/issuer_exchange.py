"""Codes and refresh tokens of the development issuer, exchanged for tokens at most once."""

from __future__ import annotations

import secrets
from datetime import timedelta
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from molam.kernel.clock import Clock
from molam.platform.auth.sign_in import challenge
from molam.platform.settings import Settings
from molam.platform.web import Caller
from molam.simulator import issuer_store
from molam.simulator.issuer_grants import Asked, Forgetful, Grant, SignedIn
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.issuer_tokens import ACCESS_TOKEN_S, access_claims, id_claims

_CODE_TTL = timedelta(seconds=60)
_REFRESH_TTL = timedelta(hours=8)


class TokenForm(msgspec.Struct, forbid_unknown_fields=True):
    grant_type: str
    client_id: str = ""
    code: str = ""
    code_verifier: str = ""
    redirect_uri: str = ""
    refresh_token: str = ""
    scope: str = ""


class Exchange:
    """The token endpoint."""

    def __init__(self, settings: Settings, *, keys: IssuerKeys, clock: Clock) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._codes = Forgetful[Grant](clock, ttl=_CODE_TTL)
        self._refresh = Forgetful[Grant](clock, ttl=_REFRESH_TTL)
        self._spent = Forgetful[Grant](clock, ttl=_REFRESH_TTL)
        self._ended = Forgetful[bool](clock, ttl=_REFRESH_TTL)

    def code(self, asked: Asked, signed_in: SignedIn) -> str:
        """Make the code that the browser carries back."""
        return self._codes.add(Grant(asked, signed_in, family=secrets.token_hex(8)))

    async def token(self, request: Request, _caller: Caller, form: TokenForm) -> Response:
        """Exchange a code, or a refresh token, for tokens."""
        grant = self._granted(form)
        if grant is None:
            return JSONResponse({"error": "invalid_grant"}, HTTPStatus.BAD_REQUEST)
        holder = await issuer_store.find_holder(request.app.state.db, grant.signed_in.person_id)
        if holder is None:
            return JSONResponse({"error": "invalid_grant"}, HTTPStatus.BAD_REQUEST)
        asked, now = grant.asked, self._clock.now()
        access = access_claims(
            self._settings, holder, grant.signed_in, client_id=asked.client_id, now=now
        )
        identity = id_claims(
            self._settings,
            holder,
            grant.signed_in,
            client_id=asked.client_id,
            nonce=asked.nonce,
            now=now,
        )
        return JSONResponse(
            {
                "access_token": self._keys.sign({**access, "scope": asked.scope}, type_="at+jwt"),
                "id_token": self._keys.sign(identity, type_="JWT"),
                "refresh_token": self._refresh.add(grant),
                "token_type": "Bearer",
                "expires_in": ACCESS_TOKEN_S,
                "scope": asked.scope,
            }
        )

    def _granted(self, form: TokenForm) -> Grant | None:
        if form.grant_type == "authorization_code":
            return self._redeemed(form)
        if form.grant_type == "refresh_token":
            return self._refreshed(form)
        return None

    def _redeemed(self, form: TokenForm) -> Grant | None:
        grant = self._codes.take(form.code)
        if grant is None:
            again = self._spent.find(form.code)
            if again is not None:
                # Somebody has a copy of the code; nothing it gave may live on.
                self._ended.put(again.family, True)
            return None
        self._spent.put(form.code, grant)
        asked = grant.asked
        if form.client_id != asked.client_id or form.redirect_uri != asked.redirect_uri:
            return None
        proof = challenge(form.code_verifier)
        return grant if secrets.compare_digest(proof, asked.code_challenge) else None

    def _refreshed(self, form: TokenForm) -> Grant | None:
        grant = self._refresh.take(form.refresh_token)
        if grant is None:
            again = self._spent.find(form.refresh_token)
            if again is not None:
                self._ended.put(again.family, True)
            return None
        self._spent.put(form.refresh_token, grant)
        if self._ended.find(grant.family) or form.client_id != grant.asked.client_id:
            return None
        return grant
