"""
The queue of open actions when 100,000 are open, against 1,000.

Somebody whose role decides most of them, and somebody whose role decides a hundred,
look at what is open, at what waits for their own vote, and at the rest of the queue.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg

import bench_approvals as one
import stage as bench
from molam.approvals import commands, queries
from molam.approvals.engine import Engine, read_request
from molam.approvals.model import Actor
from molam.entrypoints.local import migrations_folder
from molam.platform.actions import Registry
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.db.migrations import migrate
from molam.platform.embedded import EmbeddedPostgres

FEW, MANY = 1_000, 100_000
RARE = 100
RATIO_MAX = 2.0

# Every column as the engine wrote it for the first action, but for these.
_VARIED = {
    "id": "gen_random_uuid()",
    "twin": "a.twin || '-' || i",
    "target_tenant_id": "'counter-' || i",
    "created_at": "now() - interval '1 hour'",
    "expires_at": "now() + interval '1 hour' + i * interval '1 second'",
    # A hundred are compliance's, the others finance's.
    "voter_roles": "case when i % {of} = 0 then '{{compliance}}' else a.voter_roles end",
    "excluded": "case when i % 20 = 0 then '{fin-1}' else a.excluded end",
    "votes_cast": "(i % 10 = 0)::int",
    "level": "(i % 10 = 5)::int",
}
# One in ten has the vote of the first person, whose turn it therefore is not.
_VOTES = """
insert into approvals.ops_approvals (id, ops_action_id, seq, voter_id, voter_name, voter_roles,
                                     seat, vote, created_at, updated_at)
select gen_random_uuid(), id, 0, 'fin-1', 'fin-1', '{finance_ops}', 'fin-1', 'approve',
       now() - random() * interval '1 hour', now()
  from approvals.ops_actions
 where votes_cast = 1
"""

Look = Callable[[Database], Awaitable[object]]
LOOKS: dict[str, Look] = {
    "open, decided by many": lambda db: queries.pending(db, ["finance_ops"], person="fin-1"),
    "open, decided by few": lambda db: queries.pending(db, ["compliance"], person="law-1"),
    "my turn, many": lambda db: queries.queue(
        db, "turn", person="fin-1", roles=["finance_ops"]
    ),
    "my turn, few": lambda db: queries.queue(db, "turn", person="law-1", roles=["compliance"]),
    "voted on": lambda db: queries.queue(db, "waiting", person="fin-1", roles=["finance_ops"]),
    "my own": lambda db: queries.queue(db, "mine", person="ops-1", roles=["ops_admin"]),
    "escalated": lambda db: queries.queue(db, "escalated", person="fin-1", roles=["finance_ops"]),
    "executing": lambda db: queries.queue(db, "executing", person="fin-1", roles=["finance_ops"]),
    "done": lambda db: queries.queue(db, "done", person="fin-1", roles=["finance_ops"]),
}  # fmt: skip


@contextlib.asynccontextmanager
async def filled(embedded: EmbeddedPostgres, name: str, count: int) -> AsyncIterator[Database]:
    """A database of its own in which so many actions are open."""
    admin_dsn = embedded.dsn("postgres")
    dsn = urlsplit(admin_dsn)._replace(path=f"/{name}").geturl()
    admin = await asyncpg.connect(admin_dsn)
    await admin.execute(f"create database {name}")
    await admin.close()
    await migrate(dsn, migrations_folder())
    owner = await asyncpg.connect(dsn)
    await one.set_up(owner)
    db = await open_database(dsn, ProcessRole.OPS, application="bench", connections_max=2)
    engine = Engine.of(db, Registry([one.COUNT]))
    fields = {
        "origin": "ops_ui",
        "action_type": "COUNT",
        "params": {"counter": f"counter-{0:012x}"},
    }
    await commands.create(engine.runtime, read_request(fields), Actor(one.CREATOR))
    await fill(owner, count)
    await owner.close()
    yield db
    await db.close()


async def fill(owner: asyncpg.Connection[Any], count: int) -> None:
    columns = [
        row["column_name"]
        for row in await owner.fetch(
            "select column_name from information_schema.columns where table_schema = 'approvals'"
            " and table_name = 'ops_actions' and is_generated = 'NEVER'"
        )
    ]
    values = ", ".join(_VARIED.get(column, f"a.{column}") for column in columns)
    values = values.replace("{of}", str(count // RARE)).replace("{{", "{").replace("}}", "}")
    await owner.execute(
        f"insert into approvals.ops_actions ({', '.join(columns)}) select {values}"
        f" from approvals.ops_actions as a cross join generate_series(1, {count}) as i"
    )
    await owner.execute(_VOTES)
    # As autovacuum would have left it some minutes later.
    await owner.execute("vacuum (analyze)")


async def p95_ms(db: Database, look: Look, times: int) -> float:
    waits = []
    for _ in range(times):
        began = time.perf_counter()
        await look(db)
        waits.append((time.perf_counter() - began) * 1000)
    return statistics.quantiles(waits, n=20)[18]


async def main(embedded: EmbeddedPostgres) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--times", type=int, default=60, help="looks in a round, of each kind")
    given = parser.parse_args()

    reached = []
    async with filled(embedded, "few", FEW) as few, filled(embedded, "many", MANY) as many:
        for name, look in LOOKS.items():
            ours, base = [], []
            for _ in range(given.rounds):
                base.append(await p95_ms(few, look, given.times))
                ours.append(await p95_ms(many, look, given.times))
            reached.append(
                bench.report_at_most(
                    f"{name}, p95 of {MANY:,} open against {FEW:,}",
                    ours=ours,
                    base=base,
                    unit="ms",
                    ceiling=RATIO_MAX,
                )
            )
    bench.finish(*reached)


if __name__ == "__main__":
    with bench.server() as running:
        asyncio.run(main(running))
