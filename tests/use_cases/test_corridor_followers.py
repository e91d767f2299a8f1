"""Payouts made after a route led into another region go there at once, and never without room."""

from __future__ import annotations

import pytest
from test_corridors import FAR, NOW, a_corridor, a_world, approved, state

import paying_out as pay
import rerouting
import route_world
from molam.mesh.control import following
from molam.mesh.control import jobs as control_jobs
from molam.mesh.federation import corridors, settlements
from molam.mesh.runtime import Mesh
from molam.payments.payouts import run
from molam.platform.db import Database
from molam.platform.jobs import Job
from rerouting import one, sql
from route_world import A, B

PAYEE = {
    "type": "bank_account",
    "holder": "Awa Diop",
    "country": "SN",
    "account_number": "SN0001",
    "bic": "AAAASNDA",
}


async def a_payee(db: Database) -> None:
    await sql(
        db,
        "insert into payments.payout_destinations (merchant_id, currency, destination, changed_by)"
        " values ($1, 'XOF', $2, 'tests')",
        *(route_world.MERCHANT, PAYEE),
    )


async def made(db: Database, amount: int = 15_000) -> str:
    """Make a payout as a run does."""
    await pay.an_entry(db, amount)
    return (await pay.ask(db)).id


async def work(db: Database, mesh: Mesh) -> None:
    """Do what waits in the queue, until nothing of the mesh does."""
    handlers = {each.name: each for each in control_jobs.handlers(mesh)}
    while rows := await sql(
        db,
        "delete from jobs.pgqueuer where entrypoint = any($1) and execute_after <= now()"
        " returning id, entrypoint, payload",
        list(handlers),
    ):
        for id_, name, payload in sorted(rows):
            await handlers[name].run(Job(id_, name, payload, 1, db))


async def where(db: Database, payout_id: str) -> str | None:
    found: str | None = await one(
        db, "select bank_profile_id from payments.payouts where id = $1", payout_id
    )
    return found


async def led_away(db: Database, ops_db: Database, worker_db: Database, room: int) -> Mesh:
    """The route of ten payouts that wait leads to the EU; the corridor then has *room* left."""
    await a_world(db)
    await a_payee(db)
    await a_corridor(ops_db, 200_000 + room)
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await approved(db, mesh))
    await work(worker_db, mesh)
    assert await state(db) == (200_000, 0)
    return mesh


async def test_a_payout_made_later_takes_the_corridor_at_once_and_is_reserved_in_it(
    db: Database, ops_db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = await led_away(db, ops_db, worker_db, 50_000)
    payout = await made(db)
    # Its own job may come first, and finds no bank; it waits for no minute to pass all the same.
    assert await pay.claim(db, payout) is None
    await work(worker_db, mesh)
    assert await where(db, payout) == FAR
    assert await state(db) == (215_000, 0)
    assert await pay.state_of(db, payout) == "pending"
    instruction = await pay.claim(db, payout)
    assert instruction is not None
    assert instruction.bank_profile_id == FAR
    row = "select amount, state from mesh.corridor_uses where payout_id = $1"
    assert await sql(db, row, payout) == [(15_000, "reserved")]
    with monkeypatch.context() as without:
        # Without the job that making it leaves, it waits.
        without.setattr(run, "UNROUTED", "tests.nobody")
        forgotten = await made(db, 5_000)
        await work(worker_db, mesh)
    assert await where(db, forgotten) is None
    await following.follow_all(worker_db)
    await work(worker_db, mesh)
    assert await where(db, forgotten) == FAR


async def test_what_the_corridor_cannot_take_waits_until_it_can(
    db: Database, ops_db: Database, worker_db: Database
) -> None:
    mesh = await led_away(db, ops_db, worker_db, 20_000)
    fits, waits = await made(db), await made(db)
    await work(worker_db, mesh)
    assert [await where(db, each) for each in (fits, waits)] == [FAR, None]
    assert await state(db) == (215_000, 0)
    await sql(db, "update payments.payouts set state = 'paid' where id = $1", fits)
    await corridors.settle_uses(worker_db)
    async with ops_db.transaction("tests.settle") as tx:
        (corridor,) = await tx.connection.fetch("select id from mesh.corridors")
        paid = await settlements.record(
            tx, corridor["id"], amount=15_000, reference="TARGET-1", by="ana", now=NOW
        )
    async with ops_db.transaction("tests.settle") as tx:
        await settlements.confirm(tx, corridor["id"], paid.id, by="bob")
    await following.follow_all(worker_db)
    await work(worker_db, mesh)
    assert await where(db, waits) == FAR
    assert await state(db) == (215_000, 0)


@pytest.mark.parametrize("why", ["rolled back", "a bank of ours", "stopped"])
async def test_a_route_that_does_not_stand_any_more_leads_nobody(
    db: Database, ops_db: Database, worker_db: Database, why: str
) -> None:
    mesh = await led_away(db, ops_db, worker_db, 50_000)
    proposal = await one(db, "select id from mesh.mesh_routing_proposals")
    if why == "rolled back":
        change = "update mesh.mesh_routing_proposals set status = 'rolled_back' where id = $1"
        await sql(db, change, proposal)
    elif why == "stopped":
        await sql(
            db,
            "insert into mesh.kill_switches (scope, is_engaged, reason, changed_by)"
            " values ('region:region_eu', true, 'No', 'ana')",
        )
    else:
        await route_world.a_bank(db, B, flat=250, order=2)
        await sql(db, "update payments.bank_routes set bank_profile_ids = $1", [A, B])
    payout = await made(db)
    await work(worker_db, mesh)
    assert await where(db, payout) == (B if why == "a bank of ours" else None)
    assert await state(db) == (200_000, 0)
