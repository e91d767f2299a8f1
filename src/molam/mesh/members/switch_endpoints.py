"""The API of kill switches: one person stops, others let it act again."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.intents import PlanRefused
from molam.approvals.model import TwinOpen, Unsatisfiable
from molam.approvals.requests import actor_of
from molam.mesh import permissions
from molam.mesh.members import switch_commands, switches, views
from molam.mesh.members.endpoints import Reason, answered, by_of
from molam.mesh.members.model import MissingFields
from molam.mesh.members.switches import ScopeRefused, SwitchNotEngaged
from molam.platform.web import Caller, Routes

routes = Routes()


class SwitchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    scope: Annotated[str, Meta(min_length=1, max_length=265)] = switches.GLOBAL
    """``global``, ``region:<id or name>``, ``member:<id>`` or ``policy:<id>``."""
    engaged: bool
    reason: Reason | None = None


@routes.get("/api/mesh/switches", needs=permissions.VIEW, answers=views.SwitchesAnswer)
async def list_switches(request: Request, _caller: Caller) -> views.SwitchesAnswer:
    """List the switches that anybody ever touched, those that are engaged first."""
    async with request.app.state.db.transaction("mesh.switches", readonly=True) as tx:
        rows = await switches.listed(tx)
    return views.SwitchesAnswer(ok=True, switches=[views.switch_view(row) for row in rows])


@routes.post(
    "/api/mesh/switches",
    needs=permissions.STOP,
    body=SwitchBody,
    answers=views.SwitchAnswer,
    also=(202,),
    refuses=(
        MissingFields, ScopeRefused, SwitchNotEngaged, PlanRefused, TwinOpen, Unsatisfiable,
    ),
)  # fmt: skip
async def set_switch(request: Request, caller: Caller, body: SwitchBody) -> Response:
    """Stop the mesh at once; or ask for it to act again, which two others decide (202)."""
    if body.reason is None:
        raise MissingFields("Send reason: everybody who looks at it reads why.")
    state = request.app.state
    action = None
    async with state.db.transaction("mesh.set_switch") as tx:
        if body.engaged:
            row = await switch_commands.engage(
                tx, body.scope, reason=body.reason, by=by_of(request, caller)
            )
        else:
            scope = await switches.canonical(tx, body.scope)
            found = await switches.find(tx, scope)
            if found is None or not found.is_engaged:
                raise SwitchNotEngaged("Nothing is stopped there.")
            row = found
            action = await switch_commands.ask_to_release(
                tx, state.mesh, scope, actor_of(caller), reason=body.reason
            )
    view = views.SwitchAnswer(
        ok=True,
        switch=views.switch_view(row),
        action=None if action is None else views.action_view(action),
    )
    return answered(view, status=200 if action is None else 202)
