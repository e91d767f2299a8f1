"""A gradual shift that was halted is told, and goes no further without two people."""

from __future__ import annotations

import asyncio

import pytest

import rerouting
from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import Actor
from molam.mesh.control import commands, controller, resuming
from molam.mesh.routing.model import ProposalExpired, ProposalNotInState
from molam.mesh.runtime import Mesh
from molam.platform.db import Database
from rerouting import A, B, C, one, sql

ONE, TWO, THREE = (Actor(id_) for id_ in rerouting.PEOPLE)
WHY = "La banque de secours va mieux."


@pytest.fixture
async def mesh(db: Database, worker_db: Database) -> Mesh:
    """A shift at 5 % whose target fails."""
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 120)
    await rerouting.feel(db, A, failures=0.8)
    for bank in (B, C):
        await rerouting.feel(db, bank)
    await rerouting.let_it_act(db)
    lax = {
        "leave_p_down": "0.5",
        "auto_confidence_threshold": "0.5",
        "min_confidence_for_auto": "0.5",
    }
    await sql(
        db,
        "update mesh.mesh_policies set rules = rules || $1, auto_confidence_threshold = 0.5",
        lax,
    )
    made = rerouting.mesh_on(worker_db)
    begun = await controller.decide(worker_db, made, "XOF", "bank")
    assert begun is not None
    assert begun.share == 5
    return made


async def _fails(db: Database) -> None:
    to = await one(db, "select to_bank_id from mesh.mesh_routing_proposals")
    await sql(
        db,
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, attempts,"
        " failures) values ($1, 'bank', 'XOF', clock_timestamp(), 30, 8)",
        to,
    )


async def _halted(db: Database, worker_db: Database, mesh: Mesh) -> str:
    await _fails(db)
    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("halt", "target_suffers")
    return str(await one(db, "select id from mesh.mesh_routing_proposals where shift_share = 5"))


async def test_a_shift_that_is_halted_is_told_once(db: Database, worker_db: Database, mesh: Mesh):
    proposal = await _halted(db, worker_db, mesh)
    await controller.decide(worker_db, mesh, "XOF", "bank")

    told = await sql(db, "select link, urgent from notices.notices where kind = 'shift_halted'")
    assert told == [(f"/proposals/{proposal}", True)]


async def test_one_person_moves_no_more_of_a_shift(
    db: Database, worker_db: Database, ops_db: Database, mesh: Mesh
):
    proposal = await _halted(db, worker_db, mesh)
    moved = await rerouting.where(db)

    with pytest.raises(ProposalNotInState):
        await commands.approve(rerouting.mesh_on(ops_db), proposal, ONE)
    first = await resuming.resume(rerouting.mesh_on(ops_db), proposal, ONE, reason=WHY)

    assert not resuming.is_resumed(first.action)
    assert first.row.shift_due_at is None
    assert await rerouting.where(db) == moved


async def test_twin_without_the_check_one_person_moves_all_the_rest(
    db: Database,
    worker_db: Database,
    ops_db: Database,
    mesh: Mesh,
    monkeypatch: pytest.MonkeyPatch,
):
    proposal = await _halted(db, worker_db, mesh)
    monkeypatch.setattr(commands, "WHOLE", 0)

    await commands.approve(rerouting.mesh_on(ops_db), proposal, ONE)

    assert (await rerouting.where(db)).get(A, 0) == 0


async def test_two_people_let_a_halted_shift_go_on_and_new_failures_halt_it_again(
    db: Database, worker_db: Database, ops_db: Database, mesh: Mesh
):
    proposal = await _halted(db, worker_db, mesh)
    room = rerouting.mesh_on(ops_db)

    await resuming.resume(room, proposal, ONE, reason=WHY)
    done = await resuming.resume(room, proposal, THREE, reason=WHY)

    assert resuming.is_resumed(done.action)
    assert done.row.shift_due_at is not None
    waits = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert waits is not None
    assert waits.reason == "shift_under_way"
    assert await _halted(db, worker_db, mesh) == proposal
    assert await one(db, "select count(*) from notices.notices where kind = 'shift_halted'") == 2


