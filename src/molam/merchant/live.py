"""The pages' live streams: what changed since the last message, as fragments for htmx."""

from __future__ import annotations

from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import msgspec
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import currency
from molam.merchant import model, permissions, queries
from molam.merchant.figures import Overview
from molam.merchant.frame import TEMPLATES, may
from molam.merchant.pages import (
    LATEST_ROWS,
    newest_alert,
    newest_transaction,
    read_overview,
)
from molam.payments import queries as payments
from molam.payments.list_store import TransactionRow
from molam.platform.web import Caller, Routes, fragments, sse
from molam.platform.web.fragments import partial
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

# More new items than this are sent as the whole list.
ITEMS_ADDED_MAX = 4

# A comment would do for the network, but the page cannot see comments, and it
# must notice when a stream stays open and silent.
_BEAT = sse.event("", name="beat")


class LiveQuery(msgspec.Struct, forbid_unknown_fields=True):
    period: str
    currency: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the open pages show at one moment."""

    frame: tuple[object, ...]
    """What no fragment can change: when it differs, the page must be loaded again."""
    regions: dict[str, str]
    lists: dict[str, dict[str, str]]
    """The items of each list by element id, in order: methods, latest transactions."""
    points: tuple[int | None, ...]


@routes.get("/live", needs=permissions.VIEW_KPIS, page=True, query=LiveQuery)
async def overview(request: Request, caller: Caller, query: LiveQuery) -> Response:
    """Stream the overview's figures as they change."""
    asked = _View(
        merchant_id=caller.merchant,
        language=language_of(request, caller),
        period=str(model.parse_period(query.period)),
        code=currency(query.currency).code,
        sees_alerts=may(caller, permissions.VIEW_ALERTS),
    )
    hub = request.app.state.hub
    live = _OPEN.get((hub, asked))
    if live is None:
        live = _OPEN[hub, asked] = LiveOverview(request.app.state, asked)
    live.joined()
    return sse.stream(
        request, hub, topic=caller.merchant, view=asked, render=live.render, heartbeat=_BEAT
    )


@routes.get("/live/transactions", needs=permissions.VIEW_TRANSACTIONS, page=True)
async def transactions(request: Request, caller: Caller) -> Response:
    """Stream which transaction is the newest; the page offers to show it."""
    state, merchant_id = request.app.state, caller.merchant

    async def render(changed: frozenset[str]) -> bytes:
        if "transactions" not in changed:
            return b""
        return sse.event(await newest_transaction(state.db, merchant_id), name="newest")

    return sse.stream(
        request,
        state.hub,
        topic=merchant_id,
        view="page:transactions",
        render=render,
        heartbeat=_BEAT,
    )


@routes.get("/live/alerts", needs=permissions.VIEW_ALERTS, page=True)
async def alerts(request: Request, caller: Caller) -> Response:
    """Stream which alert is the newest; the page offers to show it."""
    state, merchant_id = request.app.state, caller.merchant

    async def render(changed: frozenset[str]) -> bytes:
        if "kpi" not in changed:
            return b""
        return sse.event(await newest_alert(state.db, merchant_id), name="newest")

    return sse.stream(
        request, state.hub, topic=merchant_id, view="page:alerts", render=render, heartbeat=_BEAT
    )


@dataclass(frozen=True, slots=True)
class _View:
    """What makes two open overviews show the same."""

    merchant_id: str
    language: Language
    period: str
    code: str
    sees_alerts: bool


