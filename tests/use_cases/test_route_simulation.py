"""Trying a proposal out: what it would do to the payouts that wait, and nothing done."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

import route_world
from molam.mesh.routing.model import ProposalAbsent, ProposalExpired, ProposalNotInState
from molam.mesh.routing.store import ProposalRow
from molam.platform.db import Database
from molam.platform.settings import Secret
from molam.sira.signing import AdviceRefused
from route_world import A, B, C


@pytest.fixture
async def world(db: Database) -> Database:
    await route_world.a_region(db)
    await route_world.believed(db, A, failures=5)
    await route_world.believed(db, B)
    await route_world.believed(db, C)
    return db


async def leaving_a(db: Database) -> ProposalRow:
    return await route_world.propose(db, route_world.mesh_on(db), kind="failover", from_bank_id=A)


async def test_counts_value_and_cost_are_those_of_the_waiting_payouts(
    world: Database, ops_db: Database
):
    await route_world.payouts(world, 3, amount=20_000)
    await route_world.payouts(world, 2, amount=79_000, prefix="mid_", state="held")
    await route_world.payouts(world, 1, amount=15_000_000, prefix="big_", state="scheduled")
    await route_world.payouts(world, 4, amount=1_000, prefix="b_", bank=B)
    mesh = route_world.mesh_on(ops_db)
    row = await leaving_a(ops_db)

    found = await route_world.simulate(ops_db, mesh, row)

    # 20,000 goes to B for 270; 79,000 to C for 320; 15,000,000 is beyond everybody.
    assert (found.affected_payouts, found.affected_value) == (5, 218_000)
    assert (found.without_route, found.without_route_value) == (1, 15_000_000)
    assert (found.estimated_cost_before, found.estimated_cost_after) == (1_500, 1_450)
    assert found.estimated_cost_delta == -50
    assert found.estimated_latency_delta_seconds < -3_600
    assert (found.new_bank_profile_id, found.new_bank_name) == (B, "Bank B")
    assert found.confidence == row.confidence
    counts = {
        each.bank_profile_id: (each.payouts_before, each.payouts_after, each.value_after)
        for each in found.members
    }
    assert counts == {A: (6, 1, 15_000_000), B: (4, 7, 64_000), C: (0, 2, 158_000)}
    assert found.above_threshold == 0


async def test_nothing_else_in_the_world_is_touched_or_counted(world: Database, ops_db: Database):
    await route_world.payouts(world, 2)
    await route_world.payouts(world, 2, prefix="fr_", country="FR")
    await route_world.payouts(world, 2, prefix="sent_", attempts=1)
    await route_world.sql(
        world, "update payments.payouts set state = 'in_transit' where id = 'po_0000002'"
    )
    before = await _image(world)
    mesh = route_world.mesh_on(ops_db)

    found = await route_world.simulate(ops_db, mesh, await leaving_a(ops_db))

    assert found.affected_payouts == 1
    assert await _image(world) == before


async def test_violations_are_of_the_batch_and_not_of_each_payout(
    world: Database, ops_db: Database
):
    await route_world.begin_books(world, B, 50_000)
    await route_world.sql(
        world,
        "update mesh.mesh_members set capabilities = capabilities || $2 where bank_profile_id = $1",
        *(B, {"daily_volume_limit": 70_000}),
    )
    await route_world.payouts(world, 5, amount=20_000)
    mesh = route_world.mesh_on(ops_db)

    found = await route_world.simulate(ops_db, mesh, await leaving_a(ops_db))

    # Two of 20,000 are covered by 50,000, and three fit into 70,000.
    assert (found.affected_payouts, found.cover_violations, found.cap_violations) == (5, 3, 2)


async def test_payouts_above_the_threshold_are_named(world: Database, ops_db: Database):
    await route_world.sql(
        world,
        "update mesh.mesh_policies set rules = rules || $1 where mesh_region_id = 'region_cedeao'",
        {"approval_required_threshold": 30_000},
    )
    await route_world.payouts(world, 3)
    await route_world.payouts(world, 2, amount=40_000, prefix="large_")
    mesh = route_world.mesh_on(ops_db)

    found = await route_world.simulate(ops_db, mesh, await leaving_a(ops_db))

    assert found.approval_threshold == 30_000
    assert (found.above_threshold, found.above_threshold_value) == (2, 80_000)
    assert found.above_threshold_ids == ("large_0000001", "large_0000002")


async def test_the_worst_case_is_the_target_failing_next(world: Database, ops_db: Database):
    await route_world.payouts(world, 3)
    await route_world.payouts(world, 1, bank=B, prefix="b_")
    mesh = route_world.mesh_on(ops_db)

    found = await route_world.simulate(ops_db, mesh, await leaving_a(ops_db))

    assert found.worst_case_bank_profile_id == B
    assert (found.worst_case_payouts, found.worst_case_value) == (4, 80_000)
    assert found.worst_case_without_next == 0
    assert (found.concentration_before, found.concentration_after) == (75, 100)


async def test_simulating_twice_says_the_same_and_is_kept(world: Database, ops_db: Database):
    await route_world.payouts(world, 3)
    mesh, row = route_world.mesh_on(ops_db), await leaving_a(ops_db)

    one = await route_world.simulate(ops_db, mesh, row)
    other = await route_world.simulate(ops_db, mesh, row)

    # Only the time that passed in between may make a second's difference.
    assert replace_latency(one) == replace_latency(other)
    kept = await route_world.stored(ops_db, row.id)
    assert kept.status == "simulated"
    assert kept.simulation_results is not None
    assert kept.simulation_results["affected_payouts"] == 3
    assert kept.simulation_results["confidence"] == float(row.confidence)


async def test_with_nothing_waiting_nothing_is_affected(world: Database, ops_db: Database):
    mesh = route_world.mesh_on(ops_db)

    found = await route_world.simulate(ops_db, mesh, await leaving_a(ops_db))

    assert (found.affected_payouts, found.estimated_latency_delta_seconds) == (0, 0)
    assert found.worst_case_bank_profile_id is None


async def test_a_return_is_replayed_on_the_bank_now_used(world: Database, ops_db: Database):
    await route_world.believed(world, A)
    await route_world.payouts(world, 2, bank=A)
    await route_world.payouts(world, 3, bank=B, prefix="b_")
    mesh = route_world.mesh_on(ops_db)
    row = await route_world.propose(
        ops_db, mesh, kind="return", from_bank_id=B, first=(A,), max_amount=100_000
    )

    found = await route_world.simulate(ops_db, mesh, row)

    assert (found.affected_payouts, found.new_bank_profile_id) == (3, A)


async def test_payouts_without_a_bank_go_along(world: Database, ops_db: Database):
    await route_world.payouts(world, 2, bank=None)
    mesh = route_world.mesh_on(ops_db)

    found = await route_world.simulate(ops_db, mesh, await leaving_a(ops_db))

    assert (found.affected_payouts, found.estimated_cost_before) == (2, 0)


async def test_what_was_decided_is_not_simulated(world: Database, ops_db: Database):
    mesh = route_world.mesh_on(ops_db)
    for steps in (("approved",), ("rejected",), ("applied",), ("applied", "rolled_back")):
        row = await leaving_a(ops_db)
        for step in steps:
            await route_world.sql(
                world,
                "update mesh.mesh_routing_proposals set status = $2 where id = $1",
                *(row.id, step),
            )

        with pytest.raises(ProposalNotInState):
            await route_world.simulate(ops_db, mesh, row)

        assert (await route_world.stored(ops_db, row.id)).status == steps[-1]


async def test_what_is_old_forged_or_absent_is_not_simulated(world: Database, ops_db: Database):
    mesh, row = route_world.mesh_on(ops_db), await leaving_a(ops_db)

    with pytest.raises(ProposalAbsent):
        await route_world.simulate(ops_db, mesh, replace(row, id="mrp_none"))
    with pytest.raises(AdviceRefused):
        await route_world.simulate(ops_db, replace(mesh, signing_key=Secret("x" * 48)), row)
    # What the trigger does not keep from changing, the signature does.
    await route_world.sql(
        world,
        "update mesh.mesh_routing_proposals set to_bank_id = 'bank_c' where id = $1",
        row.id,
    )
    with pytest.raises(AdviceRefused):
        await route_world.simulate(ops_db, mesh, row)
    await route_world.sql(
        world,
        "update mesh.mesh_routing_proposals set expires_at = now() - interval '1 second'"
        " where id = $1",
        row.id,
    )
    with pytest.raises(ProposalExpired):
        await route_world.simulate(ops_db, mesh, row)


def replace_latency(found: object) -> object:
    return msgspec.structs.replace(found, estimated_latency_delta_seconds=0)  # type: ignore[type-var]


async def _image(db: Database) -> list[tuple[object, ...]]:
    return await route_world.sql(
        db,
        "select id, state, version, bank_profile_id, updated_at from payments.payouts order by id",
    )
