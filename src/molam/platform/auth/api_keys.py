"""Letting in a service that has a key instead of an issuer's token."""

from __future__ import annotations

import secrets

from starlette.requests import HTTPConnection

from molam.platform.settings import Secret
from molam.platform.web import languages
from molam.platform.web.caller import Caller
from molam.platform.web.operations import origin_of
from molam.platform.web.routes import Authenticator

HEADER = "x-api-key"
SERVICE = "service"


def or_api_key(authenticator: Authenticator, *, key: Secret) -> Authenticator:
    """
    Accept *key* in X-API-Key as a service; everybody else goes to *authenticator*.

    An empty *key* opens nothing.
    """

    async def authenticate(connection: HTTPConnection, /) -> Caller | None:
        given = connection.headers.get(HEADER)
        if not given or not key or "authorization" in connection.headers:
            return await authenticator(connection)
        if not secrets.compare_digest(given.encode(), key.reveal().encode()):
            return None
        return Caller(
            subject="service:api-key",
            name="API key",
            merchant_id=None,
            roles=frozenset({SERVICE}),
            locale=languages.preferred(connection.headers),
            acr="",
            auth_time=None,
            csrf=None,
            via="bearer",
            **origin_of(connection),
        )

    return authenticate