async def _while_a_worker_carries_it_out(
    db: Database, ops_db: Database, proposal: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Give the second vote while a worker has begun, and takes a moment to end."""
    room = rerouting.mesh_on(ops_db)
    first = await resuming.resume(room, proposal, ONE, reason=WHY)
    assert first.action is not None
    id_, worker = first.action.id, []

    async def ends() -> None:
        await asyncio.sleep(0.2)
        await sql(
            db,
            "update approvals.ops_actions set state = 'executed', result = '{}',"
            " executed_at = now() where id = $1",
            id_,
        )

    async def slower(*_args: object, **_named: object) -> None:
        await sql(db, "update approvals.ops_actions set state = 'executing' where id = $1", id_)
        worker.append(asyncio.create_task(ends()))
        raise TransitionRefused("A worker has begun.")

    monkeypatch.setattr(commands.execution, "execute", slower)
    done = await resuming.resume(room, proposal, THREE, reason=WHY)
    await asyncio.gather(*worker)
    assert done.action is not None
    return done.action.state


async def test_the_last_vote_is_answered_when_the_worker_that_was_faster_has_ended(
    db: Database,
    worker_db: Database,
    ops_db: Database,
    mesh: Mesh,
    monkeypatch: pytest.MonkeyPatch,
):
    proposal = await _halted(db, worker_db, mesh)
    assert await _while_a_worker_carries_it_out(db, ops_db, proposal, monkeypatch) == "executed"


async def test_without_waiting_it_would_say_that_a_vote_is_missing(
    db: Database,
    worker_db: Database,
    ops_db: Database,
    mesh: Mesh,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(commands, "_LOOKS_MAX", 0)
    proposal = await _halted(db, worker_db, mesh)
    assert await _while_a_worker_carries_it_out(db, ops_db, proposal, monkeypatch) == "executing"


async def test_a_shift_away_from_a_bank_that_is_well_does_not_go_on(
    db: Database, worker_db: Database, ops_db: Database, mesh: Mesh
):
    proposal = str(await one(db, "select id from mesh.mesh_routing_proposals"))
    await rerouting.feel(db, A)
    halted = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert halted is not None
    assert (halted.word, halted.reason) == ("halt", "left_is_well")
    room = rerouting.mesh_on(ops_db)

    with pytest.raises(ProposalNotInState, match="is well"):
        await resuming.resume(room, proposal, ONE, reason=WHY)

    await rerouting.feel(db, A, failures=0.8)
    await resuming.resume(room, proposal, ONE, reason=WHY)
    done = await resuming.resume(room, proposal, THREE, reason=WHY)
    assert resuming.is_resumed(done.action)


async def test_without_the_check_it_is_halted_again_at_once(
    db: Database,
    worker_db: Database,
    ops_db: Database,
    mesh: Mesh,
    monkeypatch: pytest.MonkeyPatch,
):
    async def never(*_args: object) -> bool:
        return False

    monkeypatch.setattr(resuming, "_has_recovered", never)
    proposal = str(await one(db, "select id from mesh.mesh_routing_proposals"))
    await rerouting.feel(db, A)
    await controller.decide(worker_db, mesh, "XOF", "bank")
    room = rerouting.mesh_on(ops_db)

    await resuming.resume(room, proposal, ONE, reason=WHY)
    await resuming.resume(room, proposal, THREE, reason=WHY)
    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")

    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("halt", "left_is_well")


async def test_what_is_not_halted_or_too_old_does_not_go_on(
    db: Database, worker_db: Database, ops_db: Database, mesh: Mesh
):
    room = rerouting.mesh_on(ops_db)
    running = str(await one(db, "select id from mesh.mesh_routing_proposals"))
    with pytest.raises(ProposalNotInState):
        await resuming.resume(room, running, ONE, reason=WHY)

    await _halted(db, worker_db, mesh)
    await sql(
        db,
        "update mesh.mesh_routing_proposals set created_at = now() - interval '3 hours',"
        " expires_at = now() - interval '1 second'",
    )
    with pytest.raises(ProposalExpired):
        await resuming.resume(room, running, ONE, reason=WHY)
