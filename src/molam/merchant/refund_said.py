"""What a refund's page says about what was just tried, and where it asks for a fresh proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Kind, Refusal
from molam.merchant import proofs
from molam.platform.auth.step_up import sign_in_address
from molam.platform.web import Caller, catalogue
from molam.platform.web.templating import language_of

SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.FORBIDDEN, Kind.BROKEN_RULE, Kind.MALFORMED})


@dataclass(frozen=True, slots=True)
class Said:
    """What the page says about what was just tried."""

    code: str
    title: str = ""
    detail: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict)


def said_of(request: Request, caller: Caller, refusal: Refusal) -> Said:
    language = language_of(request, caller)
    title = catalogue.sentence(refusal.code, fallback=refusal.title, locale=language)
    return Said(refusal.code, title, refusal.detail if language == "en" else "", refusal.facts)


def prove(following: str) -> Response:
    """Lead to a sign-in with the second factor, and back to where it is needed."""
    return proofs.see(sign_in_address(following))
