"""The page about payouts that banks were asked to give back, and what became of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Kind, Refusal
from molam.mesh import permissions
from molam.mesh.control import recalling
from molam.mesh.room import frame, payout_store
from molam.mesh.room.ballots import actor_of, ballot_of
from molam.mesh.room.saying import refused_as, said_as, sign_in_again, to
from molam.payments.payouts import recall_store
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said
from molam.platform.web.templating import language_of

routes = Routes()

_PAGE_ROWS = 30
_ASKS_MAX = 10
_END = datetime(9999, 1, 1, tzinfo=UTC)
_LAST = UUID(int=2**128 - 1)


class RecallAbsent(Refusal):
    code = "recall-absent"
    kind = Kind.ABSENT
    title = "Nobody asked for this recall"


class RecallsShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    proposal: Annotated[str, Meta(max_length=255)] = ""
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    said: Annotated[str, Meta(max_length=32)] | None = None


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Position(msgspec.Struct, frozen=True, array_like=True):
    at: datetime
    id: UUID


@routes.get("/recalls", needs=permissions.USE_ROOM, page=True, query=RecallsShown)
async def listed(request: Request, caller: Caller, query: RecallsShown) -> Response:
    """Show what was asked of banks, what they answered, and what came back."""
    return await _page(request, caller, query, said=said_as(query.said))


@routes.post(
    "/recalls/{id}/approve",
    needs=permissions.ROLL_BACK,
    page=True,
    form=True,
    body=NoFields,
    refuses=(RecallAbsent,),
)
async def approve(request: Request, caller: Caller, _form: NoFields) -> Response:
    """Agree to a recall that somebody asked for; the last vote that is needed has banks asked."""
    state = request.app.state
    asks = await state.db.read(payout_store.LIST_ASKS, limit=_ASKS_MAX)
    wanted = next((each for each in asks if each.id == request.path_params["id"]), None)
    if wanted is None:
        raise RecallAbsent("It was decided, or its time is over.")
    try:
        done = await recalling.agree(state.mesh, UUID(wanted.id), actor_of(caller))
    except StepUpRequired as refusal:
        return sign_in_again("/recalls", refusal)
    except Refusal as refusal:
        said = refused_as(request, caller, refusal)
        return await _page(request, caller, RecallsShown(), said=said)
    return to("/recalls", "recalled" if done.is_done else "recall-asked")


async def _page(
    request: Request, caller: Caller, query: RecallsShown, *, said: Said | None
) -> Response:
    state, filters = request.app.state, ["recalls", query.proposal]
    begins = Position(_END, _LAST)
    if query.cursor is not None:
        begins = state.mesh_cursors.open(query.cursor, Position, filters=filters)
    rows = await state.db.read(
        recall_store.LIST_SHOWN,
        proposal_id=query.proposal or None,
        payout_id=None,
        at=begins.at,
        id=begins.id,
        limit=_PAGE_ROWS + 1,
    )
    shown, older = rows[:_PAGE_ROWS], None
    chosen = {"proposal": query.proposal} if query.proposal else {}
    if len(rows) > _PAGE_ROWS:
        last = shown[-1]
        sealed = state.mesh_cursors.seal(Position(last.requested_at, last.id), filters=filters)
        older = "/recalls?" + urlencode(chosen | {"cursor": sealed})
    asks = await state.db.read(payout_store.LIST_ASKS, limit=_ASKS_MAX)
    language = language_of(request, caller)
    response = await frame.page(
        request,
        caller,
        "recalls.html",
        place="payouts",
        rows=shown,
        asks=[
            (each, await ballot_of(state.runtime, each.id, caller, locale=language))
            for each in asks
        ],
        asked=query,
        older=older,
        first=None if query.cursor is None else "/recalls?" + urlencode(chosen),
        acts=frame.may(caller, permissions.ROLL_BACK),
        said=said,
    )
    if said is not None and said.hue != "green":
        response.status_code = 409
    return response
