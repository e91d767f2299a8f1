"""Kafka as the source: offsets beside effects, zombies fenced, poison set aside, the relay."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import harness
import pytest
from confluent_kafka import Consumer as Client
from confluent_kafka import Producer

from measuring import Followed, a_sample, a_watch
from molam.alerts.rules import commands, intake, messages
from molam.kernel.clock import SystemClock
from molam.kernel.refusals import Outage
from molam.platform import events
from molam.platform.db import Database, Tx
from molam.platform.events import consumer as consumers
from molam.platform.events.bell import Bell
from molam.platform.events.consumer import Consumer, Fenced, Patience
from molam.platform.events.kafka_source import KafkaSource
from molam.platform.events.log import LOG, lane
from molam.platform.events.postgres_source import PostgresSource
from molam.platform.events.relay import RELAY_LOCK, Relay

SEED = 20261116
TOPIC = harness.TOPIC

pytestmark = pytest.mark.processes


@pytest.fixture
def kafka(brokers):
    return events.Kafka(brokers, "tests")


@pytest.fixture
async def effects(db):
    await harness.make_effects(db)


def produce(brokers: str, messages: Sequence[tuple[str, bytes]], *, topic: str = TOPIC) -> None:
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "consistent"})
    for key, value in messages:
        producer.produce(topic, value, key)
    assert producer.flush(20) == 0


def some_events(count: int, *, first: int = 0) -> list[tuple[str, bytes]]:
    chosen = [harness.an_event(f"tx_{n}", f"m{n % 50}") for n in range(first, first + count)]
    return [(event.key, event.payload.encode()) for event in chosen]


async def record(tx: Tx, texts: list[str]) -> None:
    ids = [json.loads(text)["id"] for text in texts]
    await tx.connection.execute("insert into public.effects select unnest($1::text[])", ids)


async def column(db: Database, sql: str) -> list:
    async with db.transaction("tests.column") as tx:
        return [found[0] for found in await tx.connection.fetch(sql)]


async def consumed(db: Database, kafka: events.Kafka, dsn: str, *, until: int) -> list[str]:
    """Run a consumer until *until* events have had effect, and return them all."""
    stop = asyncio.Event()
    consumer = Consumer("kpi", (TOPIC,), record)
    running = asyncio.create_task(
        events.run_consumers(db, [consumer], dsn=dsn, stop=stop, kafka=kafka)
    )
    seen = await harness.settled(db, until, seconds=40)
    stop.set()
    await asyncio.wait_for(running, 10)
    return sorted(seen.elements())


async def joined(source: KafkaSource) -> None:
    """Take steps until the source owns parts and holds a batch that it has not applied."""
    async with asyncio.timeout(40):
        while source._in_hand is None or not source._in_hand.messages:
            source._in_hand = await source._fetched()


async def test_killed_workers_lose_nothing_and_repeat_nothing(dsn, db, brokers, effects):
    sent = some_events(3_000)
    workers = [harness.Worker(dsn, brokers=brokers) for _ in range(2)]
    await asyncio.gather(*(worker.start() for worker in workers))

    try:
        for kill in range(4):
            produce(brokers, sent[kill * 750 : (kill + 1) * 750])
            async with asyncio.timeout(40):
                while len(await harness.effects(db)) < kill * 750 + 100:
                    await asyncio.sleep(0.05)
            await workers[kill % 2].kill_and_restart()
        seen = await harness.settled(db, len(sent), seconds=40)
    finally:
        for worker in workers:
            await worker.end(signal.SIGKILL)

    assert sorted(seen.elements()) == sorted(f"tx_{n}" for n in range(3_000))


async def test_consumer_goes_on_where_the_database_says(dsn, worker_db, brokers, kafka, effects):
    produce(brokers, some_events(100))
    await consumed(worker_db, kafka, dsn, until=100)
    produce(brokers, some_events(50, first=100))

    seen = await consumed(worker_db, kafka, dsn, until=150)

    assert seen == sorted(f"tx_{n}" for n in range(150))


async def test_zombie_is_fenced_and_its_effects_are_undone(worker_db, brokers, kafka, effects):
    produce(brokers, some_events(40))
    zombie = KafkaSource(worker_db, Consumer("kpi", (TOPIC,), record), kafka)
    await zombie.open()
    await joined(zombie)
    # Another worker has been given the parts meanwhile, and has moved.
    await column(worker_db, "update platform.consumer_progress set pos = 1000 returning 1")

    with pytest.raises(Fenced):
        await zombie.step(Patience())
    await zombie.close()

    assert await harness.effects(worker_db) == {}


async def test_zombie_repeats_effects_when_it_is_not_fenced(
    worker_db, brokers, kafka, effects, monkeypatch
):
    """The control: the same zombie, moving its position without comparing it."""

    async def unguarded(tx: Tx, group: str, messages: Sequence[object]) -> None:
        await tx.connection.execute("update platform.consumer_progress set pos = 1")

    monkeypatch.setattr(consumers, "advance", unguarded)
    produce(brokers, some_events(40))
    zombie = KafkaSource(worker_db, Consumer("kpi", (TOPIC,), record), kafka)
    await zombie.open()
    await joined(zombie)
    async with worker_db.transaction("tests.other") as tx:
        await record(tx, [message.payload for message in zombie._in_hand.messages])
        await tx.connection.execute("update platform.consumer_progress set pos = 1000")

    await zombie.step(Patience())
    await zombie.close()

    assert max((await harness.effects(worker_db)).values()) == 2


HOSTILE = {
    b"\xff\xfe": "not UTF-8",
    b"{": "Expecting property name",
    b"[1, 2]": "not-an-object",
    b"": "empty",
    b'{"id": "a", "id": "b"}': "given twice",
    b'{"amount": NaN}': "NaN is not a JSON number",
    b'{"reason": "\\u0000"}': "cannot be stored",
    b'{"a":' * 40 + b"1" + b"}" * 40: "Nest at most",
    b'{"id": "' + b"x" * (256 * 1024) + b'"}': "too-long",
}


async def test_message_nobody_can_read_is_buried_and_the_rest_applied(
    dsn, worker_db, brokers, kafka, effects
):
    good = some_events(20)
    produce(brokers, good[:10] + [("m1", value) for value in HOSTILE] + good[10:])

    await consumed(worker_db, kafka, dsn, until=20)

    reasons = await column(worker_db, "select reason from platform.dead_letters order by pos")
    assert [said in reason for said, reason in zip(HOSTILE.values(), reasons, strict=True)] == [
        True
    ] * len(HOSTILE)


async def test_topic_made_anew_is_read_from_its_start(dsn, db, brokers, kafka, effects):
    await column(
        db,
        "insert into platform.consumer_progress"
        f" select 'kpi', '{TOPIC}', part, 5000 from generate_series(0, 3) part returning 1",
    )
    produce(brokers, some_events(40))

    assert await consumed(db, kafka, dsn, until=40) == sorted(f"tx_{n}" for n in range(40))


async def test_assignment_that_meets_an_outage_is_tried_again(dsn, db, kafka, effects, monkeypatch):
    produce(kafka.brokers, some_events(40))
    load = KafkaSource._load
    outages = [Outage("database")]

    async def load_later(self: KafkaSource, places: Sequence[tuple[str, int]]):
        if outages:
            raise outages.pop()
        return await load(self, places)

    monkeypatch.setattr(KafkaSource, "_load", load_later)

    seen = await consumed(db, kafka, dsn, until=40)

    assert (len(seen), outages) == (40, [])


async def test_our_lanes_are_those_of_kafkas_partitioner(brokers):
    produce(brokers, some_events(50))
    client = Client(
        {"bootstrap.servers": brokers, "group.id": "t", "auto.offset.reset": "earliest"}
    )
    client.subscribe([TOPIC])

    parts: dict[bytes, int] = {}
    async with asyncio.timeout(40):
        while len(parts) < 50:
            for message in await asyncio.to_thread(client.consume, 50, 1.0):
                parts[message.key()] = message.partition()
    await asyncio.to_thread(client.close)

    assert parts == {key: lane(key) for key in parts}


class InCharge(Bell):
    """A bell that needs no connection to be in charge."""

    def __init__(self) -> None:
        super().__init__("", LOG, lock=RELAY_LOCK)
        self.is_in_charge = True


async def publish(db: Database, count: int, *, first: int = 0) -> None:
    async with db.transaction("tests.publish") as tx:
        chosen = [harness.an_event(f"tx_{n}", f"m{n % 50}") for n in range(first, first + count)]
        await events.publish(tx, chosen)


async def relayed(brokers: str, count: int) -> list:
    client = Client(
        {"bootstrap.servers": brokers, "group.id": "t", "auto.offset.reset": "earliest"}
    )
    client.subscribe([TOPIC])
    messages: list = []
    async with asyncio.timeout(40):
        while len(messages) < count:
            messages += await asyncio.to_thread(client.consume, count, 1.0)
    await asyncio.to_thread(client.close)
    return messages


async def test_relay_publishes_each_event_in_order_with_its_key(worker_db, brokers, kafka):
    await publish(worker_db, 200)
    relay = Relay(worker_db, kafka, (TOPIC,), InCharge())
    await relay.open()

    while await relay.step(Patience()):
        pass
    messages = await relayed(brokers, 200)
    await relay.close()

    ids = [json.loads(m.value())["id"] for m in messages if m.partition() == lane(b"m7")]
    numbers = [int(id_.removeprefix("tx_")) for id_ in ids]
    assert numbers == sorted(numbers)
    assert len({json.loads(message.value())["id"] for message in messages}) == 200
    assert dict(messages[0].headers())["content-type"].startswith(b"application/cloudevents+json")


async def test_relay_killed_before_it_moved_publishes_again_and_loses_nothing(
    worker_db, brokers, kafka, monkeypatch
):
    await publish(worker_db, 40)
    dying = Relay(worker_db, kafka, (TOPIC,), InCharge())
    await dying.open()
    monkeypatch.setattr(dying, "_settle", lambda *_: asyncio.sleep(0))
    published_first = await dying.step(Patience())

    heir = Relay(worker_db, kafka, (TOPIC,), InCharge())
    await heir.open()
    while await heir.step(Patience()):
        pass
    messages = await relayed(brokers, 40 + published_first)

    assert len({json.loads(message.value())["id"] for message in messages}) == 40


async def test_relay_begins_where_the_slowest_reader_stood(worker_db, kafka, effects):
    await publish(worker_db, 40)
    source = PostgresSource(worker_db, Consumer("kpi", (TOPIC,), record), asyncio.Event())
    await source.open()
    while await source.step(Patience()):
        pass
    await publish(worker_db, 10, first=40)

    relay = Relay(worker_db, kafka, (TOPIC,), InCharge())
    await relay.open()
    moved = 0
    while step := await relay.step(Patience()):
        moved += step
    await relay.close()

    assert moved == 10


async def test_relay_that_is_not_in_charge_publishes_nothing(worker_db, kafka):
    await publish(worker_db, 10)
    bell = InCharge()
    bell.is_in_charge = False
    relay = Relay(worker_db, kafka, (TOPIC,), bell)
    await relay.open()

    assert await relay.step(Patience()) == 0
    await relay.close()


async def test_events_travel_from_the_log_through_kafka_to_their_consumers(
    dsn, worker_db, kafka, effects
):
    """Measurements too, of which others send some of their own, some again, and some nonsense."""
    now, followed = datetime.now(UTC), Followed()
    low = a_sample(900_000, at=now - timedelta(seconds=20), event_id="till-7/1")
    bare = {"metric": low.metric, "value": 400_000, "tenant_type": "agent", "tenant_id": "agent-9"}
    bare |= {"timestamp": low.at.isoformat(), "currency": "XOF", "event_id": "till-9/1"}
    theirs = [json.dumps(bare).encode(), b'{"value": 1e999}', json.dumps(bare).encode()]
    topics, stop = (TOPIC, messages.TOPIC), asyncio.Event()
    for topic in topics:
        Producer({"bootstrap.servers": kafka.brokers}).list_topics(topic, timeout=10)
    produce(kafka.brokers, [("agent:agent-9", each) for each in theirs], topic=messages.TOPIC)
    measures = intake.consumer(a_watch(SystemClock()), followed)
    running = [
        asyncio.create_task(events.run_relay(worker_db, kafka, topics=topics, dsn=dsn, stop=stop)),
        asyncio.create_task(
            events.run_consumers(worker_db, [measures], dsn=dsn, stop=stop, kafka=kafka)
        ),
    ]
    await publish(worker_db, 100)
    async with worker_db.transaction("tests.measured") as tx:
        await commands.publish(tx, [low, low], now=now)

    seen = await consumed(worker_db, kafka, dsn, until=100)
    async with asyncio.timeout(20):
        while len(followed.transitions) < 2:
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 10)

    assert set(seen) == {f"tx_{n}" for n in range(100)}
    assert {(one.tenant_id, one.moved, int(one.value)) for one in followed.transitions} == {
        ("agent-123", "opened", 900_000),
        ("agent-9", "opened", 400_000),
    }
    assert await column(worker_db, "select sum(samples)::int from alerts.metric_points") == [2]
    assert await column(worker_db, "select topic from platform.dead_letters") == [messages.TOPIC]
