"""The page a link opens: it shows what will be decided, and only its button decides."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.approvals.model import NotEligible, ReasonRequired, StaleView
from molam.approvals.risk import decisions, model
from molam.approvals.risk import links as risk_links
from molam.approvals.risk import queries as risk_queries
from molam.approvals.risk.commands import Desk
from molam.kernel.shown import plain
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.web import PUBLIC, Caller, Routes, csrf
from molam.platform.web.limits import Limiter, TooManyAttempts
from molam.platform.web.templating import Templates, language_of
from molam.sira.scoring import Contribution, explain

routes = Routes()
TEMPLATES = Templates(
    "molam.approvals",
    filters={"tame": lambda text: plain(str(text))},
)

_deciding = Limiter(burst=10, per_minute=10)


class LinkQuery(msgspec.Struct, forbid_unknown_fields=True):
    token: Annotated[str, Meta(max_length=1024)] | None = None


class DecideForm(msgspec.Struct, forbid_unknown_fields=True):
    view_hash: Annotated[str, Meta(min_length=64, max_length=64)]
    """What the page showed. It is no secret, but nobody has it who has not opened the page."""
    token: Annotated[str, Meta(max_length=1024)] | None = None
    comment: Annotated[str, Meta(max_length=2000)] | None = None


@routes.get(
    risk_links.PATH,
    needs=PUBLIC,
    page=True,
    query=LinkQuery,
    refuses=(risk_links.MissingToken, risk_links.TokenNotFound),
)
async def show(request: Request, caller: Caller, query: LinkQuery) -> Response:
    """Show what a link decides. Looking changes nothing, whoever or whatever looks."""
    language = language_of(request, caller)
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    view = await risk_queries.view_of_link(desk, query.token, locale=language)
    votes = await risk_queries.votes_of(desk.runtime.db, view.row.id)
    row = view.row
    found = tuple(msgspec.convert(each, Contribution) for each in row.sira_contributions)
    answer = TEMPLATES.page(
        request,
        caller,
        "approval_link.html",
        approval=row,
        action=view.action,
        token=view.token,
        title=view.action.plan["title"][language],
        changes=_changes(view.action.plan),
        amount=view.action.plan["amount"],
        is_enough=view.is_enough,
        page=risk_links.page_of(view.action.id),
        reason=explain(row.sira_score or 0, found, language),
        links=view.links,
        view_hash=view.view_hash,
        done=next((v.decision for v in votes if v.approver_id == view.token.approver_id), None),
        csrf=caller.csrf or "",
    )
    # The address is as good as a signature until it is used.
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


@routes.post(
    risk_links.PATH,
    needs=PUBLIC,
    page=True,
    form=True,
    body=DecideForm,
    refuses=(
        risk_links.MissingToken,
        risk_links.TokenNotFound,
        risk_links.TokenUsed,
        risk_links.TokenExpired,
        model.ApprovalNotFound,
        model.ApprovalDecided,
        model.ApprovalExpired,
        model.AlreadyVoted,
        model.EvidenceRequired,
        NotEligible,
        ReasonRequired,
        StaleView,
        csrf.CrossSiteRefused,
        TooManyAttempts,
    ),
)
async def decide(request: Request, caller: Caller, form: DecideForm) -> Response:
    """Take the decision of the form's link, from the page that showed what it decides."""
    _deciding.take(caller.ip)
    csrf.check_origin(request, public_origin=request.app.state.public_origin)
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    decided = decisions.Decided(
        comment=form.comment,
        view_hash=form.view_hash,
        ip=caller.ip,
        user_agent=caller.user_agent,
    )
    try:
        await decisions.consume(desk, form.token, decided)
    except StepUpRequired as refusal:
        return RedirectResponse(str(refusal.facts["page"]), status_code=HTTPStatus.SEE_OTHER)
    assert form.token is not None
    return RedirectResponse(
        f"{risk_links.PATH}?{urlencode({'token': form.token})}", status_code=HTTPStatus.SEE_OTHER
    )


def _changes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """List what is asked for, without the amount where it stands above as money."""
    above = {"amount", "currency"} if plan["amount"] else set()
    return [each for each in plan["changes"] if each["what"] not in above]
