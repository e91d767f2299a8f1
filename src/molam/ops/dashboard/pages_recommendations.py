"""What SIRA recommends: a list, and a page with why, what it would do and how it did before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.refusals import Kind, Refusal
from molam.ops import propose_pages
from molam.ops.dashboard import permissions, recommendations
from molam.ops.dashboard.recommendation_store import RecommendationRow
from molam.ops.dashboard.recommendation_words import words
from molam.ops.dashboard.recommendations import RecommendationAbsent, request_of
from molam.ops.propose_pages import Refused, Rehearsed, actor_of
from molam.ops.shell import Said, framed, may, said
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

PAGE_ROWS = 50
REASON_LENGTH_MIN, REASON_LENGTH_MAX = 3, 500
_SHOWN_ON_PAGE = frozenset(
    {Kind.BROKEN_RULE, Kind.CONFLICT, Kind.MALFORMED, Kind.FORBIDDEN, Kind.ABSENT}
)

Status = Literal["pending", "pending_approval", "applied", "rejected", "expired", "superseded"]
STATUSES: tuple[Status, ...] = get_args(Status)


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: Status = "pending"
    page: Annotated[int, Meta(ge=1, le=200)] = 1
    said: Annotated[str, Meta(max_length=32)] | None = None


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class Applied(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The form has nothing to fill in: it says yes to what the page shows."""


class Rejected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=REASON_LENGTH_MAX)] = ""


_AMOUNTS = frozenset({"at_stake", "cost_savings", "revenue_gain"})


@dataclass(frozen=True, slots=True)
class Impact:
    """One thing that is expected of applying it; *currency* says that it is minor units."""

    name: str
    value: object
    currency: str | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature of the explanation: how far, and which way, it moves the advice."""

    name: str
    value: object
    weight: Decimal
    share: int
    """Of the greatest weight, in hundredths: how long its bar is."""


@routes.get("/recommendations", needs=permissions.VIEW, page=True, query=ListQuery)
async def listing(request: Request, caller: Caller, query: ListQuery) -> Response:
    """List what is recommended, or what became of earlier recommendations."""
    async with request.app.state.db.transaction("dashboard.recommended", readonly=True) as tx:
        found = await recommendations.listing(
            tx,
            status=query.status,
            limit=PAGE_ROWS + 1,
            offset=(query.page - 1) * PAGE_ROWS,
        )
    more, language = len(found) > PAGE_ROWS, language_of(request, caller)
    address = f"/recommendations?status={query.status}&page="
    return await framed(
        request,
        caller,
        "recommendations.html",
        place="recommendations",
        said=said(query.said),
        status=query.status,
        statuses=STATUSES,
        rows=[(row, said_of(row, language)) for row in found[:PAGE_ROWS]],
        newer=f"{address}{query.page - 1}" if query.page > 1 else None,
        older=f"{address}{query.page + 1}" if more else None,
    )


@routes.get(
    "/recommendations/{id:uuid}",
    needs=permissions.VIEW,
    page=True,
    query=PageQuery,
    refuses=(RecommendationAbsent,),
)
async def one(request: Request, caller: Caller, query: PageQuery) -> Response:
    """Show one recommendation: why, what would be asked of whom, and its record so far."""
    return await _show(request, caller, message=said(query.said))


@routes.get(
    "/dashboard/sira/recommendations/{id:uuid}",
    needs=permissions.VIEW,
    page=True,
)
async def shown_as_alert(request: Request, _caller: Caller) -> Response:
    """Lead from the dashboard's alert of a recommendation to its page."""
    address = f"/recommendations/{request.path_params['id']}"
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


@routes.post(
    "/recommendations/{id:uuid}/apply",
    needs=permissions.APPLY,
    page=True,
    form=True,
    body=Applied,
    refuses=(RecommendationAbsent,),
)
async def apply(request: Request, caller: Caller, _form: Applied) -> Response:
    """Ask for what is recommended; whoever the policy names decides."""
    id_: UUID = request.path_params["id"]
    try:
        action_id = await recommendations.apply(request.app.state.watch, id_, actor_of(caller))
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return RedirectResponse(
        f"/ops/actions/{action_id}?said=created", status_code=HTTPStatus.SEE_OTHER
    )


