"""From a bearer token or a session cookie to a caller, with the roles held now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from starlette.requests import HTTPConnection

from molam.platform.auth import sessions
from molam.platform.auth.directory import RememberedDirectory
from molam.platform.auth.tokens import Identity, TokenRefused, Tokens
from molam.platform.web import languages
from molam.platform.web.caller import Caller
from molam.platform.web.operations import origin_of

_COOKIE_LENGTH_MAX = 128


class Authentication:
    """
    Finds out who is asking.

    The roles of a token are a claim of the past. They are cut down to what the
    directory grants now, so that taking a role away takes effect at once; a
    subject the directory does not know, such as a service, keeps them.
    """

    def __init__(
        self, *, tokens: Tokens, directory: RememberedDirectory, app: str, cookie: str
    ) -> None:
        self._tokens = tokens
        self._directory = directory
        self._app = app
        self._cookie = cookie

    async def __call__(self, connection: HTTPConnection) -> Caller | None:
        """
        Identify the caller; nobody is None.

        Raises:
            TokenRefused: a bearer token was sent and is not valid.
            Outage: the issuer's keys, or the database, cannot be had.
        """
        given = connection.headers.getlist("authorization")
        if given:
            token = _bearer(given)
            return await self._caller(
                connection, await self._tokens.verify(token), via="bearer", csrf=None
            )
        cookie = connection.cookies.get(self._cookie, "")
        if not cookie or len(cookie) > _COOKIE_LENGTH_MAX:
            return None
        session = await sessions.find_session(connection.app.state.db, app=self._app, cookie=cookie)
        if session is None:
            return None
        return await self._caller(connection, session.identity, via="session", csrf=session.csrf)

    async def _caller(
        self,
        connection: HTTPConnection,
        identity: Identity,
        *,
        via: Literal["bearer", "session"],
        csrf: str | None,
    ) -> Caller:
        roles = frozenset(identity.roles)
        granted = await self._directory(identity.sub, identity.merchant_id)
        signed_in = identity.auth_time
        # On pages the language that somebody chose holds; a program says which one it wants.
        spoken = languages.known(identity.lang)
        if via == "bearer":
            spoken = languages.preferred(connection.headers, otherwise=spoken)
        return Caller(
            subject=identity.sub,
            name=identity.name or identity.sub,
            merchant_id=identity.merchant_id,
            roles=roles if granted is None else roles & granted,
            locale=spoken,
            acr=identity.acr,
            auth_time=None if signed_in is None else datetime.fromtimestamp(signed_in, UTC),
            csrf=csrf,
            via=via,
            **origin_of(connection),
        )


def _bearer(given: list[str]) -> str:
    scheme, _, token = given[0].partition(" ")
    if len(given) != 1 or scheme.lower() != "bearer" or not token:
        raise TokenRefused("Send one Authorization header: Bearer and the token.")
    return token.strip()
