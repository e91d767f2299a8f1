"""One line of a statement, and the queue of those that nothing answers for."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Refusal
from molam.ops import permissions
from molam.ops.propose_pages import Refused
from molam.ops.shell import framed, may, said
from molam.ops.statement_parts import shown, to, unprocessable
from molam.payments.statements import matching, model, queries
from molam.payments.statements.endpoints import MATCH_REFUSALS
from molam.payments.statements.matching import ByHand
from molam.payments.statements.permissions import RECONCILE, VIEW
from molam.payments.statements.queries import OpenLine
from molam.payments.statements.words import of_open
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of

routes = Routes()

_SHOWN_MAX = 25
_LINE = "/ops/statements/{id:uuid}/lines/{line_no:int}"

Reason = Annotated[str, Meta(max_length=model.REASON_LENGTH_MAX)]


class LineQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class QueueQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank: Annotated[str, Meta(max_length=64)] | None = None
    after_day: date | None = None
    after_id: Annotated[int, Meta(ge=0, le=2**53)] = 0


class Matched(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*kind* is ``none`` for a line that is written off."""

    kind: Literal["payout", "refund", "collection", "none"]
    object_id: Annotated[str, Meta(max_length=511)] = ""
    force: Literal["yes", "no"] = "no"
    reason: Reason = ""


class Undone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Reason = ""


@routes.get("/ops/exceptions", needs=VIEW, page=True, query=QueueQuery)
async def show_exceptions(request: Request, caller: Caller, query: QueueQuery) -> Response:
    """Show the lines that nothing of ours answers for, the oldest first."""
    db = request.app.state.db
    after = None if query.after_day is None else (query.after_day, query.after_id)
    found = await queries.open_lines(
        db, bank_profile_id=query.bank or None, after=after, limit=_SHOWN_MAX
    )
    language = language_of(request, caller)
    banks = await queries.banks(db)
    return await framed(
        request,
        caller,
        "statement_exceptions.html",
        place="exceptions",
        found=[(each, of_open(each.line.state, each.line.mismatch, language)) for each in found],
        banks=banks,
        names={each.id: each.name for each in banks},
        bank=query.bank,
        older=_older(found, query.bank),
    )


@routes.get(_LINE, needs=VIEW, page=True, query=LineQuery, refuses=(model.LineAbsent,))
async def show_line(request: Request, caller: Caller, query: LineQuery) -> Response:
    """Show a line: what it is and why, or what it might be."""
    return await _page(request, caller, code=query.said)


@routes.post(
    f"{_LINE}/match",
    needs=RECONCILE,
    page=True,
    form=True,
    body=Matched,
    refuses=MATCH_REFUSALS,
)
async def match_line(request: Request, caller: Caller, form: Matched) -> Response:
    """Match the line with what somebody chose, or write it off."""
    try:
        await matching.match(
            request.app.state.db,
            ByHand(
                statement_id=_id(request),
                line_no=_line_no(request),
                kind=None if form.kind == "none" else form.kind,
                object_id=form.object_id or None,
                reason=form.reason,
                by=caller.subject,
                forces=form.force == "yes",
            ),
        )
    except Refusal as refusal:
        problem = shown(request, caller, refusal)
        ask = _propose(request, form) if isinstance(refusal, model.ForceNeedsApproval) else None
        return unprocessable(await _page(request, caller, refused=problem, ask=ask))
    return to(_path(request), "line-matched")


@routes.post(
    f"{_LINE}/undo",
    needs=RECONCILE,
    page=True,
    form=True,
    body=Undone,
    refuses=(model.LineAbsent, model.LineNotOpen, model.DayClosed, model.ReasonMissing),
)
async def undo_match(request: Request, caller: Caller, form: Undone) -> Response:
    """Take a match back."""
    try:
        await matching.undo(
            request.app.state.db,
            _id(request),
            _line_no(request),
            reason=form.reason,
            by=caller.subject,
        )
    except Refusal as refusal:
        return unprocessable(await _page(request, caller, refused=shown(request, caller, refusal)))
    return to(_path(request), "line-unmatched")


async def _page(
    request: Request,
    caller: Caller,
    *,
    code: str | None = None,
    refused: Refused | None = None,
    ask: str | None = None,
) -> Response:
    db = request.app.state.db
    found = await queries.line(db, _id(request), _line_no(request))
    language = language_of(request, caller)
    line = found.line
    explained = (line.explanation or {}).get(language)
    return await framed(
        request,
        caller,
        "statement_line.html",
        place="statements",
        row=await queries.statement(db, line.statement_id),
        line=line,
        candidates=found.candidates,
        why=explained or of_open(line.state, line.mismatch, language),
        path=_path(request),
        limit=model.force_limit(line.currency),
        reconciles=may(caller, RECONCILE),
        proposes=may(caller, permissions.PROPOSE),
        said=said(code),
        refused=refused,
        ask=ask,
    )


def _propose(request: Request, form: Matched) -> str:
    """Where others are asked to agree to what one person may not force."""
    given = {"batch_id": str(_id(request)), "line_no": str(_line_no(request))}
    if form.kind != "none":
        given |= {"object_kind": form.kind, "object_id": form.object_id}
    if form.reason:
        given["reason"] = form.reason
    return f"/ops/propose/FORCE_RECONCILE?{urlencode(given)}"


def _older(found: list[OpenLine], bank: str | None) -> str | None:
    if len(found) < _SHOWN_MAX:
        return None
    last = found[-1].line
    given = {"after_day": last.booked_on.isoformat(), "after_id": str(last.id)}
    if bank:
        given["bank"] = bank
    return f"/ops/exceptions?{urlencode(given)}"


def _path(request: Request) -> str:
    return f"/ops/statements/{_id(request)}/lines/{_line_no(request)}"


def _id(request: Request) -> UUID:
    id_: UUID = request.path_params["id"]
    return id_


def _line_no(request: Request) -> int:
    number: int = request.path_params["line_no"]
    return min(number, model.LINES_MAX + 1)
