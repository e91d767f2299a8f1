"""What a page says first after a form: what was done, or why it was not."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.refusals import Kind, Refusal
from molam.mesh.room.details import told
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.web import Caller, catalogue
from molam.platform.web.framing import Said
from molam.platform.web.templating import language_of

_GOOD = frozenset(
    {
        "simulated",
        "member-asked",
        "suspension-asked",
        "reinstatement-asked",
        "policy-saved",
        "policy-asked",
        "region-saved",
        "region-asked",
        "stopped",
        "release-asked",
        "approved",
        "applied",
        "rejected",
        "rollback-asked",
        "rolled-back",
        "override-asked",
        "recall-asked",
        "recalled",
        "resume-asked",
        "resumed",
        "proposed",
        "predicted",
        "planned",
        "plan-asked",
        "received",
        "statement-imported",
        "drawn",
        "draw-asked",
        "paid-in",
        "given-back",
        "pool-made",
        "corridor-proposed",
        "corridor-approved",
        "corridor-rejected",
        "settlement-noted",
        "settlement-confirmed",
        "drill-asked",
        "drill-stopped",
    }
)
_BAD = frozenset(
    {
        "plan-failed",
        "statement-known",
        "reason-short",
        "reason-missing",
        "confirmation-wrong",
        "confirm-again",
        "no-route",
    }
)
# A person made these happen at a form, and reads there why it did not work.
_SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.FORBIDDEN, Kind.BROKEN_RULE, Kind.MALFORMED})


def said_as(code: str | None) -> Said | None:
    """Read the word that a redirect left in the address; words we do not know say nothing."""
    if code in _GOOD:
        return Said(code, "green")
    return Said(code, "orange") if code in _BAD else None


def unsaid(code: str, field: str) -> Said:
    """Say what is missing or wrong in a field that only has to be filled in."""
    return Said(code, "orange", field=field)


def refused_as(
    request: Request,
    caller: Caller,
    refusal: Refusal,
    *,
    names_others: bool = False,
    field: str = "",
) -> Said:
    """
    Say a refusal on the page that its form is on.

    *names_others*: the form names objects by its fields, and one of them may be absent.
    *field* is the one that is to be corrected, where that is known.

    Raises:
        Refusal: it is not one that belongs there.
    """
    is_field = names_others and refusal.kind is Kind.ABSENT
    if refusal.kind not in _SHOWN_ON_PAGE and not is_field:
        raise refusal
    language = language_of(request, caller)
    name = catalogue.sentence(refusal.code, fallback=refusal.title, locale=language)
    return Said(refusal.code, "orange", name, told(refusal.detail, language), field)


def wrong_number(request: Request, caller: Caller, field: str, bounds: tuple[int, int]) -> Said:
    """Say of a field which numbers it takes."""
    least, most = bounds
    said = told(f"Write a whole number from {least} to {most}.", language_of(request, caller))
    return Said("number-wrong", "orange", said, field=field)


def missing(request: Request, caller: Caller, field: str) -> Said:
    """Say of a field that it is needed."""
    said = told("This is needed.", language_of(request, caller))
    return Said("field-missing", "orange", said, field=field)


def whole_number(typed: str, bounds: tuple[int, int]) -> int | None:
    """Read a whole number as people type it; None: it is none, or out of bounds."""
    least, most = bounds
    text = typed.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    return int(text) if least <= int(text) <= most else None


def sign_in_again(path: str, refusal: StepUpRequired) -> Response:
    """Lead to a fresh proof of identity, and back to *path*."""
    asked = {key: str(refusal.facts[key]) for key in ("acr_values", "max_age")}
    mark = "&" if "?" in path else "?"
    following = {"next": f"{path}{mark}said=confirm-again", **asked}
    return RedirectResponse(f"/sign-in?{urlencode(following)}", status_code=HTTPStatus.SEE_OTHER)


def to(path: str, code: str) -> Response:
    """Lead to *path*, which then says what was done."""
    mark = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{mark}said={code}", status_code=HTTPStatus.SEE_OTHER)


def unprocessable(answer: Response) -> Response:
    """Show a page again whose form was refused."""
    answer.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return answer
