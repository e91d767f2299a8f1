"""
Events a second through one KPI worker and one intake worker.

The limit is psql sending the same statements with the same batches, prepared
once, from a file: PostgreSQL's own speed without Python.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
import zlib
from pathlib import Path

import asyncpg

import stage as bench
from molam.kernel.clock import SystemClock
from molam.ledger import store as ledger_store
from molam.merchant import commands as merchant
from molam.merchant import kpi_store
from molam.payments import commands as payments
from molam.payments import store as payments_store
from molam.platform.db import Database, ProcessRole, Query, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.events import Consumer, Event, publish
from molam.platform.events.bell import Bell
from molam.platform.events.consumer import Patience
from molam.platform.events.postgres_source import PostgresSource

BATCH = 500
CLEAR_KPI = "truncate merchant.kpi_facts, merchant.kpi_hours, merchant.kpi_days, merchant.kpi_methods, merchant.kpi_heads, merchant.merchant_kpis_cache"
CLEAR_INTAKE = "truncate payments.wallet_transactions, payments.payouts, payments.disputes, payments.touched_hours cascade; alter table ledger.transfers disable trigger transfers_no_truncate; truncate ledger.transfers, ledger.accounts; alter table ledger.transfers enable trigger transfers_no_truncate"
PROGRESS = "update platform.consumer_progress set pos = pos + 500 where \"group\" = 'limit' and part = {part};"


async def main(embedded: EmbeddedPostgres) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--merchants", type=int, default=200)
    given = parser.parse_args()

    async with bench.stage(embedded) as stage:
        owner = await asyncpg.connect(stage.dsn)
        merchants = await bench.add_merchants(owner, given.merchants)
        told = bench.events(given.events, merchants)
        db = await open_database(stage.dsn, ProcessRole.WORKER, application="benchmark")
        await _publish(db, told)
        await owner.execute("vacuum analyze")
        batches = _batches(told)
        worker = merchant.KpiWorker(SystemClock())
        kpi = await _race(
            stage,
            owner,
            db,
            given.rounds,
            len(told),
            clear=CLEAR_KPI,
            script=_kpi_script(stage, batches),
            consumer=Consumer("kpi", merchant.TOPICS, worker.handle),
        )
        intake = await _race(
            stage,
            owner,
            db,
            given.rounds,
            len(told),
            clear=CLEAR_INTAKE,
            script=await _intake_script(stage, owner, batches),
            consumer=Consumer("intake", payments.TOPICS, payments.store_events),
        )
        await db.close()
        await owner.close()
    bench.finish(
        bench.report("KPI worker, batch 500, one process", **kpi, unit="events/s", floor=0.6),
        bench.report("intake, batch 500, one process", **intake, unit="events/s", floor=0.5),
    )


async def _race(
    stage, owner, db, rounds, count, *, clear, script, consumer
) -> dict[str, list[float]]:
    ours, limit = [], []
    for _ in range(rounds):
        await owner.execute(clear)
        await owner.execute("delete from platform.consumer_progress")
        await owner.execute(
            "insert into platform.consumer_progress select 'limit', 'events', generate_series(0, 3)"
        )
        await owner.execute("checkpoint")
        began = time.perf_counter()
        await asyncio.to_thread(stage.run_psql, script)
        limit.append(count / (time.perf_counter() - began))

        await owner.execute(clear)
        await owner.execute("checkpoint")
        source = PostgresSource(db, consumer, Bell(stage.dsn, "events").subscribe())
        await source.open()
        patience = Patience()
        began = time.perf_counter()
        while await source.step(patience):
            pass
        ours.append(count / (time.perf_counter() - began))
        await source.close()
    return {"ours": ours, "limit": limit}


async def _publish(db: Database, told: list[str]) -> None:
    for start in range(0, len(told), 1000):
        async with db.transaction("benchmark.publish") as tx:
            await publish(
                tx,
                [
                    Event(_field(each, "type"), _field(each, "merchant_id"), each)
                    for each in told[start : start + 1000]
                ],
            )


def _field(payload: str, name: str) -> str:
    found = re.search(rf'"{name}": "([^"]+)"', payload)
    assert found is not None
    return found[1]


def _batches(told: list[str]) -> list[tuple[int, list[str]]]:
    """Cut the events as the log does: by the part of their merchant, 500 at a time."""
    parts: dict[int, list[str]] = {}
    for payload in told:
        part = zlib.crc32(_field(payload, "merchant_id").encode()) % 4
        parts.setdefault(part, []).append(payload)
    return [
        (part, payloads[start : start + BATCH])
        for part, payloads in sorted(parts.items())
        for start in range(0, len(payloads), BATCH)
    ]


def _prepare(name: str, query: Query, types: str) -> str:
    return f"prepare {name} ({types}) as {query.text};\n"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _kpi_script(stage: bench.Stage, batches: list[tuple[int, list[str]]]) -> Path:
    path = stage.folder / "kpi.sql"
    with path.open("w") as out:
        out.write("set role molam_worker; set jit = off;\n")
        out.write(_prepare("touch", kpi_store.TOUCH_HEADS, "json"))
        out.write(
            _prepare(
                "counted",
                kpi_store.COUNT_FACTS,
                _types(kpi_store.COUNT_FACTS, imported="bool", events="json", merchants="text[]"),
            )
        )
        out.write(_prepare("tell", kpi_store.TELL_DASHBOARDS, "text[]"))
        for part, payloads in batches:
            merchants = sorted({_field(each, "merchant_id") for each in payloads})
            values = {
                "events": _literal(f"[{','.join(payloads)}]"),
                "imported": "false",
                "merchants": _literal("{" + ",".join(merchants) + "}"),
            }
            ordered = ", ".join(values[name] for name in kpi_store.COUNT_FACTS.names)
            out.write(
                f"begin; execute touch({values['events']}); execute counted({ordered});"
                f" execute tell({values['merchants']}); {PROGRESS.format(part=part)} commit;\n"
            )
    return path


def _types(query: Query, **types: str) -> str:
    return ", ".join(types[name] for name in query.names)


async def _intake_script(stage, owner, batches) -> Path:
    """Play the batches once to learn what each gives the ledger, then write them down."""
    path = stage.folder / "intake.sql"
    statements = {
        "lock_merchants": (payments_store.LOCK_MERCHANTS, "json"),
        "transactions": (payments_store.STORE_TRANSACTIONS, "json"),
        "transfers": (ledger_store.POST_TRANSFERS, "json"),
        "tell": (payments_store.TELL_MERCHANTS, "text[]"),
    }
    with path.open("w") as out:
        out.write("set role molam_worker; set jit = off;\n")
        for name, (query, types) in statements.items():
            out.write(_prepare(name, query, types))
        for part, payloads in batches:
            whole = f"[{','.join(payloads)}]"
            found = await owner.fetchrow(payments_store.STORE_TRANSACTIONS.text, whole)
            merchants = sorted({_field(each, "merchant_id") for each in payloads})
            events = _literal(whole)
            out.write(f"begin; execute lock_merchants({events}); execute transactions({events});")
            if found["transfers"]:
                out.write(f" execute transfers({_literal(found['transfers'])});")
            out.write(
                f" execute tell({_literal('{' + ','.join(merchants) + '}')});"
                f" {PROGRESS.format(part=part)} commit;\n"
            )
    return path


if __name__ == "__main__":
    with bench.server() as running:
        asyncio.run(main(running))
