"""The console's live streams: parts of an action's page, and that a list has changed."""

from __future__ import annotations

from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from starlette.datastructures import State
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

# A comment would do for the network, but the page cannot see comments, and it
# must notice when a stream stays open and silent.
_BEAT = sse.event("", name="beat")


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
        heartbeat=_BEAT,
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
    key = (state.hub, str(id_), view)
    live = _OPEN.get(key)
    if live is None:
        live = _OPEN[key] = LiveAction(state, id_, caller, language=language, zone=zone)
    live.joined()
    return sse.stream(
        request, state.hub, topic=str(id_), view=view, render=live.render, heartbeat=_BEAT
    )


class LiveAction:
    """One reader's view of an action, and what their open pages already show."""

    def __init__(
        self, state: State, action_id: UUID, caller: Caller, *, language: Language, zone: str
    ) -> None:
        self._state = state
        self._action_id = action_id
        self._caller = caller
        self._language = language
        self._zone = zone
        self._shown: dict[str, str] = {}

    def joined(self) -> None:
        """Send everything next time: a page opened that may be older than its stream."""
        self._shown = {}

    async def render(self, _changed: frozenset[str]) -> bytes:
        """Return the messages that bring every open page up to date."""
        found = await detail_of(
            self._state,
            self._action_id,
            self._caller,
            actor=actor_of(self._caller),
            language=self._language,
        )
        regions = regions_of(found, self._language, self._zone)
        changed = fragments.moved(self._shown, regions)
        self._shown = regions
        message = sse.event(changed) if changed else b""
        # The buttons stay as they are: the page only learns that they fit no longer.
        return message + sse.event(found.key, name="standing")


# Held weakly: a view lives as long as the hub renders it.
_OPEN: WeakValueDictionary[tuple[sse.Hub, str, object], LiveAction] = WeakValueDictionary()


def regions_of(detail: Detail, language: Language, zone: str) -> dict[str, str]:
    """Write the parts of the page that move, by the id of their element."""
    text = TEMPLATES.render(language, "_action_live.html", page=detail, zone=zone)
    return fragments.regions(text)
