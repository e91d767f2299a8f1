"""The control room's frame: navigation with what waits, the reader's zone, what was just done."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from molam.mesh import permissions
from molam.mesh.room import store
from molam.mesh.room.details import delivered, failure
from molam.mesh.routing import reasons
from molam.platform.web import Caller
from molam.platform.web.framing import FILTERS, Said, may, zone_of
from molam.platform.web.templating import Templates

__all__ = ["SIGN_OUT_PATH", "TEMPLATES", "Said", "may", "page", "zone_of"]

SIGN_OUT_PATH = "/auth/sign-out"

TEMPLATES = Templates(
    "molam.mesh.room",
    filters={
        **FILTERS,
        "route_of": reasons.route_of,
        "cause_in": reasons.cause,
        "failure_in": failure,
        "delivered_in": delivered,
    },
)


async def page(
    request: Request,
    caller: Caller,
    template: str,
    *,
    place: str,
    live: bool | None = None,
    **context: object,
) -> Response:
    """
    Put *template* into the control room's frame.

    *place* is the section of the navigation that the page belongs to. *live* is None where
    nothing could move, True where a stream keeps the page up to date. A page that was sent a
    form passes what came of it as ``said``.
    """
    waiting = await request.app.state.db.read(store.COUNT_WAITING)
    return TEMPLATES.page(
        request,
        caller,
        template,
        place=place,
        live=live,
        nav=waiting[0],
        zone=zone_of(request),
        sign_out_path=SIGN_OUT_PATH,
        # A viewer sees everything and changes nothing, and every page says so.
        reads_only=not may(caller, permissions.SIMULATE),
        **({"said": None} | context),
    )
