"""The log and its readers: what is durable, in which order, and how often."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import pytest

from molam.kernel.refusals import Kind, Refusal
from molam.platform import events
from molam.platform.db import Database, Tx
from molam.platform.events import consumer as consumers
from molam.platform.events.consumer import Behind, Consumer, Fenced, Patience
from molam.platform.events.dead_letters import NotAnEvent, bury
from molam.platform.events.log import LOG, Message
from molam.platform.events.loop import run_consumers
from molam.platform.events.postgres_source import PostgresSource, read_next

TOPIC = "wallet_txn_created"
AT = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)


def an_event(id_: str, *, key: str = "merchant-123", topic: str = TOPIC, data=None) -> events.Event:
    document = events.cloud_event(
        id_=id_,
        source="/tests",
        type_=topic,
        subject=id_,
        time=AT,
        data={"merchant_id": key, **(data or {})},
    )
    return events.Event(topic, key, document)


async def publish(db: Database, *published: events.Event) -> None:
    async with db.transaction("tests.publish") as tx:
        await events.publish(tx, published)


def ids(texts: Sequence[str]) -> list[str]:
    return [json.loads(text)["id"] for text in texts]


class Recorder:
    """A handler that writes the ids it sees, in the transaction it is given."""

    def __init__(self, *, fails: Callable[[str], Exception | None] = lambda _: None) -> None:
        self.fails = fails
        self.batches: list[int] = []

    async def __call__(self, tx: Tx, texts: list[str]) -> None:
        self.batches.append(len(texts))
        for id_ in ids(texts):
            error = self.fails(id_)
            if error is not None:
                raise error
        await tx.connection.execute(
            "insert into public.effects (id) select unnest($1::text[])", ids(texts)
        )


@pytest.fixture
async def effects(db: Database):
    async with db.transaction("tests.effects") as tx:
        await tx.connection.execute("create table public.effects (n serial, id text)")
        await tx.connection.execute("grant all on public.effects to molam_worker")
        await tx.connection.execute("grant all on sequence public.effects_n_seq to molam_worker")

    async def seen() -> list[str]:
        return await column(db, "select id from public.effects order by n")

    return seen


async def column(db: Database, sql: str) -> list:
    async with db.transaction("tests.column") as tx:
        return [record[0] for record in await tx.connection.fetch(sql)]


async def a_source(db: Database, handle, *, group="kpi", topics=(TOPIC,), batch_max=500):
    source = PostgresSource(db, Consumer(group, topics, handle, batch_max), asyncio.Event())
    await source.open()
    return source


async def drain(source: PostgresSource, patience: Patience | None = None) -> int:
    total = 0
    while moved := await source.step(patience or Patience()):
        total += moved
    return total


def test_cloud_event_is_a_structured_cloudevents_document():
    document = json.loads(an_event("tx_1", data={"amount": 5000}).payload)

    assert document == {
        "specversion": "1.0",
        "id": "tx_1",
        "source": "/tests",
        "type": TOPIC,
        "subject": "tx_1",
        "time": "2026-11-16T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {"merchant_id": "merchant-123", "amount": 5000},
    }


async def test_publishing_is_undone_with_its_transaction(db):
    async def change_ones_mind() -> None:
        async with db.transaction("tests.publish") as tx:
            await events.publish(tx, [an_event("tx_1")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_ones_mind()

    assert await column(db, "select id from platform.events") == []


async def test_web_process_may_publish(web_db, db):
    await publish(web_db, an_event("tx_1"))

    assert await column(db, "select key from platform.events") == ["merchant-123"]


async def test_events_of_one_key_are_handled_in_the_order_they_were_published(worker_db, effects):
    for first in range(0, 60, 20):
        await publish(worker_db, *[an_event(f"tx_{n}") for n in range(first, first + 20)])
    source = await a_source(worker_db, Recorder(), batch_max=7)

    await drain(source)

    assert await effects() == [f"tx_{n}" for n in range(60)]


async def test_each_group_has_a_position_of_its_own(worker_db, effects):
    await publish(worker_db, an_event("tx_1"))
    await drain(await a_source(worker_db, Recorder(), group="kpi"))

    await drain(await a_source(worker_db, Recorder(), group="intake"))

    assert await effects() == ["tx_1", "tx_1"]


async def test_group_does_not_read_again_what_it_has_passed(worker_db, effects):
    await publish(worker_db, an_event("tx_1"))
    await drain(await a_source(worker_db, Recorder()))

    assert await drain(await a_source(worker_db, Recorder())) == 0
    assert await effects() == ["tx_1"]


async def test_position_passes_events_of_topics_nobody_wants(worker_db, effects):
    await publish(worker_db, *[an_event(f"p_{n}", topic="payout_created") for n in range(20)])
    recorder = Recorder()
    source = await a_source(worker_db, recorder)

    assert await drain(source) == 20
    assert await source.step(Patience()) == 0
    assert recorder.batches == []


async def test_effect_is_undone_when_the_position_cannot_move(worker_db, db, effects, monkeypatch):
    await publish(worker_db, an_event("tx_1"))
    source = await a_source(worker_db, Recorder())

    async def fenced(*_):
        raise Fenced("kpi")

    monkeypatch.setattr("molam.platform.events.postgres_source.advance", fenced)
    with pytest.raises(Fenced):
        await source.step(Patience())

    assert await effects() == []


async def test_two_workers_never_handle_one_part_at_once(worker_db, effects):
    await publish(worker_db, *[an_event(f"tx_{n}", key=f"m{n % 40}") for n in range(400)])
    one = await a_source(worker_db, Recorder(), batch_max=20)
    two = await a_source(worker_db, Recorder(), batch_max=20)

    await asyncio.gather(drain(one), drain(two))
    await drain(one)

    assert sorted(await effects()) == sorted(f"tx_{n}" for n in range(400))


class Unacceptable(Refusal):
    code = "unacceptable"
    kind = Kind.BROKEN_RULE
    title = "No"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (asyncpg.DataError("invalid amount"), "DataError: invalid amount"),
        (asyncpg.CheckViolationError("amount"), "CheckViolationError: amount"),
        (Unacceptable("Not this one."), "unacceptable: Not this one."),
    ],
)
async def test_poison_event_is_buried_and_the_rest_applied_once(
    worker_db, db, effects, error, said
):
    await publish(worker_db, *[an_event(f"tx_{n}") for n in range(50)])
    source = await a_source(worker_db, Recorder(fails=lambda i: error if i == "tx_17" else None))

    await drain(source)

    assert await effects() == [f"tx_{n}" for n in range(50) if n != 17]
    assert await column(db, "select payload::json ->> 'id' from platform.dead_letters") == ["tx_17"]
    assert await column(db, "select reason from platform.dead_letters") == [said]


async def test_event_that_breaks_a_constraint_only_at_commit_is_buried(worker_db, db, effects):
    async with db.transaction("tests.constraint") as tx:
        await tx.connection.execute(
            "alter table public.effects add constraint once unique (id)"
            " deferrable initially deferred"
        )
    await publish(worker_db, *[an_event(i) for i in ("tx_1", "tx_2", "tx_1", "tx_3")])

    await drain(await a_source(worker_db, Recorder()))

    assert await effects() == ["tx_1", "tx_2", "tx_3"]
    assert len(await column(db, "select 1 from platform.dead_letters")) == 1


async def test_text_that_postgresql_cannot_store_is_buried(worker_db, db):
    await publish(worker_db, an_event("tx_1"), an_event("tx_2", data={"reason": "\0"}))
    stored = []

    async def handle(tx: Tx, texts: list[str]) -> None:
        sql = "select x ->> 'id', x #>> '{data,reason}' from json_array_elements($1::json) x"
        stored.extend(await tx.connection.fetch(sql, f"[{','.join(texts)}]"))

    await drain(await a_source(worker_db, handle))

    assert [row[0] for row in stored] == ["tx_1"]
    assert len(await column(db, "select 1 from platform.dead_letters")) == 1


async def test_bug_is_the_events_fault_only_after_some_attempts(worker_db, db, effects):
    await publish(worker_db, *[an_event(f"tx_{n}") for n in range(10)])
    source = await a_source(
        worker_db, Recorder(fails=lambda i: KeyError("fee") if i == "tx_4" else None)
    )

    with pytest.raises(KeyError):
        await source.step(Patience(failures=consumers.ATTEMPTS_BEFORE_BLAME - 1))
    await drain(source, Patience(failures=consumers.ATTEMPTS_BEFORE_BLAME))

    assert await effects() == [f"tx_{n}" for n in range(10) if n != 4]
    assert await column(db, "select reason from platform.dead_letters") == ["KeyError: 'fee'"]


async def test_bug_that_every_event_meets_does_not_bury_them_all(worker_db, db):
    await publish(worker_db, *[an_event(f"tx_{n}") for n in range(50)])
    source = await a_source(worker_db, Recorder(fails=lambda _: KeyError("fee")))

    with pytest.raises(KeyError):
        await drain(source, Patience(failures=consumers.ATTEMPTS_BEFORE_BLAME))

    buried = await column(db, "select 1 from platform.dead_letters")
    assert len(buried) == consumers.STRIKES_MAX


async def test_dead_letter_is_published_again_once(worker_db, db, effects):
    await publish(worker_db, an_event("tx_1"))
    broken = Recorder(fails=lambda _: asyncpg.DataError("later fixed"))
    await drain(await a_source(worker_db, broken))
    letters = await column(db, "select id from platform.dead_letters")

    async with worker_db.transaction("tests.requeue") as tx:
        first = await events.requeue_dead_letters(tx, letters)
        again = await events.requeue_dead_letters(tx, letters)
    await drain(await a_source(worker_db, Recorder()))

    assert (first, again) == (1, 0)
    assert await effects() == ["tx_1"]


def a_message(payload: str, *, topic: str = LOG) -> Message:
    return Message(topic, part=0, xid=1, pos=7, before=(0, -1), lane=0, payload=payload)


@pytest.mark.parametrize("topic", [LOG, TOPIC])
async def test_dead_letter_whose_event_is_gone_tells_its_own_address(worker_db, db, topic):
    async with worker_db.transaction("tests.bury") as tx:
        await bury(tx, "kpi", a_message(an_event("tx_1").payload, topic=topic), "bad")
    letters = await column(db, "select id from platform.dead_letters")

    async with worker_db.transaction("tests.requeue") as tx:
        await events.requeue_dead_letters(tx, letters)

    assert await column(db, "select topic || ' ' || key from platform.events") == [
        f"{TOPIC} merchant-123"
    ]


@pytest.mark.parametrize("payload", ["{", "[]", '{"type": "t"}', "\\xff"])
async def test_dead_letter_that_is_no_event_cannot_be_published_again(worker_db, db, payload):
    async with worker_db.transaction("tests.bury") as tx:
        await bury(tx, "kpi", a_message(payload), "bad")
    letters = await column(db, "select id from platform.dead_letters")

    with pytest.raises(NotAnEvent):
        async with worker_db.transaction("tests.requeue") as tx:
            await events.requeue_dead_letters(tx, letters)


async def read_ids(db: Database) -> list[str]:
    """What a reader may see now, without moving."""
    reader = Consumer("kpi", (TOPIC,), Recorder())
    async with db.transaction("tests.read") as tx:
        return ids([message.payload for message in await read_next(tx, reader)])


async def test_event_waits_for_an_older_transaction_that_may_still_publish(dsn, worker_db):
    await a_source(worker_db, Recorder())
    other = await asyncpg.connect(dsn)
    older = other.transaction()
    await older.start()
    await other.fetch("select pg_current_xact_id()")
    await publish(worker_db, an_event("tx_1"))

    held_back = await read_ids(worker_db)
    await older.commit()
    await other.close()

    assert held_back == []
    assert await read_ids(worker_db) == ["tx_1"]


async def test_long_refresh_does_not_hold_back_events(refresh_dsn, worker_db):
    await a_source(worker_db, Recorder())
    refresh = await asyncpg.connect(refresh_dsn)
    under_way = refresh.transaction()
    await under_way.start()
    await refresh.fetch("select pg_current_xact_id()")
    await publish(worker_db, an_event("tx_1"))

    seen = await read_ids(worker_db)
    await under_way.rollback()
    await refresh.close()

    assert seen == ["tx_1"]


async def test_the_same_refresh_under_another_login_holds_back_events(dsn, worker_db):
    await a_source(worker_db, Recorder())
    refresh = await asyncpg.connect(dsn, server_settings={"role": "molam_refresh"})
    under_way = refresh.transaction()
    await under_way.start()
    await refresh.fetch("select pg_current_xact_id()")
    await publish(worker_db, an_event("tx_1"))

    seen = await read_ids(worker_db)
    await under_way.rollback()
    await refresh.close()

    assert seen == []


async def test_writer_beside_a_long_refresh_still_holds_back_events(dsn, refresh_dsn, worker_db):
    await a_source(worker_db, Recorder())
    refresh = await asyncpg.connect(refresh_dsn)
    writer = await asyncpg.connect(dsn)
    transactions = []
    for connection in (refresh, writer):
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch("select pg_current_xact_id()")
        transactions.append(transaction)
    await publish(worker_db, an_event("tx_1"))

    seen = await read_ids(worker_db)
    for transaction in transactions:
        await transaction.rollback()
    await refresh.close()
    await writer.close()

    assert seen == []


async def test_refresh_login_may_not_publish(refresh_dsn):
    refresh = await asyncpg.connect(refresh_dsn)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await refresh.execute(
            "insert into platform.events (topic, part, key, payload) values ('t', 0, 'k', '{}')"
        )
    await refresh.close()


async def test_commit_wakes_a_reader_that_waits(dsn, worker_db, effects):
    stop = asyncio.Event()
    running = asyncio.create_task(
        run_consumers(worker_db, [Consumer("kpi", (TOPIC,), Recorder())], dsn=dsn, stop=stop)
    )
    await until(lambda: column(worker_db, "select 1 from platform.consumer_progress"))
    await asyncio.sleep(0.5)

    waits = []
    for n in range(1, 11):
        await publish(worker_db, an_event(f"tx_{n}"))
        started = time.perf_counter()
        while len(await effects()) < n:
            await asyncio.sleep(0.001)
        waits.append(time.perf_counter() - started)
        await asyncio.sleep(0.25)
    stop.set()
    await asyncio.wait_for(running, 2)

    # Polling alone would take 100 ms on average.
    assert sorted(waits)[len(waits) // 2] < 0.05


async def until(holds, *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_readers_stop_at_once_when_told(dsn, worker_db):
    stop = asyncio.Event()
    running = asyncio.create_task(
        run_consumers(worker_db, [Consumer("kpi", (TOPIC,), Recorder())], dsn=dsn, stop=stop)
    )
    await until(lambda: column(worker_db, "select 1 from platform.consumer_progress"))

    started = time.perf_counter()
    stop.set()
    await running

    assert time.perf_counter() - started < 0.5


async def test_reader_knows_how_far_behind_it_is(worker_db, effects):
    source = await a_source(worker_db, Recorder())
    await publish(worker_db, *[an_event(f"tx_{n}", key=f"m{n}") for n in range(25)])

    before = await source.behind()
    await drain(source)

    assert before.events == 25
    assert before.seconds >= 0
    assert await source.behind() == Behind(0, 0)


async def test_purge_keeps_what_a_reader_has_not_passed(worker_db, db, effects):
    await publish(worker_db, an_event("tx_1"))
    await drain(await a_source(worker_db, Recorder(), group="kpi"))
    await publish(worker_db, an_event("tx_2"))
    await column(
        db, "update platform.events set created_at = now() - interval '40 days' returning 1"
    )

    async with worker_db.transaction("tests.purge") as tx:
        purged = await events.purge(tx, groups=["kpi"], days=30)
        for_a_stranger = await events.purge(tx, groups=["kpi", "intake"], days=30)

    assert (purged, for_a_stranger) == (1, 0)
    assert await column(db, "select payload ->> 'id' from platform.events") == ["tx_2"]


async def test_purge_keeps_what_is_young(worker_db, effects):
    await publish(worker_db, an_event("tx_1"))
    await drain(await a_source(worker_db, Recorder(), group="kpi"))

    async with worker_db.transaction("tests.purge") as tx:
        assert await events.purge(tx, groups=["kpi"], days=1) == 0
