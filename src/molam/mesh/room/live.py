"""The control room's live streams: what changed since the last message, as fragments for htmx."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from molam.mesh import permissions
from molam.mesh.room import frame
from molam.mesh.room.overview_pages import read_overview
from molam.platform.web import Caller, Routes, fragments
from molam.platform.web.templating import language_of

routes = Routes()

ROOM = "mesh"
"""The one topic: whatever changes in the mesh concerns every open page."""

Read = Callable[[], Awaitable[object]]


@routes.get("/live", needs=permissions.USE_ROOM, page=True)
async def overview(request: Request, caller: Caller) -> Response:
    """Stream the first page's parts as they change."""
    state = request.app.state
    return stream_of(request, caller, "_overview_live.html", read=lambda: read_overview(state))


def stream_of(
    request: Request, caller: Caller, template: str, *, read: Read, about: str = ""
) -> Response:
    """Stream the regions that *template* writes of what *read* finds."""
    language, zone = language_of(request, caller), frame.zone_of(request)

    async def regions() -> tuple[dict[str, str], bytes]:
        text = frame.TEMPLATES.render(language, template, page=await read(), zone=zone)
        return fragments.regions(text), b""

    return fragments.stream(
        request, topic=ROOM, view=(template, about, language, zone), read=regions
    )
