"""The language and the theme that a browser keeps, for people signed in or not."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal, get_args

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

from molam.platform.web.caller import PUBLIC, Caller
from molam.platform.web.l10n import LANGUAGES, Language
from molam.platform.web.routes import Routes

Theme = Literal["auto", "light", "dark"]

# Shared by every app on the host on purpose: they are about the reader, not the app.
LANGUAGE_COOKIE = "molam_lang"
THEME_COOKIE = "molam_theme"

_YEAR_S = 365 * 24 * 3600

routes = Routes()


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to remember, and the page to return to."""

    lang: Language | None = None
    theme: Theme | None = None
    next: str = "/"


def chosen_language(request: HTTPConnection) -> Language | None:
    """Return the language picked on a page, if one was."""
    picked = request.cookies.get(LANGUAGE_COOKIE)
    return next((language for language in LANGUAGES if language == picked), None)


def chosen_theme(request: HTTPConnection) -> Theme:
    """Return the theme picked on a page, or ``auto``: as the device prefers."""
    picked = request.cookies.get(THEME_COOKIE)
    themes: tuple[Theme, ...] = get_args(Theme)
    return next((theme for theme in themes if theme == picked), "auto")


def local_path(path: str, query: str = "") -> str:
    """Return *path* if it stays on this site, and the front page if it could lead elsewhere."""
    # Browsers read a backslash as a slash, and two slashes as another host.
    stays = path.startswith("/") and not path.startswith(("//", "/\\"))
    if not stays or any(ord(char) < 32 for char in path):  # noqa: PLR2004 - control characters.
        return "/"
    return f"{path}?{query}" if query else path


@routes.get("/preferences", needs=PUBLIC, query=Preferences, page=True)
async def remember(_request: Request, _caller: Caller, wanted: Preferences) -> Response:
    """Remember a language or a theme in this browser and go back to the page."""
    # A GET may set these: another site could at worst switch the colours.
    response = RedirectResponse(local_path(wanted.next), status_code=HTTPStatus.SEE_OTHER)
    for cookie, value in ((LANGUAGE_COOKIE, wanted.lang), (THEME_COOKIE, wanted.theme)):
        if value is not None:
            response.set_cookie(cookie, value, max_age=_YEAR_S, samesite="lax", path="/")
    return response
