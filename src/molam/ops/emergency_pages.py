"""Deciding alone in an emergency, and looking at it afterwards."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import aftermath, execution
from molam.approvals.model import REASON_LENGTH_MIN, ActionAbsent
from molam.kernel.refusals import Refusal
from molam.ops import permissions
from molam.ops.action_pages import (
    Decision,
    as_typed,
    back,
    detail_for,
    id_of,
    show,
    show_refused,
)
from molam.ops.propose_pages import actor_of
from molam.ops.shell import said
from molam.platform.web import Caller, Routes

routes = Routes()

_PANEL = "glass"


@routes.post(
    "/ops/actions/{id:uuid}/break-glass",
    needs=permissions.BREAK_GLASS,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def break_glass(request: Request, caller: Caller, form: Decision) -> Response:
    """Approve without votes and carry out at once; everybody hears of it."""
    detail = await detail_for(request, caller)
    if form.view_hash != detail.view_hash:
        return await show(request, caller, message=said("stale-view"), seen=form.seen)
    if len(form.comment.strip()) < REASON_LENGTH_MIN:
        return await show(request, caller, message=said("reason-short"), panel=_PANEL)
    if detail.typed and as_typed(form.confirmation) not in detail.typed.accepted:
        return await show(request, caller, message=said("confirmation-wrong"), panel=_PANEL)
    runtime, actor = request.app.state.runtime, actor_of(caller)
    try:
        await aftermath.break_glass(runtime.db, id_of(request), actor, reason=form.comment)
        done = await execution.execute(runtime, id_of(request), actor)
    except Refusal as refusal:
        return await show_refused(request, caller, form, refusal, panel=_PANEL)
    words = {
        "executed": "emergency-executed",
        "verified": "emergency-executed",
        "execution_unknown": "outcome-unknown",
    }
    return back(request, words.get(done.state, "failed"))


@routes.post(
    "/ops/actions/{id:uuid}/review",
    needs=permissions.REVIEW,
    page=True,
    form=True,
    body=Decision,
    refuses=(ActionAbsent,),
)
async def review(request: Request, caller: Caller, form: Decision) -> Response:
    """Write down what somebody else found when they looked at an emergency use."""
    try:
        await aftermath.review(
            request.app.state.db, id_of(request), actor_of(caller), text=form.comment
        )
    except Refusal as refusal:
        return await show_refused(request, caller, form, refusal, panel="review")
    return back(request, "reviewed")
