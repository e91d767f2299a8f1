"""What every page about statements does the same way."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.refusals import Kind, Refusal
from molam.ops import propose_pages
from molam.ops.propose_pages import Refused
from molam.platform.web import Caller
from molam.platform.web.templating import language_of

# A person made these happen at a form, and reads there why it did not work.
SHOWN_ON_PAGE = frozenset(
    {Kind.BROKEN_RULE, Kind.CONFLICT, Kind.MALFORMED, Kind.UNSUPPORTED_MEDIA, Kind.TOO_LARGE}
)


def shown(request: Request, caller: Caller, refusal: Refusal) -> Refused:
    """
    Say a refusal on the page that its form is on.

    Raises:
        Refusal: it is not one that belongs there.
    """
    if refusal.kind not in SHOWN_ON_PAGE:
        raise refusal
    return propose_pages.refused(refusal, language_of(request, caller))


def unprocessable(response: Response) -> Response:
    response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


def to(path: str, code: str) -> Response:
    mark = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{mark}said={code}", status_code=HTTPStatus.SEE_OTHER)
