"""The console's live streams: parts of an action's page, and that a list has changed."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.model import ActionAbsent
from molam.approvals.queries import Tab
from molam.ops import permissions
from molam.ops.detail import Detail, detail_of
from molam.ops.propose_pages import actor_of
from molam.ops.queue_pages import waiting
from molam.ops.shell import TEMPLATES, zone_of
from molam.platform.web import Caller, Routes, fragments, sse
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

CHANNEL = "ops_actions"
QUEUE = "queue"
"""The topic of lists: every change of any action concerns them."""
ALERTS = "alerts"
"""The topic of pages about alerts, which show how far what is done about them has come."""


class LiveQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tab: Tab = "turn"


def hear(hub: sse.Hub, action_id: str) -> None:
    """Tell the open pages of one action, all lists, and what alerts led to, that it has changed."""
    hub.tell(CHANNEL, action_id)
    hub.tell(CHANNEL, QUEUE)
    hub.tell(CHANNEL, ALERTS)


def hear_alerts(hub: sse.Hub) -> None:
    """Tell every page that shows alerts that some have changed."""
    hub.tell("alerts", "all")
    hub.tell("alerts", ALERTS)


@routes.get("/ops/live", needs=permissions.USE_CONSOLE, page=True, query=LiveQuery)
async def lists(request: Request, caller: Caller, query: LiveQuery) -> Response:
    """Stream how much waits for the reader, and whether the list has changed."""
    state = request.app.state

    async def render(_changed: frozenset[str]) -> bytes:
        return sse.event(await waiting(state, caller, query.tab), name="waiting")

    return sse.stream(
        request,
        state.hub,
        topic=QUEUE,
        view=("list", caller.subject, caller.roles, query.tab),
        render=render,
        heartbeat=fragments.BEAT,
    )


@routes.get(
    "/ops/actions/{id:uuid}/live",
    needs=permissions.USE_CONSOLE,
    page=True,
    refuses=(ActionAbsent,),
)
async def action(request: Request, caller: Caller) -> Response:
    """Stream the parts of one action's page as they change; never its buttons."""
    state, id_ = request.app.state, request.path_params["id"]
    language, zone = language_of(request, caller), zone_of(request)
    view = ("action", caller.subject, caller.roles, language, zone)

    async def read() -> tuple[dict[str, str], bytes]:
        found = await detail_of(state, id_, caller, actor=actor_of(caller), language=language)
        # The buttons stay as they are: the page only learns that they fit no longer.
        return regions_of(found, language, zone), sse.event(found.key, name="standing")

    return fragments.stream(request, topic=str(id_), view=view, read=read)


def regions_of(detail: Detail, language: Language, zone: str) -> dict[str, str]:
    """Write the parts of the page that move, by the id of their element."""
    text = TEMPLATES.render(language, "_action_live.html", page=detail, zone=zone)
    return fragments.regions(text)
