"""Payouts go to banks of another region through a corridor that both agreed to, and no other way."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

import rerouting
import route_world
from molam.kernel.clock import SystemClock
from molam.mesh.control import controller, looking, plan
from molam.mesh.control.model import NobodyTakes
from molam.mesh.control.plan import Band
from molam.mesh.federation import corridors, model, settlements
from molam.mesh.federation.corridor_store import CorridorRow
from molam.mesh.federation.peers import Peers
from molam.mesh.members import switches
from molam.mesh.routing import reasons
from molam.mesh.routing.model import NoRoute
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.platform.db import Database
from rerouting import one, sql
from route_world import A

FAR, FARTHER = "bank_paris", "bank_lyon"
NOW = SystemClock().now()


async def a_world(db: Database, *, far: tuple[str, ...] = (FAR,)) -> None:
    """One bank of ours that fails, ten payouts of 20,000 that wait for it, and banks in the EU."""
    await route_world.a_merchant(db, id_=route_world.MERCHANT)
    await route_world.a_bank(db, A, flat=300, order=1)
    await route_world.a_route(db, (A,))
    for each in far:
        await route_world.a_bank(db, each, region="region_eu", country="FR", flat=350)
        await route_world.believed(db, each)
    await route_world.believed(db, A, failures=8)
    await route_world.payouts(db, 10)


async def a_corridor(db: Database, limit: int = 100_000, path: tuple[str, ...] = ()) -> CorridorRow:
    regions = path or ("CEDEAO", "EU")
    async with db.transaction("tests.corridor") as tx:
        row = await corridors.propose(
            tx, regions, code="XOF", limits=(limit, 2 * limit), by="ana", now=NOW
        )
        for region, by in ((regions[0], "ana"), (regions[-1], "bob")):
            row = await corridors.agree_here(tx, Peers(), row.id, region, by=by)
    return row


async def state(db: Database) -> tuple[int, int]:
    """What the corridor has reserved, and what it has carried."""
    [row] = await sql(db, "select reserved::bigint, position::bigint from mesh.corridors")
    return row  # type: ignore[return-value]


async def approved(db: Database, mesh: Mesh, **wanted: object) -> ProposalRow:
    row = await route_world.propose(db, mesh, from_bank_id=A, kind="failover", **wanted)
    await sql(
        db, "update mesh.mesh_routing_proposals set status = 'approved' where id = $1", row.id
    )
    return replace(row, status="approved")


async def test_without_a_corridor_nobody_beyond_the_region_carries(
    db: Database, ops_db: Database
) -> None:
    await a_world(db)
    mesh = rerouting.mesh_on(ops_db)
    with pytest.raises(NoRoute, match="Payouts are to leave this bank"):
        await approved(db, mesh)
    with pytest.raises(NoRoute, match="no corridor carries XOF there"):
        await route_world.propose(db, mesh, kind="override", first=(FAR,), from_bank_id=A)
    async with ops_db.transaction("tests.propose") as tx:
        row = await corridors.propose(
            tx, ["CEDEAO", "EU"], code="XOF", limits=(10**6, 10**6), by="ana", now=NOW
        )
        await corridors.agree_here(tx, Peers(), row.id, "CEDEAO", by="ana")
    with pytest.raises(NoRoute, match="no corridor carries XOF there"):
        await approved(db, mesh)


async def test_a_corridor_carries_as_much_as_it_can_take_and_no_more(
    db: Database, ops_db: Database
) -> None:
    await a_world(db)
    await a_corridor(ops_db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await approved(db, mesh)
    assert route_world.order_of(proposal) == [FAR]
    assert proposal.proposal["corridors"][FAR]["region"] == "EU"
    applied = await rerouting.apply(ops_db, mesh, proposal)
    assert (applied.affected_payouts, applied.remaining_payouts) == (5, 5)
    assert await rerouting.where(db) == {A: 5, FAR: 5}
    assert await state(db) == (100_000, 0)
    # Payouts that come later must not reach it without a reservation.
    assert await one(db, "select bank_profile_ids from payments.bank_routes") == [A]
    with pytest.raises(NoRoute, match="Of the corridor to its region, 0"):
        await approved(db, mesh)


async def test_what_is_paid_is_used_until_the_regions_settle(
    db: Database, ops_db: Database, worker_db: Database
) -> None:
    await a_world(db)
    corridor = await a_corridor(ops_db)
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await approved(db, mesh))
    moved = [row[0] for row in await sql(db, "select payout_id from mesh.corridor_uses order by 1")]
    for id_, became in zip(moved, ("paid", "paid", "failed"), strict=False):
        await sql(db, "update payments.payouts set state = $2 where id = $1", id_, became)
    await sql(db, "update payments.payouts set bank_profile_id = $2 where id = $1", moved[3], A)
    await corridors.settle_uses(worker_db)
    await corridors.settle_uses(worker_db)
    assert await state(db) == (20_000, 40_000)
    await sql(db, "update payments.payouts set state = 'returned' where id = $1", moved[0])
    await corridors.settle_uses(worker_db)
    assert await state(db) == (20_000, 20_000)
    async with ops_db.transaction("tests.settle") as tx:
        told = {"amount": 20_000, "reference": "TARGET-1", "now": NOW}
        noted = await settlements.record(tx, corridor.id, by="ana", **told)
        assert (await settlements.record(tx, corridor.id, by="bob", **told)).id == noted.id
    assert await state(db) == (20_000, 20_000)
    with pytest.raises(model.SettlementRefused, match="Somebody else"):
        async with ops_db.transaction("tests.alone") as tx:
            await settlements.confirm(tx, corridor.id, noted.id, by="ana")
    for _ in range(2):
        async with ops_db.transaction("tests.both") as tx:
            await settlements.confirm(tx, corridor.id, noted.id, by="bob")
    assert await state(db) == (20_000, 0)
    # 20,000 are still reserved by a payout under way, and nothing that was carried is left.
    with pytest.raises(model.SettlementRefused, match="more than the corridor"):
        async with ops_db.transaction("tests.too_much") as tx:
            await settlements.record(
                tx, corridor.id, amount=1, reference="TARGET-2", by="ana", now=NOW
            )
    async with ops_db.transaction("tests.again") as tx:
        again = await settlements.record(tx, corridor.id, by="ana", **told)
    assert (again.id, again.confirmed_by) == (noted.id, "bob")


async def test_what_came_back_after_it_was_noted_is_not_confirmed(
    db: Database, ops_db: Database, worker_db: Database
) -> None:
    await a_world(db)
    corridor = await a_corridor(ops_db)
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await approved(db, mesh))
    ((moved,), *_) = await sql(db, "select payout_id from mesh.corridor_uses order by 1")
    await sql(db, "update payments.payouts set state = 'paid' where id = $1", moved)
    await corridors.settle_uses(worker_db)
    async with ops_db.transaction("tests.note") as tx:
        noted = await settlements.record(
            tx, corridor.id, amount=20_000, reference="TARGET-3", by="ana", now=NOW
        )
    await sql(db, "update payments.payouts set state = 'returned' where id = $1", moved)
    await corridors.settle_uses(worker_db)
    with pytest.raises(model.SettlementRefused, match="more than the corridor"):
        async with ops_db.transaction("tests.confirm") as tx:
            await settlements.confirm(tx, corridor.id, noted.id, by="bob")


@pytest.mark.parametrize("why", ["closed", "path", "stopped"])
async def test_a_corridor_is_looked_at_again_when_the_route_is_applied(
    db: Database, ops_db: Database, why: str
) -> None:
    await a_world(db)
    corridor = await a_corridor(ops_db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await approved(db, mesh)
    before = await rerouting.image(db)
    if why == "closed":
        async with ops_db.transaction("tests.close") as tx:
            await corridors.reject(tx, corridor.id)
    elif why == "path":
        loop = ["region_cedeao", "region_eu", "region_cedeao", "region_eu"]
        await sql(db, "update mesh.corridors set path = $1", loop)
    else:
        async with db.transaction("tests.stop") as tx:
            await switches.turn(tx, "region:region_eu", is_engaged=True, reason="No", by="ana")
    with pytest.raises(NobodyTakes, match="corridor that is closed or full"):
        await rerouting.apply(ops_db, mesh, proposal)
    assert await rerouting.image(db) == before
    assert await state(db) == (0, 0)


async def test_two_banks_behind_one_corridor_are_given_no_more_than_it_can_take(
    db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_world(db, far=(FAR, FARTHER))
    await sql(
        db,
        "update mesh.mesh_members set capabilities = capabilities || '{\"daily_volume_limit\": 60000}'"
        " where mesh_region_id = 'region_eu'",
    )
    await a_corridor(ops_db, 80_000)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await approved(db, mesh)

    def each_alone(band: Band, _spent: dict[str, int]) -> list[int]:
        return [min(each.room, each.corridor_room) for each in band.targets]

    with monkeypatch.context() as without:
        # Without the safety the batch would take more; the database is the second wall.
        without.setattr(plan, "rooms", each_alone)
        with pytest.raises(asyncpg.CheckViolationError):
            await rerouting.apply(ops_db, mesh, proposal)
    assert await state(db) == (0, 0)
    await rerouting.apply(ops_db, mesh, proposal)
    reserved, _ = await state(db)
    assert 60_000 <= reserved <= 80_000
    far = sum(count for bank, count in (await rerouting.where(db)).items() if bank != A)
    assert far * 20_000 == reserved


async def test_taking_a_route_back_gives_the_corridor_its_room_back(
    db: Database, ops_db: Database, worker_db: Database
) -> None:
    await a_world(db)
    await a_corridor(ops_db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await approved(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    assert await state(db) == (100_000, 0)
    await sql(
        db,
        "update payments.payouts set bank_profile_id = $1, treasury_account_id = 'ta_bank_a_XOF',"
        " version = version + 1",
        A,
    )
    await corridors.settle_uses(worker_db)
    assert await state(db) == (0, 0)


async def test_the_last_bank_of_a_region_is_left_for_another_region_by_people_alone(
    db: Database, ops_db: Database
) -> None:
    await a_world(db)
    mesh = rerouting.mesh_on(ops_db)
    scope = looking.Scope("region_cedeao", "XOF", "bank")
    async with ops_db.transaction("tests.look") as tx:
        world, _ = await looking.look(tx, mesh, scope)
    assert world.spares == ()
    assert controller.judge(world).reason == "last_healthy"
    await a_corridor(ops_db)
    async with ops_db.transaction("tests.look") as tx:
        world, _ = await looking.look(tx, mesh, scope)
    assert [each.id for each in world.spares] == [FAR]
    verdict = controller.judge(replace(world, may_act_alone=True))
    assert (verdict.word, verdict.reason) == ("ask", "other_region")


def test_each_breach_has_a_sentence_in_both_languages() -> None:
    facts: dict[str, str | int] = {
        "region": "EU",
        "currency": "XOF",
        "steps": 3,
        "limit_amount": 500,
    }
    for code in ("no_corridor", "corridor_path", "corridor_full"):
        said = {
            reasons.sentence(reasons.Reason(code, facts), language, currency="XOF")
            for language in ("fr", "en")
        }
        assert len(said) == 2
