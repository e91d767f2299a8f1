"""The page of one action, and the forms that decide it."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.approvals import aftermath, commands, execution, passkeys, voting
from molam.approvals.model import (
    REASON_LENGTH_MIN,
    ActionAbsent,
    ConfirmationRequired,
    ReasonRequired,
    StaleView,
    VoteRequest,
)
from molam.approvals.passkey_votes import proved_actor
from molam.approvals.passkey_wire import read_assertion
from molam.kernel.refusals import Kind, Refusal
from molam.ops import permissions
from molam.ops.detail import Detail, compare, detail_of
from molam.ops.emergencies import emergency_of
from molam.ops.evidence import advised_of, reasons_given, weighed_of
from molam.ops.propose_pages import actor_of
from molam.ops.shell import Said, framed, said
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, StepUpRequired
from molam.platform.auth.tokens import AAL2
from molam.platform.web import Caller, Routes, catalogue
from molam.platform.web.templating import language_of

routes = Routes()

Word = Annotated[str, Meta(max_length=32)]
_SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.FORBIDDEN, Kind.BROKEN_RULE, Kind.MALFORMED})


class ActionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Word | None = None
    live: Literal["0"] | None = None


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every form of the page sends: what was shown, and what the person wrote."""

    view_hash: Annotated[str, Meta(max_length=64)]
    intent_hash: Annotated[str, Meta(max_length=64)]
    seen: Annotated[str, Meta(max_length=32_768)] = ""
    form_id: Annotated[str, Meta(max_length=64)] = ""
    vote: Literal["approve", "reject", "abstain"] | None = None
    comment: Annotated[str, Meta(max_length=4000)] = ""
    confirmation: Annotated[str, Meta(max_length=64)] = ""
    read: Literal["yes"] | None = None
    outcome: Literal["executed", "failed"] | None = None
    passkey: Annotated[str, Meta(max_length=32_768)] = ""
    """What the page's script fills in: an answer that confirms this very vote."""


@routes.get(
    "/ops/actions/{id:uuid}",
    needs=permissions.USE_CONSOLE,
    page=True,
    query=ActionQuery,
    refuses=(ActionAbsent,),
)
async def action(request: Request, caller: Caller, query: ActionQuery) -> Response:
    """Show what would happen, who must agree, and what was said and done so far."""
    return await show(request, caller, live=query.live is None, message=said(query.said))


