"""
What applying a route to 10,000 waiting payouts costs, beside the one statement it could be.

The base locks the payouts in order, updates their account and adds a reconciliation each, in
one statement and one transaction, on the same tables. Ours does that and all the rest: the
signature, the policy, the switches, the gate, each bank's room, a line on every payout's
timeline, the route in force, the log, the record and the event. Rounds alternate. Then
100,000 payouts go in one piece, and the memory of this process is printed.

    .venv/bin/python benchmarks/bench_apply.py
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

import stage as bench
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.kernel.ids import show, uuid7
from molam.mesh.control import commands
from molam.mesh.control.model import Actor
from molam.mesh.control.onward import SendMoved, send_moved
from molam.mesh.routing import content, store
from molam.mesh.runtime import Mesh
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.settings import Secret
from molam.sira.content import sign_content

CEILING = 1.5
MEMORY_MAX_MIB = 512
MERCHANTS = 200
REGION = "region_cedeao"

FILL = """
    insert into payments.bank_profiles (id, name, country, currency_codes, rails, provider_type, status,
                                        enabled, connector, flat_fee, percent_fee)
    select b, b, 'SN', '{XOF}', '{bank}', 'bank', 'active', true, 'http_bank', 100, 1
      from unnest(array['bank_a', 'bank_b', 'bank_c', 'bank_d']) as b;
    insert into payments.treasury_accounts (id, bank_profile_id, account_reference, currency)
    select 'ta_' || id, id, id, 'XOF' from payments.bank_profiles where id like 'bank\\__';
    insert into mesh.mesh_members (id, mesh_region_id, bank_profile_id, status, capabilities, kyc_verified,
                                   contract_signed, compliance_status)
    select 'mm_' || id, 'region_cedeao', id, 'active',
           '{"max_amount_per_txn": 1000000000, "daily_volume_limit": 1000000000000000,
             "supported_currencies": ["XOF"]}', true, true, 'approved'
      from payments.bank_profiles where id like 'bank\\__';
    insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)
    values ('XOF', 'bank', '{bank_a,bank_b,bank_c}', 'bench')
"""

PAYOUTS = """
    insert into payments.payouts
           (merchant_id, id, state, amount, currency, occurred_at, version, origin, asked_as, destination,
            scheduled_for, cutoff, reference_code, gross, bank_profile_id, treasury_account_id, created_by)
    select 'merchant-' || lpad((n % $4)::text, 4, '0'), $1 || n, 'pending', 10000 + n % 5000, 'XOF', now(), 1,
           'molam', 'schedule',
           '{"type": "bank_account", "holder": "Awa Diop", "country": "SN", "account_number": "SN0001",
             "bic": "AAAASNDA"}',
           now(), now(), $1 || n, 10000 + n % 5000, $2, 'ta_' || $2, 'bench'
      from generate_series(1, $3) as n
"""

CLEAR = """
    truncate payments.payout_events, mesh.mesh_reconciliations, payments.payouts cascade;
    update payments.bank_routes set replaced_at = now() where replaced_at is null;
    insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)
    values ('XOF', 'bank', '{bank_a,bank_b,bank_c}', 'bench');
    delete from payments.bank_gates;
    vacuum analyze payments.payouts
"""

BASE = """
    with locked as (
        select merchant_id, id, amount, currency, version, bank_profile_id, treasury_account_id
          from payments.payouts
         where bank_profile_id = 'bank_d' and currency = 'XOF' and state in ('scheduled', 'held', 'pending')
         order by id
           for update
    ),
    moved as (
        update payments.payouts as p
           set bank_profile_id = 'bank_b', treasury_account_id = 'ta_bank_b', version = p.version + 1,
               updated_at = now()
          from locked as l
         where p.merchant_id = l.merchant_id and p.id = l.id
     returning p.merchant_id, p.id, l.bank_profile_id as old_bank, l.treasury_account_id as old_account,
               p.amount, p.currency, l.version as old_version, p.version
    )
    insert into mesh.mesh_reconciliations
           (id, payout_id, merchant_id, mesh_region_id, original_bank_profile_id, original_treasury_account_id,
            rerouted_bank_profile_id, rerouted_treasury_account_id, action_log_id, original_amount,
            original_currency, rerouted_amount, rerouted_currency, version_before, version_after)
    select 'mr_' || gen_random_uuid(), id, merchant_id, 'region_cedeao', old_bank, old_account, 'bank_b',
           'ta_bank_b', $1, amount, currency, amount, currency, old_version, version
      from moved
"""

LOG = """
    insert into mesh.mesh_action_logs (id, action_type, payload_hash, actor_type, actor_id, result, started_at,
                                       idempotency_key)
    values ($1, 'apply_route', '', 'system', 'bench', 'success', now(), $1)
