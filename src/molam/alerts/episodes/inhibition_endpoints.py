"""Which alerts quiet others, under /api/alerts/inhibitions."""

from __future__ import annotations

from uuid import UUID

import msgspec
from starlette.requests import Request

from molam.alerts.episodes import inhibiting, queries, views
from molam.alerts.episodes.inhibiting import InhibitionChange
from molam.alerts.episodes.model import InhibitionAbsent, InhibitionMalformed
from molam.alerts.permissions import CHANGE_POLICIES, VIEW
from molam.approvals.intents import PlanRefused
from molam.approvals.model import TwinOpen, Unsatisfiable
from molam.approvals.requests import actor_of
from molam.kernel import canonical
from molam.kernel.currency import UnknownCurrency
from molam.platform.web import Caller, Routes

routes = Routes()


class InhibitionList(msgspec.Struct, frozen=True):
    inhibitions: list[views.InhibitionView]
    success: bool = True


class InhibitionAnswer(msgspec.Struct, frozen=True):
    """The inhibition as it holds; `action_id` waits for others, if the change would quiet more."""

    inhibition: views.InhibitionView | None
    action_id: UUID | None = None
    loosened: tuple[str, ...] = ()
    success: bool = True


@routes.get("/api/alerts/inhibitions", needs=VIEW, answers=InhibitionList)
async def list_inhibitions(request: Request, _caller: Caller) -> InhibitionList:
    """List which alerts keep which others quiet while they are open."""
    rows = await queries.inhibitions(request.app.state.db)
    return InhibitionList([views.inhibition(row) for row in rows])


@routes.put(
    "/api/alerts/inhibitions/{inhibition_id}",
    needs=CHANGE_POLICIES,
    body=InhibitionChange,
    answers=InhibitionAnswer,
    refuses=(
        canonical.JsonMalformed,
        InhibitionMalformed,
        TwinOpen,
        PlanRefused,
        Unsatisfiable,
        UnknownCurrency,
    ),
)
async def put_inhibition(
    request: Request, caller: Caller, body: InhibitionChange
) -> InhibitionAnswer:
    """
    Change or make one. What quiets less holds at once; what quiets more waits for two people.

    One by which alerts could quiet each other in a circle is refused.
    """
    state = request.app.state
    done = await inhibiting.change(
        state.db,
        state.watch,
        request.path_params["inhibition_id"],
        body,
        actor=actor_of(caller),
    )
    return InhibitionAnswer(
        None if done.inhibition is None else views.inhibition(done.inhibition),
        None if done.action is None else done.action.id,
        done.loosened,
    )


@routes.delete(
    "/api/alerts/inhibitions/{inhibition_id}",
    needs=CHANGE_POLICIES,
    answers=InhibitionAnswer,
    refuses=(InhibitionAbsent,),
)
async def remove_inhibition(request: Request, caller: Caller) -> InhibitionAnswer:
    """Remove one: whoever it kept quiet is told at once."""
    row = await inhibiting.remove(
        request.app.state.db, request.path_params["inhibition_id"], actor=actor_of(caller)
    )
    return InhibitionAnswer(views.inhibition(row))
