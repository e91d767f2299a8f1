"""A worker to be killed: writes the id of each event it handles, and nothing else."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys

from molam.platform import events
from molam.platform.db import Database, ProcessRole, Tx, open_database

GROUP = "kpi"
TOPICS = ("wallet_txn_created", "refund_created")
RELAY = "relay"


async def record(tx: Tx, texts: list[str]) -> None:
    ids = [json.loads(text)["id"] for text in texts]
    await tx.connection.execute("insert into public.effects (id) select unnest($1::text[])", ids)
    # A kill lands between the effects and the position now and then.
    await asyncio.sleep(random.random() * 0.03)


async def main(dsn: str, brokers: str, role: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    db: Database = await open_database(dsn, ProcessRole.WORKER, application="events_worker")
    kafka = events.Kafka(brokers, "tests") if brokers else None
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if role == RELAY:
        assert kafka is not None
        await events.run_relay(db, kafka, topics=TOPICS, dsn=dsn, stop=stop)
    else:
        consumer = events.Consumer(GROUP, TOPICS, record, batch_max=50)
        await events.run_consumers(db, [consumer], dsn=dsn, stop=stop, kafka=kafka)
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