"""


async def base(connection: asyncpg.Connection, number: str) -> float:
    started = time.perf_counter()
    async with connection.transaction():
        await connection.execute(LOG, f"base-{number}")
        said = await connection.execute(BASE, f"base-{number}")
    seconds = time.perf_counter() - started
    print(f"  base {said.rpartition(' ')[2]} in {seconds * 1000:,.0f} ms", flush=True)
    return seconds


def mesh_on(db: Database) -> Mesh:
    known = registry()
    return Mesh(
        signing_key=Secret("b" * 48),
        clock=SystemClock(),
        approvals=Runtime(db, known, PolicyBook(known), "bench"),
        region="CEDEAO",
    )


async def propose(db: Database, mesh: Mesh) -> str:
    """Store an approved proposal away from bank_a, signed as SIRA signs."""
    now = datetime.now(UTC)
    expires = now.replace(microsecond=0) + timedelta(hours=1)
    head: dict[str, object] = {
        "id": show("mrp", uuid7(now)),
        "mesh_region_id": REGION,
        "currency": "XOF",
        "rail": "bank",
        "kind": "failover",
        "from_bank_id": "bank_a",
        "to_bank_id": "bank_b",
        "policy_id": "policy_cedeao",
        "policy_version": 1,
        "confidence": "0.9700",
        "p_down": 0.995,
        "created_by": "sira",
    }
    document = {"sequence": [{"bank_profile_id": each} for each in ("bank_b", "bank_c")]}
    said = content.written(head=head, bounds=(0, None), proposal=document, expires_at=expires)
    signed = sign_content("proposal", said, key=mesh.signing_key, now=now, ttl_s=3600)
    async with db.transaction("bench.propose") as tx:
        await tx.one(
            store.INSERT_PROPOSAL,
            **head,
            min_amount=0,
            max_amount=None,
            proposal=document,
            sira_signature=signed.token,
            token_id=signed.token_id,
            created_at=now,
            expires_at=expires,
        )
        await tx.connection.execute(
            "update mesh.mesh_routing_proposals set status = 'approved' where id = $1", head["id"]
        )
    return str(head["id"])


async def ours(db: Database, mesh: Mesh, proposal: str, count: int) -> float:
    started = time.perf_counter()
    done = await commands.apply_now(db, mesh, proposal, actor=Actor("user", "bench"))
    seconds = time.perf_counter() - started
    assert done.affected_payouts == count, f"{done.affected_payouts} payouts"
    print(f"  ours {count} in {seconds * 1000:,.0f} ms {done.timings_ms}", flush=True)
    return seconds


async def tell_senders(db: Database, proposal: str, count: int) -> float:
    """Do the job that a route leaves: let each payout that it moved be sent now."""
    started = time.perf_counter()
    async with db.transaction("bench.send_moved") as tx:
        told = await send_moved(tx, SendMoved(proposal, "XOF", "bank"))
    assert told == count, f"{told} payouts"
    return time.perf_counter() - started


async def main(embedded: EmbeddedPostgres, arguments: Sequence[str]) -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payouts", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    async with bench.stage(embedded) as stage:
        admin = await asyncpg.connect(stage.dsn)
        db = await open_database(stage.dsn, ProcessRole.OPS, application="bench", connections_max=2)
        mesh = mesh_on(db)
        await bench.add_merchants(admin, MERCHANTS)
        await admin.execute(FILL)
        mine, best = [], []
        for number in range(-1, asked.rounds):
            for statement in CLEAR.split(";"):
                await admin.execute(statement)
            for bank in ("bank_a", "bank_d"):
                await admin.execute(PAYOUTS, f"{bank}-{number}-", bank, asked.payouts, MERCHANTS)
            await admin.execute("vacuum analyze payments.payouts")
            proposal = await propose(db, mesh)
            pair = []
            for who in ("base", "ours") if number % 2 else ("ours", "base"):
                if who == "base":
                    pair.append((who, await base(admin, str(number))))
                else:
                    pair.append((who, await ours(db, mesh, proposal, asked.payouts)))
            if number >= 0:
                times = dict(pair)
                mine.append(times["ours"] * 1000)
                best.append(times["base"] * 1000)
        cheap = bench.report_at_most(
            f"applying a route to {asked.payouts:,} payouts",
            ours=mine,
            base=best,
            unit="ms",
            ceiling=CEILING,
        )
        for statement in CLEAR.split(";"):
            await admin.execute(statement)
        await admin.execute(PAYOUTS, "many-", "bank_a", asked.many, MERCHANTS)
        before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        proposal = await propose(db, mesh)
        seconds = await ours(db, mesh, proposal, asked.many)
        told_s = await tell_senders(db, proposal, asked.many)
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{asked.many:,} in one go: {seconds:.1f} s, peak memory {mib:.0f} MiB"
            f" ({mib - before_mib:+.0f}; at most {MEMORY_MAX_MIB});"
            f" then its job queues them for sending in {told_s:.1f} s"
        )
        await db.close()
        await admin.close()
    return cheap and mib <= MEMORY_MAX_MIB


if __name__ == "__main__":
    with bench.server() as embedded_server:
        sys.exit(0 if asyncio.run(main(embedded_server, sys.argv[1:])) else 1)