@routes.post(
    "/ops/actions/{id:uuid}/vote",
    needs=permissions.USE_CONSOLE,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def vote(request: Request, caller: Caller, form: Decision) -> Response:
    """Record the caller's vote, and decide the action if that decides it."""
    if form.vote is None:
        return await show(request, caller, message=Said("form-refused", "orange"))
    if form.vote == "approve" and form.read is None:
        detail = await detail_for(request, caller)
        if detail.friction:
            return await show(request, caller, message=said("read-first"), panel="approve")
    return await _decided(request, caller, form, form.vote)


@routes.post(
    "/ops/actions/{id:uuid}/withdraw",
    needs=permissions.USE_CONSOLE,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def withdraw(request: Request, caller: Caller, form: Decision) -> Response:
    """Take the caller's vote back."""
    return await _decided(request, caller, form, "withdrawn")


async def _decided(
    request: Request,
    caller: Caller,
    form: Decision,
    word: Literal["approve", "reject", "abstain", "withdrawn"],
) -> Response:
    state, runtime = request.app.state, request.app.state.runtime
    asked = VoteRequest(
        vote=word,
        comment=form.comment.strip() or None,
        client_vote_id=f"{form.form_id}/{word}" if form.form_id else None,
        intent_hash=form.intent_hash,
        view_hash=form.view_hash,
        confirmation=as_typed(form.confirmation),
    )
    try:
        actor = await proved_actor(
            runtime.db,
            state.passkeys,
            actor_of(caller),
            id_of(request),
            asked=asked,
            passkey=read_assertion(form.passkey) if form.passkey else None,
        )
        await voting.vote(runtime, id_of(request), asked, actor)
    except Refusal as refusal:
        return await show_refused(request, caller, form, refusal, panel=word)
    return back(request, word if word == "withdrawn" else f"voted-{word}")


@routes.post(
    "/ops/actions/{id:uuid}/comment",
    needs=permissions.USE_CONSOLE,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def comment(request: Request, caller: Caller, form: Decision) -> Response:
    """Say something about the action; anybody who may see it may."""
    try:
        await voting.comment(
            request.app.state.db, id_of(request), actor_of(caller), text=form.comment
        )
    except Refusal as refusal:
        return await show_refused(request, caller, form, refusal, panel="comment")
    return back(request, "commented")


@routes.post(
    "/ops/actions/{id:uuid}/execute",
    needs=permissions.USE_CONSOLE,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def execute(request: Request, caller: Caller, form: Decision) -> Response:
    """Carry out what was approved, or try again what failed."""
    detail = await detail_for(request, caller)
    if detail.can["execute"] is not None:
        # The button of an older page: the engine would say the same, without our words.
        message = Said(detail.can["execute"], "orange")
        return await show(request, caller, message=message)
    typed = as_typed(form.confirmation)
    if detail.line.state != "failed" and detail.typed and typed not in detail.typed.accepted:
        return await show(request, caller, message=said("confirmation-wrong"), panel="execute")
    try:
        done = await execution.execute(request.app.state.runtime, id_of(request), actor_of(caller))
    except Refusal as refusal:
        return await show_refused(request, caller, form, refusal, panel="execute")
    words = {"executed": "executed", "verified": "executed", "execution_unknown": "outcome-unknown"}
    return back(request, words.get(done.state, "failed"))


@routes.post(
    "/ops/actions/{id:uuid}/cancel",
    needs=permissions.USE_CONSOLE,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def cancel(request: Request, caller: Caller, form: Decision) -> Response:
    """End the action before anything happens."""
    if len(form.comment.strip()) < REASON_LENGTH_MIN:
        return await show(request, caller, message=said("reason-short"), panel="cancel")
    try:
        await commands.cancel(
            request.app.state.db, id_of(request), actor_of(caller), reason=form.comment.strip()
        )
    except Refusal as refusal:
        return await show_refused(request, caller, form, refusal, panel="cancel")
    return back(request, "cancelled")


@routes.post(
    "/ops/actions/{id:uuid}/reconcile",
    needs=permissions.USE_CONSOLE,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def reconcile(request: Request, caller: Caller, form: Decision) -> Response:
    """Say whether an execution whose answer was lost had its effect."""
    if form.outcome is None:
        return await show(request, caller, message=Said("form-refused", "orange"))
    try:
        await aftermath.reconcile(
            request.app.state.db,
            id_of(request),
            actor_of(caller),
            executed=form.outcome == "executed",
            evidence=form.comment,
        )
    except Refusal as refusal:
        return await show_refused(request, caller, form, refusal, panel="reconcile")
    return back(request, "reported")


@routes.post(
    "/ops/actions/{id:uuid}/compensate",
    needs=permissions.PROPOSE,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def compensate(request: Request, caller: Caller, form: Decision) -> Response:
    """Ask for the action that undoes this one; it has votes of its own."""
    try:
        created = await aftermath.compensate(
            request.app.state.runtime, id_of(request), actor_of(caller), reason=form.comment
        )
    except Refusal as refusal:
        return await show_refused(request, caller, form, refusal, panel="compensate")
    return RedirectResponse(
        f"/ops/actions/{created.row.id}?said=created", status_code=HTTPStatus.SEE_OTHER
    )


def id_of(request: Request) -> UUID:
    """Return the id of what the page is about."""
    found: UUID = request.path_params["id"]
    return found


def back(request: Request, code: str) -> Response:
    """Lead back to the action's page, which then says what was done."""
    # No language of the page is lost, and a reload repeats nothing.
    return RedirectResponse(
        f"/ops/actions/{id_of(request)}?said={code}", status_code=HTTPStatus.SEE_OTHER
    )


def _sign_in(request: Request, **asked: object) -> str:
    """Where to prove once more who one is, and come back to this page."""
    following = f"/ops/actions/{id_of(request)}?said=confirm-again"
    return "/sign-in?" + urlencode({"next": following, **asked})


def as_typed(text: str) -> str:
    """Read a confirmation as people type one: ``1 000 000`` is 1000000."""
    bare = "".join(char for char in text if char not in " .,\u00a0\u202f")
    return bare if bare.isdigit() else text.strip()


async def detail_for(request: Request, caller: Caller) -> Detail:
    """Read the page's action for its reader."""
    return await detail_of(
        request.app.state,
        id_of(request),
        caller,
        actor=actor_of(caller),
        language=language_of(request, caller),
    )


async def show(
    request: Request,
    caller: Caller,
    *,
    live: bool = True,
    message: Said | None = None,
    panel: str | None = None,
    seen: str | None = None,
) -> Response:
    """Show the page; *panel* is the form that is open, *seen* what an older page had shown."""
    detail = await detail_for(request, caller)
    db, id_ = request.app.state.db, detail.line.id
    step_up, has_passkey = None, False
    if detail.step_up_s is not None:
        has_passkey = bool(await passkeys.listed(db, caller.subject))
        step_up = _sign_in(request, acr_values=AAL2, max_age=detail.step_up_s)
    proof = _sign_in(request, acr_values=AAL2, max_age=STEP_UP_MAX_AGE_S)
    weighed = await weighed_of(db, detail.line, caller, language=language_of(request, caller))
    advised = None if weighed is not None else advised_of(detail.context)
    response = await framed(
        request,
        caller,
        "action.html",
        place="queue" if detail.line.is_open else "actions",
        live=live,
        said=message,
        page=detail,
        form_id=secrets.token_urlsafe(12),
        open_panel=panel,
        differences=[] if seen is None else compare(seen, detail),
        step_up=step_up,
        glass_step_up=None if detail.is_proved else proof,
        has_passkey=has_passkey,
        emergency=await emergency_of(db, id_, caller),
        weighed=weighed,
        advised=advised,
        given=reasons_given(detail.context, weighed, advised),
    )
    if message is not None and message.hue != "green" and request.method == "POST":
        response.status_code = HTTPStatus.CONFLICT
    return response


async def show_refused(
    request: Request, caller: Caller, form: Decision, refusal: Refusal, *, panel: str
) -> Response:
    """Show the page again with why nothing was recorded; or ask for a fresh proof of identity."""
    match refusal:
        case StepUpRequired():
            asked = {key: str(refusal.facts[key]) for key in ("acr_values", "max_age")}
            address = _sign_in(request, **asked)
            return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
        case StaleView():
            return await show(request, caller, message=said("stale-view"), seen=form.seen)
        case ReasonRequired():
            return await show(request, caller, message=said("reason-short"), panel=panel)
        case ConfirmationRequired():
            return await show(request, caller, message=said("confirmation-wrong"), panel=panel)
    if refusal.kind not in _SHOWN_ON_PAGE:
        raise refusal
    language = language_of(request, caller)
    name = catalogue.sentence(refusal.code, fallback=refusal.title, locale=language)
    detail = refusal.detail if language == "en" else ""
    return await show(request, caller, message=Said(refusal.code, "orange", name, detail))
