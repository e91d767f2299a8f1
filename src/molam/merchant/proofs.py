"""What pages with forms share: where they lead, and saying why nothing was done."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.refusals import Kind, Refusal
from molam.platform.web import Caller, catalogue
from molam.platform.web.templating import language_of

_SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.BROKEN_RULE, Kind.MALFORMED, Kind.ABSENT})


@dataclass(frozen=True, slots=True)
class Said:
    """Why nothing was done, in the reader's language; the detail is English only."""

    code: str
    message: str
    detail: str


def see(address: str) -> Response:
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


def said(request: Request, caller: Caller, refusal: Refusal) -> Said:
    """
    Say on the page why nothing was done.

    Raises:
        Refusal: it is one for a page of its own.
    """
    if refusal.kind not in _SHOWN_ON_PAGE:
        raise refusal
    language = language_of(request, caller)
    message = catalogue.sentence(refusal.code, fallback=refusal.title, locale=language)
    return Said(refusal.code, message, refusal.detail if language == "en" else "")


def form_key() -> str:
    """Make the key under which a form is carried out once, however often it is sent."""
    return secrets.token_urlsafe(18)
