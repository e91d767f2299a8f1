"""Taking events from the log to Kafka, each at least once and in order."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import confluent_kafka
from confluent_kafka import KafkaError

from molam.kernel.refusals import Outage
from molam.platform.db import Database, Query
from molam.platform.db.transaction import Nothing
from molam.platform.events import metrics
from molam.platform.events.bell import Bell
from molam.platform.events.consumer import Behind, Consumer, Fenced, Patience, advance
from molam.platform.events.dead_letters import bury
from molam.platform.events.kafka import Kafka
from molam.platform.events.log import PARTS, Event, Message
from molam.platform.events.postgres_source import PostgresSource, read_next

RELAY_LOCK = 0x6D6F6C616D_52  # "molam", R: an advisory lock of the session in charge.

_BATCH_MAX = 1_000
_DELIVERY_TIMEOUT_S = 35.0
_HEADERS: dict[str, str | bytes | None] = {
    "content-type": "application/cloudevents+json; charset=UTF-8"
}

# Answers that will be the same next time.
_REFUSED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.TOPIC_EXCEPTION,
    }
)

_UNANSWERED = KafkaError(KafkaError._MSG_TIMED_OUT)  # noqa: SLF001 - the library names it so.

# Note [With Kafka and without]
#
# Facts always enter the log, in their own transaction. Without Kafka, consumers read
# the log. With Kafka they read Kafka, where other producers write too, and the relay
# takes the log there. So changing between the two must lose nothing:
#
# - The relay begins where the slowest consumer of the log stands, not at the end: what
#   that one has not seen, it will find in Kafka. Others see some events again.
# - Without Kafka again, consumers go on in the log where they once stopped, and see
#   again what came through Kafka meanwhile.
#
# Seeing an event again is always possible (the relay may die between the broker's
# receipt and its own commit), so every handler keeps facts apart by their ids.


@dataclass(frozen=True, slots=True)
class _Address:
    id: int
    topic: str
    key: str


_ADDRESSES = Query(
    """
    /* events.addresses */
    select id, topic, key
      from platform.events
     where id = any(:ids::bigint[])
     order by id
    """,
    row=_Address,
)

_BEGIN = Query(
    """
    /* events.begin_relay */
    insert into platform.consumer_progress ("group", topic, part, xid, pos)
    select :group, 'events', wanted.part, coalesce(slowest.xid, '0'), coalesce(slowest.pos, -1)
      from generate_series(0, :parts - 1) as wanted (part)
      left join lateral (
           select p.xid, p.pos
             from platform.consumer_progress as p
            where p.topic = 'events'
              and p.part = wanted.part
            order by p.xid, p.pos
            limit 1) as slowest on true
    on conflict do nothing
    """,
    row=Nothing,
)


class Relay:
    """The reader of the log whose effect is in Kafka."""

    group = "relay"

    def __init__(self, db: Database, kafka: Kafka, topics: Sequence[str], bell: Bell) -> None:
        self._db = db
        self._kafka = kafka
        self._bell = bell
        self._consumer = Consumer(self.group, tuple(topics), _refuse_to_handle, _BATCH_MAX)
        self._log = PostgresSource(db, self._consumer, bell.subscribe())
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "kafka-relay")
        self._producer: confluent_kafka.Producer | None = None

    async def open(self) -> None:
        """
        Connect.

        Raises:
            Outage: no broker answers.
        """
        loop = asyncio.get_running_loop()
        self._producer = await loop.run_in_executor(self._thread, self._kafka.producer)
        async with self._db.transaction("events.relay.begin") as tx:
            await tx.run(_BEGIN, group=self.group, parts=PARTS)

    async def step(self, _patience: Patience) -> int:
        """
        Publish the next events of one part, then move past them.

        Nothing is open in the database while the broker is asked: a transaction
        there would hold back the log for everybody.

        Raises:
            Fenced: another relay was faster; Kafka has these events twice.
        """
        if not self._bell.is_in_charge:
            return 0
        async with self._db.transaction("events.relay.read") as tx:
            messages = await read_next(tx, self._consumer)
            wanted = [message for message in messages if message.is_wanted]
            addresses = await tx.all(_ADDRESSES, ids=[message.pos for message in wanted])
        if not messages:
            return 0
        address = {found.id: found for found in addresses}
        events = [Event(address[m.pos].topic, address[m.pos].key, m.payload) for m in wanted]
        answers = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._publish, events
        )
        await self._settle(messages, dict(zip((m.pos for m in wanted), answers, strict=True)))
        metrics.RELAYED.inc(len(wanted))
        return len(messages)

    async def wait(self) -> None:
        await self._log.wait()

    async def behind(self) -> Behind:
        return await self._log.behind()

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, producer.purge)

    async def _settle(
        self, messages: Sequence[Message], answers: dict[int, KafkaError | None]
    ) -> None:
        async with self._db.transaction("events.relay.advance") as tx:
            await advance(tx, self.group, messages)
            for message in messages:
                error = answers.get(message.pos)
                if error is not None:
                    await bury(tx, self.group, message, f"kafka: {error.str()}")

    def _publish(self, events: Sequence[Event]) -> list[KafkaError | None]:
        """Publish *events* in order and return the broker's answer to each (in the thread)."""
        producer = self._producer
        assert producer is not None
        answers: dict[int, KafkaError | None] = {}

        def answered(number: int) -> Callable[[KafkaError | None, confluent_kafka.Message], None]:
            return lambda error, _: answers.update({number: error})

        for number, event in enumerate(events):
            # A single batch is far below the producer's own queue, which cannot be full.
            try:
                producer.produce(
                    event.topic,
                    value=event.payload.encode(),
                    key=event.key.encode(),
                    headers=_HEADERS,
                    on_delivery=answered(number),
                )
            except confluent_kafka.KafkaException as refused:
                answers[number] = refused.args[0]
        producer.flush(_DELIVERY_TIMEOUT_S)
        for number in range(len(events)):
            error = answers.get(number, _UNANSWERED)
            if error is not None and error.code() not in _REFUSED:
                # With a gap behind it, this client can no longer promise order.
                raise Fenced(f"kafka: {error.str()}")
        return [answers[number] for number in range(len(events))]


async def _refuse_to_handle(_tx: object, _texts: list[str]) -> None:
    raise Outage("kafka")
