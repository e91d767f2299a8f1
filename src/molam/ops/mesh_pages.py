"""Where notices about the mesh lead: on to the control room, which is an app of its own."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.ops import permissions
from molam.platform.web import Caller, Routes

routes = Routes()


@routes.get("/mesh", needs=permissions.USE_CONSOLE, page=True)
async def room(request: Request, _caller: Caller) -> Response:
    """Lead to the control room's first page."""
    return RedirectResponse(f"{request.app.state.mesh_url}/", HTTPStatus.SEE_OTHER)


@routes.get("/mesh/reconciliations", needs=permissions.USE_CONSOLE, page=True)
async def reconciliations(request: Request, _caller: Caller) -> Response:
    """Lead to what became of payouts that were led elsewhere."""
    address = f"{request.app.state.mesh_url}/reconciliations"
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)
