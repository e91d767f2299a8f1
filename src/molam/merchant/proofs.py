"""What pages with forms share: proving again who one is, and saying why nothing was done."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.refusals import Kind, Refusal
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, StepUpRequired, require_step_up
from molam.platform.auth.tokens import AAL2
from molam.platform.web import Caller, catalogue
from molam.platform.web.templating import language_of

_SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.BROKEN_RULE, Kind.MALFORMED, Kind.ABSENT})


@dataclass(frozen=True, slots=True)
class Said:
    """Why nothing was done, in the reader's language; the detail is English only."""

    code: str
    message: str
    detail: str


def sign_in_address(following: str) -> str:
    """Where to prove once more who one is, to come back to *following*."""
    asked = {"next": following, "acr_values": AAL2, "max_age": STEP_UP_MAX_AGE_S}
    return f"/sign-in?{urlencode(asked)}"


def step_up_address(request: Request, caller: Caller, following: str) -> str | None:
    """The same, unless the caller has just proved it."""
    try:
        require_step_up(caller, now=request.app.state.clock.now())
    except StepUpRequired:
        return sign_in_address(following)
    return None


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
