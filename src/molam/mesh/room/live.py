"""The control room's live streams: what changed since the last message, as fragments for htmx."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response

from molam.mesh import permissions
from molam.mesh.room import frame
from molam.mesh.room.overview_pages import read_overview
from molam.platform.web import Caller, Routes, fragments, sse
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

ROOM = "mesh"
"""The one topic: whatever changes in the mesh concerns every open page."""

# A comment would do for the network, but the page cannot see comments, and it
# must notice when a stream stays open and silent.
_BEAT = sse.event("", name="beat")

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
    hub = request.app.state.hub
    language, zone = language_of(request, caller), frame.zone_of(request)
    view = (template, about, language, zone)
    live = _OPEN.get((hub, view))
    if live is None:
        live = _OPEN[hub, view] = Live(template, read, language=language, zone=zone)
    live.joined()
    return sse.stream(request, hub, topic=ROOM, view=view, render=live.render, heartbeat=_BEAT)


class Live:
    """One view of a page, and what its open copies already show."""

    def __init__(self, template: str, read: Read, *, language: Language, zone: str) -> None:
        self._template = template
        self._read = read
        self._language = language
        self._zone = zone
        self._shown: dict[str, str] = {}

    def joined(self) -> None:
        """Send everything next time: a page opened that may be older than its stream."""
        self._shown = {}

    async def render(self, _changed: frozenset[str]) -> bytes:
        """Return the message that brings every open page up to date."""
        text = frame.TEMPLATES.render(
            self._language, self._template, page=await self._read(), zone=self._zone
        )
        regions = fragments.regions(text)
        changed = fragments.moved(self._shown, regions)
        self._shown = regions
        return sse.event(changed) if changed else b""


# Held weakly: a view lives as long as the hub renders it.
_OPEN: WeakValueDictionary[tuple[sse.Hub, Hashable], Live] = WeakValueDictionary()
