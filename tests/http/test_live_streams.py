"""Streams: rendered once, sent to many, and ended for those who may no longer see them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import asyncpg
import pytest

from molam.platform.web import sse
from molam.platform.web.listener import listening
from molam.platform.web.sse import Hub, TooManyStreams, event

CHANNELS = frozenset({"kpi", "transactions"})


class Renderer:
    """Counts how often it rendered, and what had changed each time."""

    def __init__(self) -> None:
        self.seen: list[frozenset[str]] = []

    async def __call__(self, changed: frozenset[str]) -> bytes:
        self.seen.append(changed)
        return f"frame {len(self.seen)}".encode()


class Stream:
    """One open stream, read as far as a test wants."""

    def __init__(self, hub: Hub, render: Any, *, topic: str = "m-1", view: str = "fr") -> None:
        self.admitted = True
        self._frames = hub.frames(topic, view=view, render=render, admitted=self._is_admitted)

    async def _is_admitted(self) -> bool:
        return self.admitted

    async def next(self) -> bytes:
        return await asyncio.wait_for(anext(self._frames), 2)

    async def ends(self) -> bool:
        try:
            while True:
                await self.next()
        except StopAsyncIteration:
            return True

    async def close(self) -> None:
        await self._frames.aclose()  # type: ignore[attr-defined]


@pytest.fixture
async def hub() -> Hub:
    return Hub(channels=CHANNELS)


async def test_a_stream_begins_with_everything(hub: Hub):
    render = Renderer()
    stream = Stream(hub, render)

    assert await stream.next() == b"frame 1"
    assert render.seen == [CHANNELS]
    await stream.close()


async def test_a_change_is_rendered_once_for_all_who_see_the_same(hub: Hub):
    render = Renderer()
    streams = [Stream(hub, render) for _ in range(20)]
    opening = [asyncio.create_task(each.next()) for each in streams]
    await asyncio.gather(*opening)
    await asyncio.sleep(0.1)
    rendered = len(render.seen)

    hub.tell("kpi", "m-1")
    frames = {await each.next() for each in streams}

    assert len(render.seen) == rendered + 1
    assert render.seen[-1] == {"kpi"}
    assert frames == {f"frame {rendered + 1}".encode()}
    for each in streams:
        await each.close()


async def test_another_merchants_change_is_not_heard(hub: Hub):
    render = Renderer()
    stream = Stream(hub, render)
    await stream.next()

    hub.tell("kpi", "m-2")
    await asyncio.sleep(0.1)

    assert len(render.seen) == 1
    await stream.close()


async def test_a_burst_of_changes_is_rendered_a_few_times_only(hub: Hub):
    render = Renderer()
    stream = Stream(hub, render)
    await stream.next()

    for _ in range(200):
        hub.tell("kpi", "m-1")
        await asyncio.sleep(0.001)
    await stream.next()

    assert len(render.seen) < 20
    await stream.close()


async def test_the_last_change_of_a_burst_is_never_lost(hub: Hub):
    truth = 0

    async def render(_changed: frozenset[str]) -> bytes:
        return str(truth).encode()

    stream = Stream(hub, render)
    await stream.next()

    for truth in range(1, 51):  # noqa: B007 - render reads it.
        hub.tell("kpi", "m-1")
        await asyncio.sleep(0.002)
    frame = b""
    while frame != b"50":
        frame = await stream.next()

    assert frame == b"50"
    await stream.close()


async def test_a_slow_client_is_dropped_and_the_others_are_not(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sse, "_COALESCE_S", 0)
    render = Renderer()
    slow, quick = Stream(hub, render), Stream(hub, render)
    await asyncio.gather(slow.next(), quick.next())

    for _ in range(40):
        hub.tell("kpi", "m-1")
        await quick.next()

    assert await slow.ends()
    hub.tell("kpi", "m-1")
    assert (await quick.next()).startswith(b"frame")
    await quick.close()


async def test_a_stream_ends_as_soon_as_its_caller_may_not_see_it(hub: Hub):
    stream, other = Stream(hub, Renderer()), Stream(hub, Renderer(), topic="m-2")
    await asyncio.gather(stream.next(), other.next())

    stream.admitted = False
    hub.recheck()

    assert await stream.ends()
    hub.tell("kpi", "m-2")
    await other.next()
    await other.close()


async def test_a_silent_stream_beats(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)
    stream = Stream(hub, Renderer())
    await stream.next()

    assert await stream.next() == b": heartbeat\n\n"
    await stream.close()


async def test_nobody_listening_costs_nothing(hub: Hub):
    render = Renderer()
    stream = Stream(hub, render)
    await stream.next()
    await stream.close()

    hub.tell("kpi", "m-1")
    await asyncio.sleep(0.05)

    assert len(render.seen) == 1
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("stream ")]


async def test_a_rendering_bug_ends_the_streams_and_the_next_one_works(hub: Hub):
    async def broken(_changed: frozenset[str]) -> bytes:
        raise ZeroDivisionError

    stream = Stream(hub, broken)

    assert await stream.ends()
    again = Stream(hub, Renderer())
    assert await again.next() == b"frame 1"
    await again.close()


async def test_a_merchant_may_open_so_many_streams_and_no_more(hub: Hub):
    render = Renderer()
    streams = [Stream(hub, render) for _ in range(100)]
    await asyncio.gather(*(each.next() for each in streams))

    with pytest.raises(TooManyStreams):
        hub.check_room("m-1")
    hub.check_room("m-2")
    for each in streams:
        await each.close()


def test_an_event_cannot_be_split_by_what_it_carries():
    assert event("a\nb\r\nc", name="kpi") == b"event: kpi\ndata: a\ndata: b\ndata: c\n\n"
    assert event("") == b"data: \n\n"


async def test_announcements_are_heard_also_after_the_connection_was_cut(dsn: str):
    heard: asyncio.Queue[str] = asyncio.Queue()
    gaps: asyncio.Queue[None] = asyncio.Queue()
    hear = {"kpi": heard.put_nowait}
    admin = await asyncpg.connect(dsn)
    async with listening(dsn, hear, gap=lambda: gaps.put_nowait(None), application="ears"):
        await asyncio.wait_for(gaps.get(), 5)
        await admin.execute("select pg_notify('kpi', 'm-1')")
        assert await asyncio.wait_for(heard.get(), 2) == "m-1"

        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ears'"
        )
        await asyncio.wait_for(gaps.get(), 5)
        await admin.execute("select pg_notify('kpi', 'm-2')")

        assert await asyncio.wait_for(heard.get(), 2) == "m-2"
    left = await admin.fetchval(
        "select count(*) from pg_stat_activity where application_name = 'ears' and state <> 'idle'"
    )
    await admin.close()
    assert left == 0


async def test_an_announcement_while_nobody_listened_is_told_as_a_gap(dsn: str):
    gaps = 0

    def gap() -> None:
        nonlocal gaps
        gaps += 1

    async with listening(dsn, {"kpi": lambda _: None}, gap=gap, application="ears"):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while gaps == 0:
                    await asyncio.sleep(0.01)

    assert gaps == 1
