"""Amounts that no other bank carries: they keep the bank that is left, and say so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import rerouting
from molam.mesh.control import apply as applying
from molam.mesh.control import plan
from molam.mesh.control.apply import Sweep
from molam.mesh.control.rollback import Undo, roll_back
from molam.mesh.control.sweeping import sweep_again
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.payments.banks import gates
from molam.payments.banks.gates import Gate
from molam.platform.db import Database
from rerouting import A, B, C, one, sql

LARGE = 20_000
BANDS = [
    {"min_amount": 0, "max_amount": 15_000, "bank_profile_ids": [B, C]},
    {"min_amount": 15_001, "max_amount": None, "bank_profile_ids": []},
]
WAY = Gate(A, "bank", "XOF")


async def _proposal(db: Database, mesh: Mesh, **fields: Any) -> ProposalRow:
    sequence = [{"bank_profile_id": each} for each in (B, C)]
    return await rerouting.a_proposal(
        db, mesh, proposal={"sequence": sequence, "bands": BANDS}, **fields
    )


async def _two_bands(db: Database, ops_db: Database) -> Mesh:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)
    await rerouting.payouts(db, 2, amount=LARGE, prefix="big_")
    return rerouting.mesh_on(ops_db)


async def test_what_no_other_bank_carries_keeps_its_bank_and_is_counted(
    db: Database, ops_db: Database
) -> None:
    mesh = await _two_bands(db, ops_db)
    done = await rerouting.apply(ops_db, mesh, await _proposal(db, mesh))
    assert await rerouting.where(db) == {B: 3}
    assert await rerouting.where(db, "big_") == {A: 2}
    assert (done.affected_payouts, done.remaining_payouts) == (3, 0)
    assert (done.staying_payouts, done.staying_value, done.result) == (2, 2 * LARGE, "partial")
    assert not await rerouting.is_open(db, A, 15_000)
    assert await rerouting.is_open(db, A, 15_001)


async def test_with_a_gate_for_all_amounts_they_would_be_stranded(
    db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "covered", lambda _bands: list(gates.EVERY_AMOUNT))
    mesh = await _two_bands(db, ops_db)
    await rerouting.apply(ops_db, mesh, await _proposal(db, mesh))
    assert await rerouting.where(db, "big_") == {A: 2}
    assert not await rerouting.is_open(db, A, LARGE)


async def test_new_payouts_go_by_the_gate_of_their_amount(db: Database, ops_db: Database) -> None:
    mesh = await _two_bands(db, ops_db)
    await rerouting.apply(ops_db, mesh, await _proposal(db, mesh))
    first = """
        select b from payments.bank_routes as r, unnest(r.bank_profile_ids) with ordinality as s(b, n)
         where r.replaced_at is null and r.min_amount <= $1 and coalesce(r.max_amount, $1) >= $1
           and payments.share_gate(b, 'bank', 'XOF', $1)
         order by r.min_amount desc, n limit 1
    """
    assert await one(db, first, 15_000) == B
    assert await one(db, first, 15_001) == A


async def test_what_a_bank_takes_at_once_bounds_what_the_gate_closes_for(
    db: Database, ops_db: Database
) -> None:
    """Its limit was lowered after the route was proposed."""
    mesh = await _two_bands(db, ops_db)
    await sql(
        db,
        "update mesh.mesh_members set capabilities = capabilities || '{\"max_amount_per_txn\": 12000}'"
        " where bank_profile_id = any($1)",
        [B, C],
    )
    done = await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    assert (done.staying_payouts, done.remaining_payouts) == (2, 0)
    assert not await rerouting.is_open(db, A, 12_000)
    assert await rerouting.is_open(db, A, 12_001)


async def test_later_sweeps_do_not_come_back_for_what_stays(db: Database, ops_db: Database) -> None:
    mesh = await _two_bands(db, ops_db)
    proposal = await _proposal(db, mesh)
    done = await rerouting.apply(ops_db, mesh, proposal)
    asked = Sweep(proposal.id, 100, done.action_id, "user", "ops-admin-2")
    async with ops_db.transaction("tests.sweep") as tx:
        assert await sweep_again(tx, mesh, asked, turn="1") is None
    again = "select count(*) from jobs.pgqueuer where entrypoint = $1 and convert_from(payload, 'UTF8')::jsonb ? 'round' and (convert_from(payload, 'UTF8')::jsonb ->> 'round')::int > 1"
    assert await one(db, again, applying.SWEEP) == 0


async def test_a_sweep_leaves_amounts_alone_for_which_the_bank_was_opened_again(
    db: Database, ops_db: Database
) -> None:
    mesh = await _two_bands(db, ops_db)
    proposal = await _proposal(db, mesh)
    done = await rerouting.apply(ops_db, mesh, proposal)
    async with db.transaction("tests.open") as tx:
        assert await gates.open_(tx, WAY, cause="tests", amounts=[(0, 15_000)]) == [(0, 15_000)]
        assert await gates.close(tx, WAY, cause="tests", amounts=[(1, 9)]) == [(1, 9)]
    await rerouting.payouts(db, 2, prefix="late_")
    asked = Sweep(proposal.id, 100, done.action_id, "user", "ops-admin-2")
    async with ops_db.transaction("tests.sweep") as tx:
        await sweep_again(tx, mesh, msgspec.structs.replace(asked, round=2), turn="2")
    assert await rerouting.where(db, "late_") == {B: 2}


async def test_a_rollback_opens_what_its_route_closed_and_nothing_else(
    db: Database, ops_db: Database
) -> None:
    mesh = await _two_bands(db, ops_db)
    async with db.transaction("tests.close") as tx:
        assert await gates.close(tx, WAY, cause="tests", amounts=[(1, 500)]) == [(1, 500)]
    before = await rerouting.image(db)
    proposal = await _proposal(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    undo = Undo(
        proposal_id=proposal.id,
        reason="essai",
        actor=rerouting.PEOPLES,
        window_h=24,
        at=mesh.clock.now(),
    )
    async with ops_db.transaction("tests.roll_back") as tx:
        await roll_back(tx, undo)
    assert await rerouting.image(db) == before
    assert not await rerouting.is_open(db, A, 500)
    assert await rerouting.is_open(db, A, 501)
    assert await rerouting.is_open(db, A, 15_000)


async def test_a_bank_that_is_shut_for_a_band_is_not_led_to_in_it(
    db: Database, ops_db: Database
) -> None:
    mesh = await _two_bands(db, ops_db)
    async with db.transaction("tests.close") as tx:
        await gates.close(tx, Gate(B, "bank", "XOF"), cause="tests", amounts=[(15_000, 15_000)])
    await rerouting.apply(ops_db, mesh, await _proposal(db, mesh))
    assert await rerouting.where(db) == {C: 3}


async def test_people_who_hold_a_gate_hold_it_for_all_amounts(db: Database) -> None:
    await rerouting.a_region(db)
    async with db.transaction("tests.hold") as tx:
        await gates.close(tx, WAY, cause="tests", amounts=[(0, 100)])
        await gates.hold(tx, [WAY], cause="tests")
        assert not await gates.share(tx, WAY, 101)
        await gates.let_go(tx, [WAY], cause="tests")
        assert await gates.share(tx, WAY, 101)
        assert not await gates.share(tx, WAY, 100)


async def test_processes_of_the_release_before_close_and_open_all_of_it(db: Database) -> None:
    await rerouting.a_region(db)
    async with db.transaction("tests.close") as tx:
        await gates.close(tx, WAY, cause="tests", amounts=[(0, 100)])
    assert await one(db, "select payments.share_gate($1, 'bank', 'XOF')", A) is False
    assert await one(db, "select payments.set_gate($1, 'bank', 'XOF', false, 'old')", A) is True
    assert not await rerouting.is_open(db, A, 101)
    assert await one(db, "select payments.set_gate($1, 'bank', 'XOF', true, 'old')", A) is True
    assert await rerouting.is_open(db, A, 1)
