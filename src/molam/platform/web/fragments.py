"""Parts of pages as live streams send them: cut out of one template, put in by htmx."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Literal
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response

from molam.platform.web import sse

_UNIT, _RECORD = "\x1f", "\x1e"

Swap = Literal["innerHTML", "outerHTML", "afterbegin", "delete"]

Read = Callable[[], Awaitable[tuple[dict[str, str], bytes]]]
"""The regions of a page as they are now, and a message that follows them each time."""

# A comment would do for the network, but the page cannot see comments, and it
# must notice when a stream stays open and silent.
BEAT = sse.event("", name="beat")


def regions(text: str) -> dict[str, str]:
    """Take apart what a live template wrote: regions by the id of their element."""
    return dict(
        region.lstrip().split(_UNIT, 1) for region in text.split(_RECORD) if _UNIT in region
    )


def partial(id_: str, swap: Swap, html: str) -> str:
    """Write one fragment for htmx: where it goes, and how."""
    return f'<hx-partial hx-target="#{id_}" hx-swap="{swap}">{html}</hx-partial>'


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Write the regions that are not as they were."""
    return "\n".join(
        partial(id_, "innerHTML", html) for id_, html in after.items() if before.get(id_) != html
    )


def stream(request: Request, *, topic: str, view: Hashable, read: Read) -> Response:
    """Stream the regions that *read* finds as they change, to all who look at the same *view*."""
    hub: sse.Hub = request.app.state.hub
    key = (hub, topic, view)
    live = _OPEN.get(key)
    if live is None:
        live = _OPEN[key] = _Live(read)
    live.joined()
    return sse.stream(request, hub, topic=topic, view=view, render=live.render, heartbeat=BEAT)


class _Live:
    """One view of a page, and what its open copies already show."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._shown: dict[str, str] = {}

    def joined(self) -> None:
        """Send everything next time: a page opened that may be older than its stream."""
        self._shown = {}

    async def render(self, _changed: frozenset[str]) -> bytes:
        """Return the messages that bring every open page up to date."""
        found, mark = await self._read()
        changed = moved(self._shown, found)
        self._shown = found
        return (sse.event(changed) if changed else b"") + mark


# Held weakly: a view lives as long as the hub renders it.
_OPEN: WeakValueDictionary[tuple[sse.Hub, str, Hashable], _Live] = WeakValueDictionary()
