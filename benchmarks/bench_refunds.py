"""
A refund through the merchant API, from the request's bytes to its answer, against the same SQL alone.

Ours is the merchant app as it is served, in this process and without a socket: the token is
verified, the key claimed, the payment locked, the money set aside, everybody told, the answer
kept. The limit is pgbench, which says the same statements in the same one transaction, from as
many connections and about payments of as many merchants. Both share the machine with PostgreSQL.
Then fifty equal requests at once must have one effect and one answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import pstats
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import uvloop
from fastapi import FastAPI

import pgbench_script
import processes
import stage as bench
from molam.entrypoints.wiring import merchant_app
from molam.kernel.ids import uuid8
from molam.ledger import commands as ledger
from molam.ledger.commands import Transfer
from molam.platform.binaries import find_binaries
from molam.platform.db import ProcessRole, open_database
from molam.platform.embedded import EmbeddedPostgres
from molam.platform.settings import Settings
from molam.platform.settings import load as load_settings
from molam.platform.telemetry import configure_logging
from molam.simulator.issuer import mint_development_token

RATIO = 0.4
MERCHANTS = 64
AMOUNT = 10
EQUAL = 50
PORT_OFFSET = 20_000
IDENTITY_PORT = 3100
# How many refunds a second of one client there are payments for.
OURS_MAX, LIMIT_MAX = 100, 250
# Bases number the payments of a round; no payment is refunded twice.
ALONE, OURS = 0, 100
RECORDED, REPEATED = 63, 62

# So that the clients of pgbench, which begin together, are not all at one merchant.
_MERCHANT = f"(:n + :client_id * 8) % {MERCHANTS}"

_PAYMENTS = f"""
insert into payments.wallet_transactions
       (merchant_id, id, type, state, amount, currency, fee_molam, reference_code, channel, provider,
        occurred_at, customer, version)
select 'merchant-bench-' || lpad(((n + $2::int * 8) % {MERCHANTS})::text, 2, '0'),
       'tx_' || lpad(to_hex(($1::bigint * 64 + $2::int) * 1000000 + n), 12, '0'),
       'payment', 'succeeded', 75000, 'XOF', 750, 'CMD-' || n, 'wallet', 'wave',
       now() - interval '1 hour', '{{"name": "Awa Diop", "phone": "+221770000123"}}', 2
  from generate_series(1, $3::int) as n
