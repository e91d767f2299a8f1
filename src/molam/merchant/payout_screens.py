"""What the pages of payouts have in common: refusals in words."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from molam.kernel.refusals import Kind, Refusal
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
