"""The forms of a proposal's page: trying it out, agreeing to it, refusing it, taking it back."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.model import REASON_LENGTH_MIN, VoteRequest
from molam.kernel.refusals import Refusal
from molam.mesh import permissions
from molam.mesh.control import commands, resuming
from molam.mesh.room.ballots import actor_of
from molam.mesh.room.proposal_pages import read_page, show
from molam.mesh.room.saying import refused_as, said_as, sign_in_again, to
from molam.mesh.routing import commands as routing
from molam.mesh.routing.model import ProposalAbsent
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.web import Caller, Routes

routes = Routes()


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A form with nothing to fill in."""


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    confirmation: Annotated[str, Meta(max_length=140)] = ""
    comment: Annotated[str, Meta(max_length=500)] = ""


class Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=500)] = ""


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=500)] = ""
    confirmation: Annotated[str, Meta(max_length=140)] = ""


@routes.post(
    "/proposals/{id}/simulate",
    needs=permissions.SIMULATE,
    page=True,
    form=True,
    body=Trial,
    refuses=(ProposalAbsent,),
)
async def simulate(request: Request, caller: Caller, _form: Trial) -> Response:
    """Try the route out on the payouts that wait; nothing is moved."""
    state = request.app.state
    try:
        async with state.db.transaction("mesh.simulate") as tx:
            await routing.simulate(tx, state.mesh, request.path_params["id"])
    except ProposalAbsent:
        raise
    except Refusal as refusal:
        return await show(request, caller, said=refused_as(request, caller, refusal))
    return to(_page(request), "simulated")


@routes.post(
    "/proposals/{id}/approve",
    needs=permissions.VOTE,
    page=True,
    form=True,
    body=Agreement,
    refuses=(ProposalAbsent,),
)
async def approve(request: Request, caller: Caller, form: Agreement) -> Response:
    """Record the caller's approval; the one that suffices applies the route at once."""
    page = await read_page(request, caller)
    if not _same(form.confirmation, page.typed, page.row.to_bank_id):
        wrong = said_as("confirmation-wrong")
        return await show(request, caller, said=wrong, panel="approve", reason=form.comment)
    wish = VoteRequest(vote="approve", comment=form.comment.strip() or None)
    try:
        decided = await commands.approve(
            request.app.state.mesh, page.row.id, actor_of(caller), wish
        )
    except Refusal as refusal:
        return await _refused(request, caller, refusal, panel="approve", reason=form.comment)
    return to(_page(request), "approved" if decided.applied is None else "applied")


@routes.post(
    "/proposals/{id}/reject",
    needs=permissions.VOTE,
    page=True,
    form=True,
    body=Rejection,
    refuses=(ProposalAbsent,),
)
async def reject(request: Request, caller: Caller, form: Rejection) -> Response:
    """End the proposal; nothing is moved."""
    if len(form.reason.strip()) < REASON_LENGTH_MIN:
        short = said_as("reason-short")
        return await show(request, caller, said=short, panel="reject", reason=form.reason)
    try:
        await commands.reject(
            request.app.state.mesh,
            request.path_params["id"],
            actor_of(caller),
            reason=form.reason.strip(),
        )
    except Refusal as refusal:
        return await _refused(request, caller, refusal, panel="reject", reason=form.reason)
    return to(_page(request), "rejected")


@routes.post(
    "/proposals/{id}/rollback",
    needs=permissions.ROLL_BACK,
    page=True,
    form=True,
    body=Rollback,
    refuses=(ProposalAbsent,),
)
async def roll_back(request: Request, caller: Caller, form: Rollback) -> Response:
    """Ask for the route to be taken back; the second person's wish does it at once."""
    if len(form.reason.strip()) < REASON_LENGTH_MIN:
        short = said_as("reason-short")
        return await show(request, caller, said=short, panel="rollback", reason=form.reason)
    page = await read_page(request, caller)
    if not _same(form.confirmation, page.typed_undo, page.row.from_bank_id):
        wrong = said_as("confirmation-wrong")
        return await show(request, caller, said=wrong, panel="rollback", reason=form.reason)
    try:
        decided = await commands.roll_back(
            request.app.state.mesh, page.row.id, actor_of(caller), reason=form.reason.strip()
        )
    except Refusal as refusal:
        return await _refused(request, caller, refusal, panel="rollback", reason=form.reason)
    done = decided.rolled_back is not None
    return to(_page(request), "rolled-back" if done else "rollback-asked")


@routes.post(
    "/proposals/{id}/resume",
    needs=permissions.VOTE,
    page=True,
    form=True,
    body=Rejection,
    refuses=(ProposalAbsent,),
)
async def resume(request: Request, caller: Caller, form: Rejection) -> Response:
    """Ask for a halted shift to go on; the second person's wish lets it."""
    if len(form.reason.strip()) < REASON_LENGTH_MIN:
        short = said_as("reason-short")
        return await show(request, caller, said=short, panel="resume", reason=form.reason)
    try:
        decided = await resuming.resume(
            request.app.state.mesh,
            request.path_params["id"],
            actor_of(caller),
            reason=form.reason.strip(),
        )
    except Refusal as refusal:
        return await _refused(request, caller, refusal, panel="resume", reason=form.reason)
    goes_on = resuming.is_resumed(decided.action)
    return to(_page(request), "resumed" if goes_on else "resume-asked")


async def _refused(
    request: Request, caller: Caller, refusal: Refusal, *, panel: str, reason: str
) -> Response:
    """Show the page again with why nothing was done; or ask for a fresh proof of identity."""
    if isinstance(refusal, StepUpRequired):
        return sign_in_again(_page(request), refusal)
    if isinstance(refusal, ProposalAbsent):
        raise refusal
    said = refused_as(request, caller, refusal)
    return await show(request, caller, said=said, panel=panel, reason=reason)


def _page(request: Request) -> str:
    return f"/proposals/{quote(request.path_params['id'], safe='')}"


def _same(typed: str, *accepted: str | None) -> bool:
    """Compare as people type: spaces, points and capitals do not matter."""
    return _loose(typed) in {_loose(each) for each in accepted if each}


def _loose(text: str) -> str:
    return "".join(char for char in text.casefold() if char not in " .,\u00a0\u202f")
