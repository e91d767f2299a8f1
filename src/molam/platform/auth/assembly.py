"""Putting authentication together for one app."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from molam.kernel.clock import Clock
from molam.platform.auth.authenticator import Authentication
from molam.platform.auth.directory import Directory, RememberedDirectory
from molam.platform.auth.issuer import Issuer
from molam.platform.auth.jwks import Jwks
from molam.platform.auth.sign_in import RelyingParty, SignIn
from molam.platform.auth.tokens import Tokens
from molam.platform.settings import Settings
from molam.platform.web.routes import Routes


@dataclass(frozen=True, slots=True)
class Auth:
    """What an app needs to know its callers."""

    authenticator: Authentication
    routes: Routes
    directory: RememberedDirectory
    """Call ``forget`` when the database says that a grant changed."""
    tokens: Tokens
    issuer_origin: str
    """For the site's form_action: signing out posts a form that ends up there."""


def assemble(
    settings: Settings,
    *,
    party: RelyingParty,
    client: httpx2.AsyncClient,
    directory: Directory,
    clock: Clock,
) -> Auth:
    """Make authentication for the app that *party* describes. *client* is the caller's to close."""
    remembered = RememberedDirectory(directory)
    tokens = Tokens(
        Jwks(settings.jwks_url, client),
        issuer=settings.issuer,
        audience=settings.jwt_audience,
        clock=clock,
    )
    issuer = Issuer(settings.issuer, client)
    parts = urlsplit(settings.issuer)
    return Auth(
        authenticator=Authentication(
            tokens=tokens, directory=remembered, app=party.app, cookie=party.cookie
        ),
        routes=SignIn(party, issuer=issuer, tokens=tokens).routes(),
        directory=remembered,
        tokens=tokens,
        issuer_origin=f"{parts.scheme}://{parts.netloc}",
    )
