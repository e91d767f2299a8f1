"""Reading events from Kafka, with the offsets kept beside their effects."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import confluent_kafka
import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from molam.kernel import canonical
from molam.kernel.refusals import Outage
from molam.platform.db import Database, Query
from molam.platform.db.transaction import Nothing
from molam.platform.events.bell import UNREACHABLE
from molam.platform.events.consumer import Behind, Consumer, Fenced, Patience, settle
from molam.platform.events.kafka import Kafka
from molam.platform.events.log import EVENT_BYTES_MAX, Message, lane

log = structlog.get_logger()

_POLL_S = 0.2
_DATABASE_TIMEOUT_S = 10.0
_SHOWN_MAX = 16 * 1024

# Errors after which a part must be taken up anew, from the offset in the database.
_LOST_PLACE = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 - the library names them so.
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001
        KafkaError.OFFSET_OUT_OF_RANGE,
    }
)

Place = tuple[str, int]
T = TypeVar("T")

# Note [Our own offsets]
#
# The offset of the last message applied is in platform.consumer_progress and moves
# in the transaction of its effects, by compare-and-swap. When Kafka gives us a part
# we start one past that offset. A worker that Kafka has given up on but that still
# runs (a zombie) finds the row moved, rolls back and joins again. Kafka's own record
# of offsets is written now and then for lag monitors, and never read.
#
# The client's calls block, so they run in a thread of their own, one at a time; the
# callbacks of a rebalance run in there too. Each one begins a new epoch, and a batch
# fetched in an earlier epoch is dropped: its messages come again, from the offsets
# that the database had once the batch in hand was finished.


@dataclass(frozen=True, slots=True)
class _Fetched:
    epoch: int
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class _Offset:
    topic: str
    part: int
    pos: int


_BEGIN = Query(
    """
    /* events.begin_offsets */
    insert into platform.consumer_progress ("group", topic, part)
    select :group, w.topic, w.part
      from unnest(:topics::text[], :parts::smallint[]) as w (topic, part)
     order by w.topic, w.part
    on conflict do nothing
    """,
    row=Nothing,
)

_LOAD = Query(
    """
    /* events.load_offsets */
    select p.topic, p.part, p.pos
      from platform.consumer_progress as p
      join unnest(:topics::text[], :parts::smallint[]) as w (topic, part) using (topic, part)
     where p."group" = :group
    """,
    row=_Offset,
)

_SET = Query(
    """
    /* events.set_offset */
    update platform.consumer_progress
       set pos = :new,
           updated_at = now()
     where "group" = :group
       and topic = :topic
       and part = :part
       and pos = :old
    """,
    row=Nothing,
)


class KafkaSource:
    """One consumer's membership in its Kafka group."""

    def __init__(self, db: Database, consumer: Consumer, kafka: Kafka) -> None:
        self._db = db
        self._consumer = consumer
        self._kafka = kafka
        self._client: confluent_kafka.Consumer | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, f"kafka-{consumer.group}")
        self._epoch = 0
        # The offset last handed out by the thread, and last applied, of each part we own.
        self._handed: dict[Place, int] = {}
        self._applied: dict[Place, int] = {}
        self._stamp_ms = 0
        self._in_hand: _Fetched | None = None
        self._next: asyncio.Future[_Fetched] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        """
        Join the group.

        Raises:
            Outage: no broker answers.
        """
        await self.close()
        self._loop = asyncio.get_running_loop()
        self._client = await self._in_thread(self._kafka.consumer, self._consumer.group)
        self._client.subscribe(
            list(self._consumer.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    async def step(self, patience: Patience) -> int:
        """
        Apply the next batch and return its size; wait a moment for one.

        Raises:
            Fenced: another worker owns a part that we thought ours.
        """
        if self._in_hand is None:
            self._in_hand = await self._fetched()
        fetched = self._in_hand
        self._idle.clear()
        try:
            if fetched.messages and fetched.epoch == self._epoch:
                await settle(self._db, self._consumer, fetched.messages, patience)
                for message in fetched.messages:
                    self._applied[message.topic, message.part] = message.pos
        finally:
            self._idle.set()
        self._in_hand = None
        return len(fetched.messages)

    async def wait(self) -> None:
        """Step has waited already."""

    async def behind(self) -> Behind:
        if self._client is None:
            return Behind(0, 0)
        events = 0
        applied = dict(self._applied)
        for (topic, part), offset in applied.items():
            with contextlib.suppress(KafkaException):
                _, end = self._client.get_watermark_offsets(
                    TopicPartition(topic, part), cached=True
                )
                events += max(0, end - 1 - offset)
        if applied:
            offsets = [TopicPartition(t, p, at + 1) for (t, p), at in applied.items()]
            with contextlib.suppress(KafkaException):
                self._client.commit(offsets=offsets, asynchronous=True)
        return Behind(events, max(0.0, time.time() - self._stamp_ms / 1000) if events else 0.0)

    async def close(self) -> None:
        self._epoch += 1
        if self._next is not None:
            with contextlib.suppress(Fenced, Outage, KafkaException):
                await self._next
        self._next = self._in_hand = None
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(KafkaException, RuntimeError):
                await self._in_thread(client.close)

    async def _fetched(self) -> _Fetched:
        waiting = self._next or self._in_thread(self._fetch)
        self._next = None
        fetched = await waiting
        # The next batch is fetched while the database applies this one.
        self._next = self._in_thread(self._fetch)
        return fetched

    def _in_thread(self, call: Callable[..., T], *args: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    # From here on, everything but `_load` and `_finished` runs in the thread.

    def _fetch(self) -> _Fetched:
        client, epoch = self._client, self._epoch
        assert client is not None
        try:
            first = client.poll(_POLL_S)
            if first is None:
                return _Fetched(self._epoch, [])
            raw = [first, *client.consume(self._consumer.batch_max, 0)]
        except (KafkaException, Outage, *UNREACHABLE) as error:
            # Among them what an assignment may meet in the database. Join again.
            raise Fenced(f"{self._consumer.group}: {error}") from error
        if self._epoch != epoch:
            # Which of these were fetched for which assignment cannot be told. Start over.
            client.assign([TopicPartition(t, p, at + 1) for (t, p), at in self._handed.items()])
            return _Fetched(self._epoch, [])
        return _Fetched(epoch, self._accept(raw))

    def _accept(self, raw: Sequence[confluent_kafka.Message]) -> list[Message]:
        messages = []
        for given in raw:
            error = given.error()
            if error is not None:
                self._refuse(error)
                continue
            message = _message(given, self._handed)
            if message is not None:
                self._handed[message.topic, message.part] = message.pos
                self._stamp_ms = given.timestamp()[1]
                messages.append(message)
        return messages

    def _refuse(self, error: KafkaError) -> None:
        if error.code() in _LOST_PLACE or error.fatal():
            raise Fenced(f"{self._consumer.group}: {error.str()}")
        log.warning("events.kafka.trouble", group=self._consumer.group, reason=error.str())

    def _on_assign(self, client: confluent_kafka.Consumer, given: list[TopicPartition]) -> None:
        self._epoch += 1
        places = [(part.topic, part.partition) for part in given]
        offsets = self._from_loop(self._load(places))
        for place, offset in offsets.items():
            start, end = client.get_watermark_offsets(TopicPartition(*place), _POLL_S * 25)
            if offset + 1 > end:
                # Somebody made the topic anew. Its messages are not those we counted.
                log.error("events.kafka.topic-is-shorter", topic=place[0], part=place[1])
                offsets[place] = self._from_loop(self._set(place, old=offset, new=start - 1))
            elif offset + 1 < start:
                if offset >= 0:
                    log.error("events.kafka.messages-expired", topic=place[0], part=place[1])
                offsets[place] = self._from_loop(self._set(place, old=offset, new=start - 1))
        self._handed = dict(offsets)
        self._applied = dict(offsets)
        client.assign([TopicPartition(t, p, offset + 1) for (t, p), offset in offsets.items()])

    def _on_revoke(self, client: confluent_kafka.Consumer, _given: list[TopicPartition]) -> None:
        self._epoch += 1
        self._handed = {}
        # Whoever comes next reads our position, so let the batch in hand commit.
        # Should that take too long, it is fenced instead.
        with contextlib.suppress(TimeoutError):
            self._from_loop(self._finished())
        self._applied = {}
        client.unassign()

    def _on_lost(self, client: confluent_kafka.Consumer, given: list[TopicPartition]) -> None:
        self._on_revoke(client, given)

    def _from_loop(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_DATABASE_TIMEOUT_S)

    async def _finished(self) -> None:
        await self._idle.wait()

    async def _load(self, places: Sequence[Place]) -> dict[Place, int]:
        group = self._consumer.group
        topics, parts = [topic for topic, _ in places], [part for _, part in places]
        async with self._db.transaction(f"events.{group}.begin") as tx:
            await tx.run(_BEGIN, group=group, topics=topics, parts=parts)
            rows = await tx.all(_LOAD, group=group, topics=topics, parts=parts)
        assert len(rows) == len(places)
        return {(row.topic, row.part): row.pos for row in rows}

    async def _set(self, place: Place, *, old: int, new: int) -> int:
        group = self._consumer.group
        async with self._db.transaction(f"events.{group}.set_offset") as tx:
            if not await tx.run(_SET, group=group, topic=place[0], part=place[1], old=old, new=new):
                raise Fenced(group)
        return new


def _message(given: confluent_kafka.Message, handed: Mapping[Place, int]) -> Message | None:
    """Read *given*, or return None when it was applied before or is of a part not ours."""
    topic, part, offset = given.topic(), given.partition(), given.offset()
    assert topic is not None
    assert part is not None
    assert offset is not None
    before = handed.get((topic, part))
    if before is None or offset <= before:
        return None
    value = given.value() or b""
    refused = _fault(value)
    text = (
        value.decode()
        if refused is None
        else value[:_SHOWN_MAX].decode("utf-8", "backslashreplace").replace("\0", "\\0")
    )
    return Message(
        topic=topic,
        part=part,
        xid=0,
        pos=offset,
        before=(0, before),
        lane=lane(given.key() or b""),
        payload=text,
        refused=refused,
    )


def _fault(value: bytes) -> str | None:
    """Say why nobody can read *value*, or None when it is one JSON object."""
    if not value:
        return "empty: the message has no body"
    if len(value) > EVENT_BYTES_MAX:
        return f"too-long: {len(value)} bytes, of {EVENT_BYTES_MAX} at most"
    try:
        document = canonical.parse(value)
    except canonical.JsonMalformed as refusal:
        return f"{refusal.code}: {refusal.detail}"
    return None if isinstance(document, dict) else "not-an-object: the message is other JSON"
