"""
An action from its request to its effect: asked for, two votes, carried out, against the same SQL alone.

Ours is the engine in one process, with an action type whose effect is one update. The
limit is pgbench, which says the same statements with the same values, in the same
transactions, from as many connections. Both share the machine with PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import itertools
import pstats
import time
from typing import Any

import asyncpg
import msgspec
import uvloop

import pgbench_script
import stage as bench
from molam.approvals import commands, execution, voting
from molam.approvals.engine import Engine, read_request
from molam.approvals.model import Actor, VoteRequest
from molam.approvals.runtime import Runtime
from molam.platform.actions import ActionType, Change, Execution, Outcome, Plan, Registry, Target
from molam.platform.binaries import find_binaries
from molam.platform.db import Database, ProcessRole, Query, Tx, open_database
from molam.platform.db.transaction import Nothing
from molam.platform.embedded import EmbeddedPostgres

RATIO = 0.4
CREATOR, VOTERS, EXECUTOR = "ops-1", ("fin-1", "fin-2"), "ops-2"
PEOPLE = {"ops-1": "ops_admin", "ops-2": "ops_admin", "fin-1": "finance_ops",
          "fin-2": "finance_ops", "fin-3": "finance_ops", "cfo-1": "cfo"}  # fmt: skip
POLICIES = (
    ("Counters", {"action_type": "COUNT"}, 90),
    ("Everything by people", {"origin": "ops_ui"}, 50),
)


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    counter: str


_ADD = Query(
    "/* bench.add */ update public.counters set n = n + 1 where id = :id % 1000", row=Nothing
)


async def _plan(_tx: Tx, _params: Count) -> Plan:
    return Plan(target_name="Counter", changes=(Change("n", 0, 1),), reversible=True)


async def _apply(tx: Tx, execution_: Execution[Count]) -> Outcome:
    await tx.run(_ADD, id=int(execution_.params.counter[-12:], 16))
    return Outcome({"counted": True})


COUNT = ActionType(
    name="COUNT",
    params=Count,
    title=lambda params, _: f"Count {params.counter}",
    target=lambda params: Target("counter", params.counter),
    plan=_plan,
    apply=_apply,
)

_numbers = itertools.count(1)


async def one_action(runtime: Runtime) -> Any:
    """Ask, vote twice, and carry it out; return the action's row."""
    request = read_request(
        {
            "origin": "ops_ui",
            "action_type": "COUNT",
            "params": {"counter": f"counter-{next(_numbers):012x}"},
        }
    )
    made = await commands.create(runtime, request, Actor(CREATOR))
    approve = VoteRequest(vote="approve")
    for voter in VOTERS:
        await voting.vote(runtime, made.row.id, approve, Actor(voter))
    done = await execution.execute(runtime, made.row.id, Actor(EXECUTOR))
    assert done.success
    return made.row


async def measure(runtime: Runtime, *, clients: int, seconds: float) -> float:
    """Return actions a second."""
    end, done = time.perf_counter() + seconds, 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await one_action(runtime)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return done / (time.perf_counter() - began)


async def set_up(owner: asyncpg.Connection[Any]) -> None:
    await owner.execute("create table public.counters (id int primary key, n bigint not null)")
    await owner.execute("insert into public.counters select i, 0 from generate_series(0, 999) as i")
    await owner.execute("grant select, update on public.counters to molam_ops")
    for person, role in PEOPLE.items():
        await owner.execute(
            "insert into tenancy.people (id, name, email) values ($1, $1, $1 || '@example.com')",
            person,
        )
        await owner.execute(
            "insert into tenancy.role_grants (id, person_id, role, granted_at, granted_by)"
            " values (gen_random_uuid(), $1, $2, now() - interval '30 days', 'bench')",
            *(person, role),
        )
    rules = (
        '{"required_quorum": {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}},'
        ' "required_ratio": "3/4", "timeout_seconds": 7200, "escalation_role": "cfo"}'
    )
    for name, criteria, priority in POLICIES:
        await owner.execute(
            "insert into approvals.approval_policies (id, name, criteria, policy, priority, hash,"
            " created_by, updated_by, created_at, updated_at)"
            " values (gen_random_uuid(), $1, $2, $3, $4, $5, 'bench', 'bench', now(), now())",
            *(name, msgspec.json.encode(criteria).decode(), rules, priority, bytes(32)),
        )


async def written_down(db: Database, engine: Engine) -> tuple[str, int]:
    """Record one action as a script for pgbench, and count its transactions."""
    recorder = pgbench_script.Recorder()
    runtime = engine.runtime
    recorded = Runtime(
        pgbench_script.RecordedDatabase(db, recorder), runtime.registry, runtime.book, "bench"
    )
    row = await one_action(recorded)
    async with db.transaction("bench.votes") as tx:
        votes = await tx.connection.fetch(
            "select id from approvals.ops_approvals where ops_action_id = $1", row.id
        )
    unique = [str(row.id), row.target_tenant_id, *(str(each["id"]) for each in votes)]
    return pgbench_script.script(recorder, unique), recorder.transactions


async def main(embedded: EmbeddedPostgres) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each side in a round")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--profile", action="store_true", help="show what costs most instead")
    given = parser.parse_args()

    async with bench.stage(embedded) as stage:
        owner = await asyncpg.connect(stage.dsn)
        await set_up(owner)
        await owner.close()
        db = await open_database(
            stage.dsn, ProcessRole.OPS, application="bench", connections_max=given.clients
        )
        engine = Engine.of(db, Registry([COUNT]))
        path = stage.folder / "action.sql"
        for _ in range(20):
            await one_action(engine.runtime)
        script, transactions = await written_down(db, engine)
        path.write_text(script)
        await measure(engine.runtime, clients=given.clients, seconds=2.0)  # Plans settle.
        if given.profile:
            await profiled(engine.runtime, given.clients)
            await db.close()
            return
        ours, limit = [], []
        pgbench = find_binaries().folder / "pgbench"
        for number in range(given.rounds):
            ours.append(await measure(engine.runtime, clients=given.clients, seconds=given.seconds))
            limit.append(
                await asyncio.to_thread(
                    pgbench_script.run,
                    pgbench,
                    stage.dsn,
                    path,
                    clients=given.clients,
                    seconds=given.seconds,
                    base=number + 1,
                )
            )
        await db.close()
    print(f"{transactions} transactions an action, {given.clients} connections on either side")
    bench.finish(
        bench.report("an action, asked to done", ours=ours, limit=limit, unit="/s", floor=RATIO)
    )


async def profiled(runtime: Runtime, clients: int) -> None:
    profile = cProfile.Profile()
    profile.enable()
    rate = await measure(runtime, clients=clients, seconds=8.0)
    profile.disable()
    print(f"{rate:.0f}/s under the profiler")
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    with bench.server() as running:
        uvloop.run(main(running))  # As uvicorn does for the product.
