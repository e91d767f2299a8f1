"""What the pages of payouts have in common: refusals in words, and where a form leads."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.refusals import Kind, Refusal
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S
from molam.platform.auth.tokens import AAL2
from molam.platform.web import Caller, catalogue
from molam.platform.web.templating import language_of

SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.BROKEN_RULE, Kind.MALFORMED, Kind.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing was done, in the reader's language where we have it."""

    code: str
    title: str
    detail: str


def refused_words(request: Request, caller: Caller, refusal: Refusal) -> Refused:
    """Say a refusal on the page it concerns."""
    language = language_of(request, caller)
    title = catalogue.sentence(refusal.code, fallback=refusal.title, locale=language)
    return Refused(refusal.code, title, refusal.detail if language == "en" else "")


def see(address: str) -> Response:
    """Lead to *address*, so that a reload repeats nothing."""
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


def confirm_first(following: str) -> str:
    """Where to prove once more who one is, and come back to *following*."""
    asked = {"next": following, "acr_values": AAL2, "max_age": STEP_UP_MAX_AGE_S}
    return "/sign-in?" + urlencode(asked)
