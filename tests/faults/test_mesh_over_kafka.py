"""The mesh over Kafka: what others report moves beliefs and routes, and all of it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer as Client
from confluent_kafka import Producer

import rerouting
from bank_health import heard, jobs_named, tell
from molam.entrypoints import workers
from molam.entrypoints.keys import sira_signing_key
from molam.mesh.control import controller
from molam.mesh.jobs import TOPICS
from molam.mesh.runtime import Mesh
from molam.mesh.signals import monitor
from molam.mesh.signals.commands import DECIDE
from molam.platform.db import Database
from molam.platform.events import Consumer
from molam.platform.settings import Secret, Settings
from rerouting import A, B, C, one, sql

pytestmark = pytest.mark.processes

GROUP = "mesh-controller"
BROKEN = (b"{", b"\xff", b'{"bank_profile_id": "bank_nobody", "health_score": 1}')


@pytest.fixture
def settings(dsn: str, brokers: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=Secret(dsn),
        molam_home=tmp_path,
        molam_db_connections_max=3,
        kafka_brokers=brokers,
        kafka_client_id="cooperative-failover-mesh",
        kafka_group_id=GROUP,
    )


@contextlib.asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """The mesh's worker and the relay, as `molam worker --only` runs each."""
    # There before anybody reads them; else readers look for them again ten seconds later.
    producer = Producer({"bootstrap.servers": settings.kafka_brokers})
    for topic in TOPICS:
        producer.list_topics(topic, timeout=10)
    stop = asyncio.Event()
    running = [
        asyncio.create_task(workers.run_worker(settings, frozenset({part}), stop))
        for part in ("mesh", "relay")
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*running), 20)


def report(brokers: str, *messages: bytes) -> None:
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "consistent"})
    for message in messages:
        producer.produce("mesh.health", message, A)
    assert producer.flush(20) == 0


def failing(count: int) -> list[bytes]:
    """Reports that all payouts of a bank fail, each ten seconds apart, as the topic has them."""
    now = time.time()
    return [
        json.dumps(
            {
                "bank_profile_id": A,
                "health_score": 3,
                "latency_ms": 9000,
                "success_rate": 0.0,
                "volume_last_hour": 40,
                "timestamp": datetime.fromtimestamp(now - 11 * place, UTC).isoformat(),
            }
        ).encode()
        for place in reversed(range(count))
    ]


async def until(db: Database, statement: str, *args: object) -> Any:
    async with asyncio.timeout(30):
        while not (found := await one(db, statement, *args)):
            await asyncio.sleep(0.05)
        return found


def told(brokers: str, topics: Sequence[str]) -> dict[str, list[tuple[bytes, Any]]]:
    """Read *topics* until each has said something."""
    client = Client(
        {"bootstrap.servers": brokers, "group.id": "t", "auto.offset.reset": "earliest"}
    )
    client.subscribe(list(topics))
    found: dict[str, list[tuple[bytes, Any]]] = defaultdict(list)
    deadline = time.monotonic() + 20
    while len(found) < len(topics) and time.monotonic() < deadline:
        for message in client.consume(100, 0.2):
            # What others report is in no envelope.
            if message.error() is None and b"specversion" in message.value():
                found[message.topic()].append((message.key(), json.loads(message.value())))
    client.close()
    return found


async def test_reports_on_the_topic_lead_payouts_elsewhere_and_each_step_is_told(
    db: Database, worker_db: Database, settings: Settings
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 20)
    await rerouting.let_it_act(db)
    for bank in (A, B, C):
        await rerouting.feel(db, bank)
    known = rerouting.mesh_on(worker_db)
    mesh: Mesh = rerouting.mesh_on(worker_db, signing_key=sira_signing_key(settings))
    assert mesh.signing_key != known.signing_key

    async with working(settings):
        await tell(worker_db, *(heard(bank=B, at=time.time()) for _ in range(3)))
        reports = failing(8)
        report(settings.kafka_brokers, *BROKEN, *reports, *reports[2:5])
        await until(
            db, "select 1 from mesh.member_health where bank_profile_id = $1 and p_down > 0.99", A
        )
        await until(db, "select signals >= 3 from mesh.member_health where bank_profile_id = $1", B)
        await monitor.publish_health(worker_db, mesh)
        asked = await jobs_named(db, DECIDE)
        verdict = await controller.decide(worker_db, mesh, "XOF", "bank")
        said = await asyncio.to_thread(told, settings.kafka_brokers, TOPICS)

    assert {"currency": "XOF", "rail": "bank", "version": 1} in asked
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("move", "surely_down")
    assert A not in await rerouting.where(db)
    heard_of = "select signals from mesh.member_health where bank_profile_id = $1"
    assert await one(db, heard_of, A) == len(reports), "each report counts once"
    assert set(said) == set(TOPICS)
    _shapes(said)
    groups = await sql(db, 'select distinct "group" from platform.consumer_progress order by 1')
    assert groups == [(GROUP,), ("relay",)]
    buried = await sql(db, 'select "group", topic from platform.dead_letters')
    assert buried == [(GROUP, "mesh.health")] * len(BROKEN)


def _shapes(said: dict[str, list[tuple[bytes, Any]]]) -> None:
    """What other systems read of each topic."""
    wanted = {
        "mesh.health": "bank_profile_id health_score latency_ms success_rate volume_last_hour"
        " timestamp",
        "mesh.predictions": "prediction_id bank_profile_id mesh_region_id predicted_score"
        " confidence prediction_window_minutes recommendation timestamp",
        "mesh.proposals": "proposal_id mesh_region_id currency min_amount max_amount proposal"
        " created_by sira_signature timestamp",
        "mesh.actions": "action_id action_type mesh_region_id actor_id result timestamp",
    }
    keys = {"mesh.proposals": b"region_cedeao", "mesh.actions": b"region_cedeao"}
    for topic, names in wanted.items():
        key, event = said[topic][0]
        assert set(names.split()) <= event["data"].keys(), topic
        assert key == keys.get(topic, event["subject"].encode()), topic
        assert (event["type"], event["source"]) == (topic, "molam/mesh"), topic


@pytest.mark.parametrize(
    ("only", "groups"),
    [({"mesh"}, {GROUP}), ({"mesh", "intake"}, {"mesh", "intake"})],
)
async def test_two_readers_never_share_the_name_of_one(
    dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    only: set[str],
    groups: set[str],
):
    """Under one name each would have half of the events."""
    run: list[str] = []

    async def run_consumers(_db: Database, consumers: Sequence[Consumer], **_: Any) -> None:
        run.extend(each.group for each in consumers)

    monkeypatch.setattr(workers, "run_consumers", run_consumers)
    given = Settings(
        database_url=Secret(dsn),
        molam_home=tmp_path,
        kafka_brokers="127.0.0.1:1",
        kafka_group_id=GROUP,
    )
    await workers.run_worker(given, frozenset(only), asyncio.Event())

    assert set(run) == groups
