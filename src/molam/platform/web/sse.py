"""Live streams: rendered once, sent to many, over server-sent events and WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from molam.kernel.refusals import Kind, Outage, Refusal
from molam.platform.telemetry import dropped_streams_total, log, open_streams
from molam.platform.web.operations import still_admitted

HEARTBEAT_S = 15.0
_RECHECK_S = 5.0
_COALESCE_S = 0.03
_RETRY_S = 1.0
_QUEUE_MAX = 16
_STREAMS_MAX = 2000
_STREAMS_PER_TOPIC_MAX = 100
_HEARTBEAT = b": heartbeat\n\n"

_POLICY_VIOLATION = 1008
_TRY_AGAIN = 1013

Render = Callable[[frozenset[str]], Awaitable[bytes]]
"""
Renders what changed: given the channels that spoke (``kpi``, ``transactions``),
returns bytes for every subscriber of the view, or ``b""`` for nothing to say.
"""


class TooManyStreams(Refusal):
    code = "too-many-streams"
    kind = Kind.TOO_MANY
    title = "Too many live streams are open"


_Queue = asyncio.Queue[bytes | None]
_RECHECK = b""
"""In a queue: look at once whether the stream may go on."""


@dataclass(eq=False, slots=True)
class _Group:
    """Everybody who looks at the same thing in the same way."""

    render: Render
    changed: set[str] = field(default_factory=set)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    queues: set[_Queue] = field(default_factory=set)
    task: asyncio.Task[None] | None = None

    def wake(self, channels: frozenset[str]) -> None:
        self.changed |= channels
        self.woken.set()


class Hub:
    """
    Fans out what the database announces to the streams that are open.

    A *topic* is a merchant id. A *view* is what makes two subscribers of a topic
    see the same bytes: period, currency, language. The first subscriber's render
    serves all of them, so it may depend on nothing but topic and view.
    """

    def __init__(self, *, channels: frozenset[str]) -> None:
        self._channels = channels
        self._groups: dict[tuple[str, Hashable], _Group] = {}

    def tell(self, channel: str, topic: str) -> None:
        """Note that *channel* spoke of *topic*: pass as ``hear`` to `listening`."""
        assert channel in self._channels
        for (told, _view), group in self._groups.items():
            if told == topic:
                group.wake(frozenset({channel}))

    def tell_all(self) -> None:
        """Render everything again, as after a gap in the announcements."""
        for group in self._groups.values():
            group.wake(self._channels)

    def recheck(self) -> None:
        """Ask every stream at once whether its caller may still see it."""
        for group in self._groups.values():
            for queue in list(group.queues):
                _offer(group, queue, _RECHECK)

    def check_room(self, topic: str) -> None:
        """
        Make sure that one more stream fits.

        Raises:
            TooManyStreams: this process, or this merchant, has enough.
        """
        total = sum(len(group.queues) for group in self._groups.values())
        here = sum(len(held.queues) for key, held in self._groups.items() if key[0] == topic)
        if total >= _STREAMS_MAX or here >= _STREAMS_PER_TOPIC_MAX:
            raise TooManyStreams("Close another window, or try again later.", retry_after_s=30)

    async def frames(
        self,
        topic: str,
        *,
        view: Hashable,
        render: Render,
        admitted: Callable[[], Awaitable[bool]],
        heartbeat: bytes = _HEARTBEAT,
    ) -> AsyncIterator[bytes]:
        """
        Yield frames until the caller is no longer *admitted* or too slow.

        The first frame says everything, so nothing is missed between a page and
        its stream. *heartbeat* is sent when nothing else was for 15 seconds.
        """
        key = (topic, view)
        group = self._groups.setdefault(key, _Group(render))
        queue: _Queue = asyncio.Queue(_QUEUE_MAX)
        group.queues.add(queue)
        if group.task is None or group.task.done():
            group.task = asyncio.create_task(_render_for(group), name=f"stream {topic}")
        group.wake(self._channels)
        check_at = time.monotonic() + _RECHECK_S
        try:
            while True:
                try:
                    frame = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    frame = _RECHECK
                if frame is None:
                    return
                if frame == _RECHECK or time.monotonic() >= check_at:
                    if not await admitted():
                        return
                    check_at = time.monotonic() + _RECHECK_S
                if frame or heartbeat:
                    yield frame or heartbeat
        finally:
            group.queues.discard(queue)
            if not group.queues:
                group.task.cancel()
                if self._groups.get(key) is group:
                    del self._groups[key]


async def _render_for(group: _Group) -> None:
    due = 0.0
    try:
        while True:
            await group.woken.wait()
            group.woken.clear()
            changed = frozenset(group.changed)
            group.changed.clear()
            try:
                frame = await group.render(changed)
            except Outage as outage:
                log.warning("stream not rendered", dependency=outage.dependency)
                group.wake(changed)
                await asyncio.sleep(_RETRY_S)
                continue
            if frame:
                for queue in list(group.queues):
                    _offer(group, queue, frame)
            # At most one rendering in this time, however often the database speaks;
            # but two at once after a pause, for the rows and then the figures of one event.
            due = max(due, time.monotonic() - _COALESCE_S) + _COALESCE_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    finally:
        # Whatever ended the rendering ends the streams; browsers come back by themselves.
        for queue in list(group.queues):
            _end(group, queue)


def _offer(group: _Group, queue: _Queue, frame: bytes) -> None:
    if queue.full():
        dropped_streams_total.inc()
        _end(group, queue)
    else:
        queue.put_nowait(frame)


def _end(group: _Group, queue: _Queue) -> None:
    group.queues.discard(queue)
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def event(data: str, *, name: str | None = None) -> bytes:
    """Write one server-sent event; *data* may have several lines."""
    head = f"event: {name}\n" if name else ""
    body = "".join(f"data: {each}\n" for each in data.splitlines() or [""])
    return f"{head}{body}\n".encode()


def stream(
    request: Request,
    hub: Hub,
    *,
    topic: str,
    view: Hashable,
    render: Render,
    heartbeat: bytes = _HEARTBEAT,
) -> StreamingResponse:
    """
    Answer *request* with the live stream of *topic*.

    Raises:
        TooManyStreams: see `Hub.check_room`.
    """
    hub.check_room(topic)

    async def counted() -> AsyncIterator[bytes]:
        with open_streams.labels("sse").track_inprogress():
            frames = hub.frames(
                topic,
                view=view,
                render=render,
                admitted=lambda: still_admitted(request),
                heartbeat=heartbeat,
            )
            async for frame in frames:
                yield frame

    # X-Accel-Buffering: nginx would hold frames back until its buffer is full.
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "private, no-store"}
    return StreamingResponse(counted(), media_type="text/event-stream", headers=headers)


async def serve_socket(
    websocket: WebSocket, hub: Hub, *, topic: str, view: Hashable, render: Render
) -> None:
    """Accept *websocket* and send the same, one text message a frame, until either side ends it."""
    await websocket.accept()
    try:
        hub.check_room(topic)
    except TooManyStreams:
        await websocket.close(_TRY_AGAIN)
        return
    with open_streams.labels("websocket").track_inprogress():
        sending = asyncio.create_task(_send(websocket, hub, topic=topic, view=view, render=render))
        hearing = asyncio.create_task(_until_closed(websocket))
        try:
            await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hearing.cancel()
            sending.cancel()
            await asyncio.gather(sending, hearing, return_exceptions=True)


async def _send(
    websocket: WebSocket, hub: Hub, *, topic: str, view: Hashable, render: Render
) -> None:
    frames = hub.frames(
        topic,
        view=view,
        render=render,
        admitted=lambda: still_admitted(websocket),
        heartbeat=b"",
    )
    async for frame in frames:
        await websocket.send_text(frame.decode())
    await websocket.close(_POLICY_VIOLATION)


async def _until_closed(websocket: WebSocket) -> None:
    try:
        while True:
            await websocket.receive()
    except (WebSocketDisconnect, RuntimeError):
        return
