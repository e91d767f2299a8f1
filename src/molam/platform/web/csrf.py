"""Telling our own pages' requests from those another site makes a browser send."""

from __future__ import annotations

import secrets

from starlette.requests import HTTPConnection

from molam.kernel.refusals import Kind, Refusal
from molam.platform.web.caller import Caller

FIELD = "csrf_token"
HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class CrossSiteRefused(Refusal):
    code = "cross-site-request"
    kind = Kind.FORBIDDEN
    title = "This request did not come from our own page"


def check_origin(connection: HTTPConnection, *, public_origin: str) -> None:
    """
    Demand that a browser says the request is same-origin.

    Raises:
        CrossSiteRefused: it says otherwise, or says nothing at all.
    """
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise CrossSiteRefused("The browser says that another site made it.")
        return
    # Browsers before 2023 send no Sec-Fetch-Site, yet all send Origin.
    origin = connection.headers.get("origin")
    own = f"{connection.url.scheme}://{connection.headers.get('host', '')}"
    if origin is None or origin not in {public_origin, own}:
        raise CrossSiteRefused("The Origin header does not name our own address.")


def check_token(caller: Caller, given: str | None) -> None:
    """
    Demand the session's token, which another site cannot read.

    Raises:
        CrossSiteRefused: it is missing or belongs to another session.
    """
    expected = caller.csrf or ""
    if not expected or not secrets.compare_digest(expected.encode(), (given or "").encode()):
        raise CrossSiteRefused(f"Send the page's token in {HEADER} or the field {FIELD}.")