"""

# What each refund leaves behind, on either side.
_TRACES = {
    "refunds": "select count(*) from payments.refunds",
    "timelines": "select count(*) from payments.refund_events",
    "transfers": "select count(*) from ledger.transfers where cause = 'refund_reserved'",
    "answers kept": "select count(*) from platform.idempotency_keys where status = 201",
    "jobs to send": "select count(*) from jobs.pgqueuer where entrypoint = 'payments.send'",
    "events": "select count(*) from platform.events where topic = 'refund_created'",
    "trail": "select count(*) from merchant.merchant_actions_audit",
    "promised": f"select (sum(balance) / {AMOUNT})::int from ledger.accounts where kind = 'merchant_reserved'",
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Shop:
    """The app, and a token of somebody at each merchant."""

    app: FastAPI
    tokens: list[str]

    async def refund(self, base: int, client: int, n: int) -> Answer:
        payment = (base * 64 + client) * 1_000_000 + n
        body = {"txn_id": f"tx_{payment:012x}", "amount": AMOUNT, "currency": "XOF",
                "reason": "customer_request"}  # fmt: skip
        token = self.tokens[(n + client * 8) % MERCHANTS]
        return await self._post(msgspec.json.encode(body), key=f"key-{payment:012x}", token=token)

    async def _post(self, body: bytes, *, key: str, token: str) -> Answer:
        """Call the app as uvicorn does, with what it has read of a request."""
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/api/merchant/refund", "raw_path": b"/api/merchant/refund",
            "query_string": b"", "root_path": "", "state": {},
            "client": ("127.0.0.1", 40_000), "server": ("127.0.0.1", 3001),
            "headers": [
                (b"host", b"localhost:3001"), (b"user-agent", b"bench"), (b"accept", b"*/*"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"authorization", f"Bearer {token}".encode()),
                (b"idempotency-key", key.encode()),
            ],
        }  # fmt: skip
        asked = iter([{"type": "http.request", "body": body, "more_body": False}])
        told: list[Any] = []

        async def receive() -> dict[str, Any]:
            return next(asked, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            told.append(message)

        await self.app(scope, receive, send)
        said = b"".join(each.get("body", b"") for each in told[1:])
        return Answer(told[0]["status"], told[0]["headers"], said)

    async def measure(self, base: int, *, clients: int, seconds: float) -> float:
        """Return refunds a second."""
        end, done = time.perf_counter() + seconds, 0

        async def client(number: int) -> None:
            nonlocal done
            n = 0
            while time.perf_counter() < end:
                n += 1
                answer = await self.refund(base, number, n)
                assert answer.status == 201, answer.body
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(client(number) for number in range(clients)))
        return done / (time.perf_counter() - began)


async def set_up(dsn: str) -> None:
    """Register merchants with money, and at each somebody who may refund."""
    owner = await open_database(dsn, ProcessRole.OWNER, application="bench")
    merchants = [f"merchant-bench-{number:02}" for number in range(MERCHANTS)]
    people = [f"person-bench-{number:02}" for number in range(MERCHANTS)]
    now = datetime.now(UTC)
    async with owner.transaction("bench.set_up") as tx:
        run = tx.connection.execute
        await run(
            "insert into tenancy.merchants (id, name, city, country, default_currency)"
            " select m, m, 'Dakar', 'SN', 'XOF' from unnest($1::text[]) as m", merchants,
        )  # fmt: skip
        await run(
            "insert into merchant.merchant_dashboards (merchant_id, timezone)"
            " select m, 'Africa/Dakar' from unnest($1::text[]) as m", merchants,
        )  # fmt: skip
        await run(
            "insert into tenancy.people (id, name, email)"
            " select p, p, p || '@example.com' from unnest($1::text[]) as p", people,
        )  # fmt: skip
        await run(
            "insert into tenancy.role_grants (id, person_id, role, merchant_id, granted_by)"
            " select gen_random_uuid(), p, 'merchant_admin', m, 'bench'"
            "   from unnest($1::text[], $2::text[]) as g (p, m)", people, merchants,
        )  # fmt: skip
        sales = [
            Transfer(
                id=uuid8(f"bench/{each}"), source="customers:wallet", target=ledger.available(each),
                amount=10**9, currency="XOF", merchant_id=each, cause="payment",
                cause_id=f"sale-{each}", occurred_at=now,
            )
            for each in merchants
        ]  # fmt: skip
        assert await ledger.post(tx, sales) == MERCHANTS
    await owner.close()


async def sell(dsn: str, *, rounds: int, clients: int, seconds: float) -> None:
    """Add the payments that all rounds refund."""
    connection = await asyncpg.connect(dsn)
    wanted = [(ALONE, client, 100) for client in (RECORDED, REPEATED)]
    for client in range(clients):
        wanted.append((ALONE, client, OURS_MAX * 10))
        for number in range(1, rounds + 1):
            wanted.append((number, client, round(LIMIT_MAX * seconds)))
            wanted.append((OURS + number, client, round(OURS_MAX * seconds)))
    for base, client, count in wanted:
        await connection.execute(_PAYMENTS, base, client, count)
    await connection.execute("vacuum analyze")
    await connection.close()


@contextlib.asynccontextmanager
async def a_shop(stage: bench.Stage, *, clients: int) -> AsyncIterator[Shop]:
    """The app with its lifespan begun; the issuer, a process of its own, has nothing to do later."""
    given = processes.environment(stage, dsn=stage.dsn, port_offset=PORT_OFFSET)
    settings: Settings = load_settings({**given, "MOLAM_DB_CONNECTIONS_MAX": str(clients)})
    issuer = (*processes.MOLAM, "serve", "identity")
    async with processes.serving(given, issuer, port=IDENTITY_PORT + PORT_OFFSET):
        tokens = [
            await mint_development_token(
                settings,
                roles=("merchant_admin",),
                merchant_id=f"merchant-bench-{number:02}",
                subject=f"person-bench-{number:02}",
            )
            for number in range(MERCHANTS)
        ]
        app = merchant_app(settings)
        async with app.router.lifespan_context(app):
            yield Shop(app, tokens)


async def written_down(shop: Shop) -> str:
    """Record one refund as a script for pgbench."""
    recorder, money = pgbench_script.Recorder(), shop.app.state.money
    shop.app.state.money = pgbench_script.RecordedDatabase(money, recorder)
    answer = await shop.refund(ALONE, RECORDED, 1)
    shop.app.state.money = money
    assert answer.status == 201, answer.body
    assert recorder.transactions == 1, "a refund is one transaction"
    payment = RECORDED * 1_000_000 + 1
    refund_id = msgspec.json.decode(answer.body)["refund"]["id"]
    events = set(re.findall(r"evt_[0-9a-f]{32}", repr(recorder.said)))
    steps = [str(uuid8(f"refund/{refund_id}/{step}")) for step in ("reserve", "pay")]
    unique = [f"tx_{payment:012x}", f"key-{payment:012x}", refund_id, *steps, *events]
    place = (1 + RECORDED * 8) % MERCHANTS
    number = "lpad((:m::int)::text, 2, '0')"
    varied = {
        f"{kind}-bench-{place:02}": f"'{kind}-bench-' || {number}"
        for kind in ("merchant", "person")
    }
    return pgbench_script.script(recorder, unique, varied=varied, sets=[f"m {_MERCHANT}"])


async def traces(dsn: str) -> int:
    """Count what refunds have left behind, which must be as much of everything."""
    connection = await asyncpg.connect(dsn)
    counts = {what: await connection.fetchval(text) for what, text in _TRACES.items()}
    busiest = await connection.fetchval(
        "select max(n) from (select count(*) as n from payments.refunds group by transaction_id) as c"
    )
    await connection.close()
    assert len(set(counts.values())) == 1, f"a refund leaves one of each: {counts}"
    assert busiest == 1, "each refund is of a payment of its own"
    return int(counts["refunds"])


async def compare(stage: bench.Stage, shop: Shop, given: argparse.Namespace) -> bool:
    path = given.script or stage.folder / "refund.sql"
    path.write_text(await written_down(shop))
    ours, limit = [], []
    before = await traces(stage.dsn)
    for number in range(1, given.rounds + 1):
        ours.append(await shop.measure(OURS + number, clients=given.clients, seconds=given.seconds))
        between = await traces(stage.dsn)
        limit.append(
            await asyncio.to_thread(
                pgbench_script.run,
                find_binaries().folder / "pgbench",
                stage.dsn,
                path,
                clients=given.clients,
                seconds=given.seconds,
                base=number,
            )
        )
        after = await traces(stage.dsn)
        for rate, made in ((ours[-1], between - before), (limit[-1], after - between)):
            assert made > rate * given.seconds * 0.9, f"{made} refunds are not {rate:.0f}/s"
        before = after
    print(
        f"one transaction a refund, {given.clients} connections on either side,"
        f" {before:,} refunds of {MERCHANTS} merchants"
    )
    return bench.report("a refund, POST to answer", ours=ours, limit=limit, unit="/s", floor=RATIO)


async def repeat(stage: bench.Stage, shop: Shop) -> bool:
    """Send equal requests at once; print and tell whether they had one effect."""
    before = await traces(stage.dsn)
    answers = await asyncio.gather(*(shop.refund(ALONE, REPEATED, 1) for _ in range(EQUAL)))
    effects = await traces(stage.dsn) - before
    bodies = {(each.status, each.body) for each in answers}
    replayed = sum((b"idempotent-replayed", b"true") in each.headers for each in answers)
    held = effects == 1 and len(bodies) == 1 and replayed == EQUAL - 1
    print(
        f"{EQUAL} equal requests at once: {effects} effect, {len(bodies)} body,"
        f" {replayed} replayed {'ok' if held else 'FAIL'}"
    )
    return held


async def main(embedded: EmbeddedPostgres, arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each side in a round")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--script", type=Path, help="where to keep what pgbench runs")
    parser.add_argument("--profile", action="store_true", help="show what costs most instead")
    given = parser.parse_args(arguments)
    configure_logging("bench", level="error")
    async with bench.stage(embedded) as stage:
        await set_up(stage.dsn)
        await sell(stage.dsn, rounds=given.rounds, clients=given.clients, seconds=given.seconds)
        async with a_shop(stage, clients=given.clients) as shop:
            await shop.measure(ALONE, clients=given.clients, seconds=2.0)  # Plans settle.
            if given.profile:
                await profiled(lambda: shop.measure(OURS + 1, clients=given.clients, seconds=5.0))
                return
            reached = [await compare(stage, shop, given), await repeat(stage, shop)]
    bench.finish(*reached)


async def profiled(measure: Callable[[], Any]) -> None:
    profile = cProfile.Profile()
    profile.enable()
    rate = await measure()
    profile.disable()
    print(f"{rate:.0f}/s under the profiler")
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    with bench.server() as running:
        uvloop.run(main(running, sys.argv[1:]))  # As uvicorn does for the product.