@routes.post(
    "/recommendations/{id:uuid}/reject",
    needs=permissions.APPLY,
    page=True,
    form=True,
    body=Rejected,
    refuses=(RecommendationAbsent,),
)
async def reject(request: Request, caller: Caller, form: Rejected) -> Response:
    """Say no to a recommendation, and why: SIRA's record counts it."""
    id_: UUID = request.path_params["id"]
    reason = form.reason.strip()
    if len(reason) < REASON_LENGTH_MIN:
        response = await _show(request, caller, message=said("reason-short"))
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
        return response
    try:
        await recommendations.reject(request.app.state.db, id_, actor_of(caller), reason)
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return RedirectResponse(f"/recommendations/{id_}?said=saved", status_code=HTTPStatus.SEE_OTHER)


async def _refused(request: Request, caller: Caller, refusal: Refusal) -> Response:
    if refusal.kind not in _SHOWN_ON_PAGE or isinstance(refusal, RecommendationAbsent):
        raise refusal
    shown = propose_pages.refused(refusal, language_of(request, caller))
    response = await _show(request, caller, refused=shown)
    response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


async def _show(
    request: Request,
    caller: Caller,
    *,
    message: Said | None = None,
    refused: Refused | None = None,
) -> Response:
    id_: UUID = request.path_params["id"]
    async with request.app.state.db.transaction("dashboard.recommendation", readonly=True) as tx:
        row = await recommendations.find(tx, id_)
        record = await recommendations.track_record(tx, row.recommendation_type)
    is_open = row.status == "pending"
    rehearsed, hindered = None, None
    if is_open:
        rehearsed, hindered = await _rehearsed(request, caller, row)
    return await framed(
        request,
        caller,
        "recommendation.html",
        place="recommendations",
        said=message,
        row=row,
        sentences=said_of(row, language_of(request, caller)),
        record=record,
        reasons=reasons_of(row.explanation),
        model=str((row.explanation or {}).get("model", "")),
        impact=impact_of(row.estimated_impact),
        rehearsed=rehearsed,
        refused=refused or hindered,
        may_apply=is_open and may(caller, permissions.APPLY),
        is_soon=row.expires_at - request.app.state.clock.now() < timedelta(days=1),
    )


async def _rehearsed(
    request: Request, caller: Caller, row: RecommendationRow
) -> tuple[Rehearsed | None, Refused | None]:
    """Say what would be asked and of whom; or why it could not be asked for now."""
    asked = request_of(row, "ops_ui", "-apply")
    language = language_of(request, caller)
    try:
        return await propose_pages.preview(request.app.state, caller, asked, language), None
    except Refusal as refusal:
        if refusal.kind not in _SHOWN_ON_PAGE:
            raise
        return None, propose_pages.refused(refusal, language)


def said_of(row: RecommendationRow, language: Language) -> tuple[str, str]:
    """Write what is recommended, and why, in the reader's language where its facts are known."""
    if not row.facts:
        return row.title, row.description
    return words(row.recommendation_type, row.facts, language)


def reasons_of(explanation: dict[str, Any] | None) -> list[Reason]:
    """Draw an explanation's features as bars, the weightiest first."""
    features: Sequence[dict[str, Any]] = (explanation or {}).get("features") or ()
    weighed = [(each, Decimal(str(each.get("weight") or 0))) for each in features]
    greatest = max((abs(weight) for _, weight in weighed), default=Decimal(0)) or Decimal(1)
    reasons = [
        Reason(
            str(each.get("name", "")),
            each.get("value"),
            weight,
            round(abs(weight) / greatest * 100),
        )
        for each, weight in weighed
    ]
    return sorted(reasons, key=lambda reason: -abs(reason.weight))


def impact_of(impact: dict[str, Any] | None) -> list[Impact]:
    """List what applying it is expected to bring; what nobody estimated is left out."""
    known = impact or {}
    currency = known.get("currency")
    return [
        Impact(name, value, currency if name in _AMOUNTS else None)
        for name, value in known.items()
        if value is not None and name != "currency"
    ]
