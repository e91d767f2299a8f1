"""The API of payouts that banks are asked to give back, and of shifts that go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.lifecycle import OPEN, State, TransitionRefused
from molam.approvals.model import ActionExpired, NotEligible, Unsatisfiable
from molam.approvals.requests import actor_of
from molam.approvals.store import ActionRow
from molam.kernel.clock import Instant
from molam.mesh import permissions
from molam.mesh.control import model, recalling, resuming, views
from molam.mesh.routing.model import ProposalAbsent, ProposalExpired, ProposalNotInState
from molam.mesh.routing.views import proposal_view
from molam.payments.payouts import recall_store
from molam.payments.payouts.recall_actions import RecallPayouts
from molam.payments.payouts.recall_model import NothingToRecall
from molam.platform.actions import ParamsRefused
from molam.platform.web import Caller, CursorRefused, Routes

routes = Routes()

_END = datetime(9999, 1, 1, tzinfo=UTC)
_LAST = UUID(int=2**128 - 1)
_VOTES = (NotEligible, ActionExpired, TransitionRefused, Unsatisfiable)


class Position(msgspec.Struct, frozen=True, array_like=True):
    at: datetime
    id: UUID


class RecallsQuery(msgspec.Struct, forbid_unknown_fields=True):
    proposal_id: Annotated[str, Meta(max_length=255)] | None = None
    payout_id: Annotated[str, Meta(max_length=255)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class RecallView(msgspec.Struct):
    """A request to a bank; *status* says what it answered, and whether the money came."""

    id: str
    payout_id: str
    merchant_id: str
    bank_profile_id: str
    amount: int
    currency: str
    reason_code: str
    reason: str | None
    status: str
    answer_code: str | None
    answer_reason: str | None
    proposal_id: str | None
    action_id: str
    requested_by: str
    requested_at: Instant
    sent_at: Instant | None
    answered_at: Instant | None
    ended_at: Instant | None


class RecallsAnswer(msgspec.Struct):
    ok: bool
    recalls: list[RecallView]
    has_more: bool
    next_cursor: str | None


class RecallAnswer(msgspec.Struct):
    """*message* says whether banks are being asked, or what that waits for."""

    ok: bool
    message: str
    action_id: str
    status: str
    votes: int


@routes.post(
    "/api/mesh/recalls",
    needs=permissions.ROLL_BACK,
    body=RecallPayouts,
    answers=RecallAnswer,
    also=(202,),
    refuses=(NothingToRecall, ProposalAbsent, ParamsRefused, *_VOTES),
)
async def recall(request: Request, caller: Caller, body: RecallPayouts) -> Response:
    """
    Ask for payouts back; the same request by a second person is the second vote.

    One of the treasury and one of operations must agree. 200: the banks are being asked.
    202: the other is still to agree.
    """
    done = await recalling.recall(request.app.state.mesh, body, actor_of(caller))
    said = "the banks are being asked" if done.is_done else _still(done.action)
    row = done.action
    answer = RecallAnswer(True, said, str(row.id), row.status, row.votes_approve)
    return _json(answer, is_done=done.is_done)


@routes.get(
    "/api/mesh/recalls",
    needs=permissions.VIEW,
    query=RecallsQuery,
    answers=RecallsAnswer,
    refuses=(CursorRefused,),
)
async def list_recalls(request: Request, _caller: Caller, query: RecallsQuery) -> RecallsAnswer:
    """List what was asked of banks, the newest first."""
    state, scope = request.app.state, ["recalls", query.proposal_id, query.payout_id]
    begins = Position(_END, _LAST)
    if query.cursor is not None:
        begins = state.mesh_cursors.open(query.cursor, Position, filters=scope)
    rows = await state.db.read(
        recall_store.LIST_SHOWN,
        proposal_id=query.proposal_id,
        payout_id=query.payout_id,
        at=begins.at,
        id=begins.id,
        limit=query.limit + 1,
    )
    shown, cursor = rows[: query.limit], None
    if len(rows) > query.limit:
        last = Position(shown[-1].requested_at, shown[-1].id)
        cursor = state.mesh_cursors.seal(last, filters=scope)
    return RecallsAnswer(
        ok=True,
        recalls=[_view(row) for row in shown],
        has_more=cursor is not None,
        next_cursor=cursor,
    )


@routes.post(
    "/api/mesh/proposals/{id}/resume",
    needs=permissions.VOTE,
    body=views.RollbackRequest,
    answers=views.DecisionAnswer,
    also=(202,),
    refuses=(ProposalAbsent, ProposalNotInState, ProposalExpired, model.MissingReason, *_VOTES),
)
async def resume(request: Request, caller: Caller, body: views.RollbackRequest) -> Response:
    """
    Vote for letting a halted shift go on; the second person's vote lets it.

    200: its step begins anew, and the controller takes the next ones. 202: one more is needed.
    """
    done = await resuming.resume(
        request.app.state.mesh, request.path_params["id"], actor_of(caller), reason=body.reason
    )
    goes_on = resuming.is_resumed(done.action)
    still = "one more approval is needed" if done.action is None else _still(done.action)
    said = "the shift goes on" if goes_on else still
    answer = views.DecisionAnswer(ok=True, message=said, proposal=proposal_view(done.row))
    return _json(answer, is_done=goes_on)


def _still(action: ActionRow) -> str:
    if State(action.state) in OPEN:
        return "one more approval is needed"
    return "it is agreed, and about to be carried out"


def _view(row: recall_store.ShownRow) -> RecallView:
    return RecallView(
        id=str(row.id),
        payout_id=row.payout_id,
        merchant_id=row.merchant_id,
        bank_profile_id=row.bank_profile_id,
        amount=row.amount,
        currency=row.currency,
        reason_code=row.reason_code,
        reason=row.reason,
        status=row.state,
        answer_code=row.answer_code,
        answer_reason=row.answer_reason,
        proposal_id=row.proposal_id,
        action_id=row.action_id,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        sent_at=row.sent_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
    )


def _json(answer: msgspec.Struct, *, is_done: bool) -> Response:
    return Response(
        msgspec.json.encode(answer),
        status_code=200 if is_done else 202,
        media_type="application/json",
    )
