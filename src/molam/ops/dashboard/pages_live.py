"""The home's live stream: figures move, and lists only say that they have changed."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.ops.dashboard import permissions
from molam.ops.dashboard.pages import ScopeQuery, context_of, read_home, scope_of
from molam.ops.shell import TEMPLATES, zone_of
from molam.platform.web import Caller, Routes, fragments, sse
from molam.platform.web.templating import language_of

routes = Routes()

TOPIC = "all"
"""What the hub's channels "dashboard" and "alerts" speak of: everybody's page."""


class LiveQuery(ScopeQuery, frozen=True, forbid_unknown_fields=True):
    """The page's own scope, so that its stream is about the same."""


@routes.get("/dashboard/live", needs=permissions.VIEW, page=True, query=LiveQuery)
async def live(request: Request, caller: Caller, query: LiveQuery) -> Response:
    """Stream the figures of the reader's page as they change."""
    state, scope = request.app.state, scope_of(query)
    language, zone = language_of(request, caller), zone_of(request)
    view = ("home", caller.subject, caller.roles, msgspec.structs.astuple(query), language, zone)

    async def read() -> tuple[dict[str, str], bytes]:
        found = await read_home(state, caller, scope, language=language, zone=zone)
        context = context_of(found) | {"panels": [each for each in found.panels if each.is_live]}
        text = TEMPLATES.render(language, "_dashboard_live.html", zone=zone, **context)
        return fragments.regions(text), sse.event(found.lists_mark, name="lists")

    return fragments.stream(request, topic=TOPIC, view=view, read=read)
