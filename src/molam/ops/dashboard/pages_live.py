"""The home's live stream: figures move, and lists only say that they have changed."""

from __future__ import annotations

from weakref import WeakValueDictionary

import msgspec
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from molam.ops.dashboard import permissions
from molam.ops.dashboard.pages import ScopeQuery, context_of, read_home, scope_of
from molam.ops.dashboard.pages_panels import Scope
from molam.ops.shell import TEMPLATES, zone_of
from molam.platform.web import Caller, Routes, fragments, sse
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

TOPIC = "all"
"""What the hub's channels "dashboard" and "alerts" speak of: everybody's page."""

_BEAT = sse.event("", name="beat")


class LiveQuery(ScopeQuery, frozen=True, forbid_unknown_fields=True):
    """The page's own scope, so that its stream is about the same."""


@routes.get("/dashboard/live", needs=permissions.VIEW, page=True, query=LiveQuery)
async def live(request: Request, caller: Caller, query: LiveQuery) -> Response:
    """Stream the figures of the reader's page as they change."""
    state, scope = request.app.state, scope_of(query)
    language, zone = language_of(request, caller), zone_of(request)
    view = ("home", caller.subject, caller.roles, msgspec.structs.astuple(query), language, zone)
    key = (state.hub, view)
    shown = _OPEN.get(key)
    if shown is None:
        shown = _OPEN[key] = LiveHome(state, caller, scope, language=language, zone=zone)
    shown.joined()
    return sse.stream(
        request, state.hub, topic=TOPIC, view=view, render=shown.render, heartbeat=_BEAT
    )


class LiveHome:
    """One reader's home, and what their open pages already show."""

    def __init__(
        self, state: State, caller: Caller, scope: Scope, *, language: Language, zone: str
    ) -> None:
        self._state = state
        self._caller = caller
        self._scope = scope
        self._language = language
        self._zone = zone
        self._shown: dict[str, str] = {}

    def joined(self) -> None:
        """Send everything next time: a page opened that may be older than its stream."""
        self._shown = {}

    async def render(self, _changed: frozenset[str]) -> bytes:
        """Return the messages that bring every open page up to date."""
        found = await read_home(
            self._state, self._caller, self._scope, language=self._language, zone=self._zone
        )
        context = context_of(found) | {"panels": [each for each in found.panels if each.is_live]}
        text = TEMPLATES.render(self._language, "_dashboard_live.html", zone=self._zone, **context)
        regions = fragments.regions(text)
        moved = fragments.moved(self._shown, regions)
        self._shown = regions
        message = sse.event(moved) if moved else b""
        return message + sse.event(found.lists_mark, name="lists")


# Held weakly: a view lives as long as the hub renders it.
_OPEN: WeakValueDictionary[tuple[sse.Hub, object], LiveHome] = WeakValueDictionary()
