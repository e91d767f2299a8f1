"""Sweeping again: nobody stays at a closed gate for good, and nobody is led away for nothing."""

from __future__ import annotations

import msgspec
import pytest

import rerouting
from molam.mesh.control import rollback
from molam.mesh.control.apply import SWEEP, Sweep
from molam.mesh.control.rollback import Undo
from molam.mesh.control.sweeping import ROUNDS_MAX, sweep_again
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.platform.db import Database
from rerouting import A, B, C, sql

DAILY = 50_000


async def _rounds(db: Database) -> list[tuple[int, int]]:
    """List the sweeps that wait: which round each is, and in how many seconds it comes."""
    rows = await sql(
        db,
        "select payload, ceil(extract(epoch from execute_after - now()))::int from jobs.pgqueuer"
        " where entrypoint = $1 and execute_after > now() order by execute_after",
        SWEEP,
    )
    return [(msgspec.json.decode(body, type=Sweep).round, wait_s) for body, wait_s in rows]


async def _sweep(db: Database, mesh: Mesh, asked: Sweep) -> int:
    async with db.transaction("tests.sweep") as tx:
        done = await sweep_again(tx, mesh, asked, turn=f"{asked.round}")
    return 0 if done is None else done.affected_payouts


async def _applied(db: Database, mesh: Mesh, proposal: ProposalRow) -> Sweep:
    done = await rerouting.apply(db, mesh, proposal)
    return Sweep(proposal.id, 100, done.action_id, "user", "ops-admin-2")


async def test_whoever_found_no_room_is_led_on_when_there_is_some(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db, daily=DAILY)
    await rerouting.payouts(db, 12)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, to=(B,))
    asked = await _applied(ops_db, mesh, proposal)
    assert await rerouting.where(db) == {A: 7, B: 5}
    assert await _sweep(ops_db, mesh, asked) == 0
    ((round_, wait_s),) = await _rounds(db)
    assert (round_, wait_s) == (2, pytest.approx(30, abs=2))
    await sql(
        db,
        "update mesh.mesh_members set capabilities = capabilities || $1 where bank_profile_id = $2",
        *({"daily_volume_limit": 10**9}, B),
    )
    assert await _sweep(ops_db, mesh, msgspec.structs.replace(asked, round=2)) == 7
    assert await rerouting.where(db) == {B: 12}
    assert len(await _rounds(db)) == 1


async def test_a_stop_only_delays_it_and_in_the_end_people_are_left_to_decide(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db, daily=DAILY)
    await rerouting.payouts(db, 6)
    mesh = rerouting.mesh_on(ops_db)
    asked = await _applied(ops_db, mesh, await rerouting.a_proposal(db, mesh, to=(B,)))
    await sql(db, "update payments.bank_profiles set enabled = false where id = $1", B)
    last = msgspec.structs.replace(asked, round=ROUNDS_MAX)
    assert await _sweep(ops_db, mesh, last) == 0
    assert await _rounds(db) == []
    late = msgspec.structs.replace(asked, round=ROUNDS_MAX - 1)
    assert await _sweep(ops_db, mesh, late) == 0
    ((round_, wait_s),) = await _rounds(db)
    assert (round_, wait_s) == (ROUNDS_MAX, pytest.approx(900, abs=2))


async def test_a_sweep_that_comes_late_leaves_a_bank_alone_that_was_returned_to(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    mesh = rerouting.mesh_on(ops_db)
    asked = await _applied(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    back = await rerouting.a_proposal(db, mesh, to=(A, B, C), leaves=None, kind="return")
    await rerouting.apply(ops_db, mesh, back)
    await rerouting.payouts(db, 3)
    assert await _sweep(ops_db, mesh, asked) == 0
    assert await rerouting.where(db) == {A: 3}
    assert await _rounds(db) == []


async def test_a_step_that_closed_no_gate_comes_back_to_nobody(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db, daily=DAILY)
    await rerouting.payouts(db, 8)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, to=(B,))
    done = await rerouting.apply(ops_db, mesh, proposal, share=99)
    asked = Sweep(proposal.id, 99, done.action_id, "user", "ops-admin-2")
    assert await rerouting.is_open(db, A)
    assert (await rerouting.where(db))[A] >= 3
    assert await _sweep(ops_db, mesh, asked) == 0
    assert await _rounds(db) == []


async def test_a_route_for_some_amounts_comes_back_for_them(db: Database, ops_db: Database) -> None:
    await rerouting.a_region(db, daily=DAILY)
    await rerouting.payouts(db, 8)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, to=(B,), max_amount=10_000)
    asked = await _applied(ops_db, mesh, proposal)
    assert await rerouting.where(db) == {A: 3, B: 5}
    assert await _sweep(ops_db, mesh, asked) == 0
    assert len(await _rounds(db)) == 1


async def test_what_a_later_sweep_moved_is_rolled_back_with_the_rest(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 2)
    before = await rerouting.image(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    # What somebody held during the first sweep is as if it came after it.
    await sql(db, "update payments.payouts set currency = 'XAF' where id = 'po_0000002'")
    asked = await _applied(ops_db, mesh, proposal)
    await sql(db, "update payments.payouts set currency = 'XOF' where id = 'po_0000002'")
    assert await _sweep(ops_db, mesh, asked) == 1
    assert await rerouting.where(db) == {B: 2}
    undo = Undo(
        proposal_id=proposal.id,
        reason="tests",
        actor=rerouting.PEOPLES,
        window_h=24,
        at=mesh.clock.now(),
    )
    async with ops_db.transaction("tests.undo") as tx:
        done = await rollback.roll_back(tx, undo)
    assert (done.restored_payouts, done.not_reversible_payouts) == (2, 0)
    assert await rerouting.image(db) == before
    assert await rerouting.is_open(db, A)
    assert await sql(db, "select distinct outcome from mesh.mesh_reconciliations") == [
        ("rolled_back",)
    ]