class LiveOverview:
    """One view of the overview, and what its open pages already show."""

    def __init__(self, state: State, view: _View) -> None:
        self._state = state
        self._view = view
        self._shown: Snapshot | None = None
        self._last: tuple[Overview, dict[str, str]] | None = None
        self._rows: tuple[tuple[str, list[TransactionRow]], dict[str, str]] | None = None

    def joined(self) -> None:
        """Send everything next time: a page opened that may be older than its stream."""
        self._shown = None

    async def render(self, changed: frozenset[str]) -> bytes:
        """Return the messages that bring every open page up to date."""
        view, language = self._view, self._view.language
        if self._last is None or "kpi" in changed:
            found = await read_overview(
                self._state,
                merchant_id=view.merchant_id,
                period=view.period,
                code=view.code,
                sees_alerts=view.sees_alerts,
            )
            self._last = (
                found,
                fragments.regions(TEMPLATES.render(language, "_live.html", view=found)),
            )
        else:
            # Rows come from intake, figures from the KPI worker, each in its own time.
            page = await queries.transactions(
                self._state.db,
                merchant_id=view.merchant_id,
                filters=payments.Filters(),
                beyond=None,
                limit=LATEST_ROWS,
            )
            self._last = replace(self._last[0], latest=page.rows), self._last[1]
        found, regions = self._last
        latest = self._latest(found)
        before, self._shown = self._shown, _snapshot(found, regions | latest)
        return messages(before, self._shown)

    def _latest(self, found: Overview) -> dict[str, str]:
        """Write the latest transactions, unless they are those already written."""
        shown = found.timezone, found.latest
        if self._rows is None or self._rows[0] != shown:
            html = TEMPLATES.render(self._view.language, "_live_latest.html", view=found)
            self._rows = shown, fragments.regions(html)
        return self._rows[1]


# Held weakly: a view lives as long as the hub renders it.
_OPEN: WeakValueDictionary[tuple[sse.Hub, _View], LiveOverview] = WeakValueDictionary()


def messages(before: Snapshot | None, after: Snapshot) -> bytes:
    """Say in server-sent events what turns *before* into *after*; None is an unknown before."""
    if before is not None and before.frame != after.frame:
        return sse.event("", name="rollover")
    fragments = [
        # A sparkline travels whole: its lines alone would not be read as SVG.
        partial(id_, "outerHTML" if id_.endswith("-spark") else "innerHTML", html)
        for id_, html in after.regions.items()
        if before is None or before.regions.get(id_) != html
    ]
    for id_, items in after.lists.items():
        fragments += item_moves(id_, None if before is None else before.lists[id_], items)
    points = [
        (at, value)
        for at, value in enumerate(after.points)
        if before is None or before.points[at] != value
    ]
    found = sse.event("\n".join(fragments)) if fragments else b""
    if points:
        found += sse.event(msgspec.json.encode(points).decode(), name="points")
    return found


def item_moves(list_id: str, before: dict[str, str] | None, after: dict[str, str]) -> list[str]:
    """Bring a list up to date by adding, replacing and dropping single items if it can."""
    whole = [partial(list_id, "innerHTML", "".join(after.values()))]
    if before is None:
        return whole
    added = [id_ for id_ in after if id_ not in before]
    kept = [id_ for id_ in before if id_ in after]
    if list(after) != added + kept or len(added) > ITEMS_ADDED_MAX:
        return whole
    moves = [partial(id_, "delete", "") for id_ in before if id_ not in after]
    moves += [partial(id_, "outerHTML", after[id_]) for id_ in kept if after[id_] != before[id_]]
    # Each goes in front of what is there, so the oldest of the new ones goes first.
    moves += [
        partial(list_id, "afterbegin", after[id_].replace("<tr ", '<tr class="is-new" ', 1))
        for id_ in reversed(added)
    ]
    return moves


def _snapshot(view: Overview, regions: dict[str, str]) -> Snapshot:
    lists: dict[str, dict[str, str]] = {"methods": {}, "latest": {}}
    for key, html in regions.items():
        list_id, slash, id_ = key.partition("/")
        if slash:
            lists[list_id][id_] = html
    return Snapshot(
        frame=(view.from_day, view.to_day, view.is_new_shop),
        regions={key: html for key, html in regions.items() if "/" not in key},
        lists=lists,
        points=view.sales,
    )
