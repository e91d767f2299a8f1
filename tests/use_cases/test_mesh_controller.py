"""The controller: it leaves a bank that is surely down within moments, and asks where it must."""

from __future__ import annotations

import time
from dataclasses import replace

import rerouting
from molam.mesh.control import controller
from molam.platform.db import Database
from rerouting import A, B, C, one, sql


async def _world(db: Database, *, failing: float = 12) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 50)
    for bank in (B, C):
        await rerouting.feel(db, bank)
    assert (await rerouting.feel(db, A, failures=failing) >= 0.99) == (failing > 2)


async def test_a_bank_that_is_surely_down_is_left_at_once(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await rerouting.let_it_act(db)
    began = time.perf_counter()
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    took_s = time.perf_counter() - began
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("move", "surely_down")
    assert A not in await rerouting.where(db)
    assert sum((await rerouting.where(db)).values()) == 50
    assert not await rerouting.is_open(db, A)
    assert took_s < 2.0, f"{took_s:.2f} s"
    assert await sql(db, "select action_type, actor_type, actor_id from mesh.mesh_action_logs") == [
        ("failover", "policy_engine", "mesh-controller")
    ]
    assert await one(db, "select mode from mesh.member_health where bank_profile_id = $1", A) == (
        "left"
    )
    again = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert again is not None
    assert again.word == "stay"
    assert await one(db, "select count(*) from mesh.mesh_routing_proposals") == 1


async def test_where_people_decide_they_are_asked_once(db: Database, worker_db: Database) -> None:
    await _world(db)
    await rerouting.people(db)
    mesh = rerouting.mesh_on(worker_db)
    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("ask", "approval_required")
    assert await rerouting.where(db) == {A: 50}
    assert await sql(
        db, "select status, ops_action_id is not null from mesh.mesh_routing_proposals"
    ) == [("simulated", True)]
    again = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert again is not None
    assert (again.word, again.reason) == ("stay", "waiting_for_people")
    assert await one(db, "select count(*) from approvals.ops_actions") == 1
    assert await sql(db, "select verdict, reason, from_bank_id from mesh.verdicts") == [
        ("stay", "waiting_for_people", A)
    ]


async def test_a_likely_failure_is_left_step_by_step_and_an_ill_target_halts_it(
    db: Database, worker_db: Database
) -> None:
    await _world(db, failing=0.8)
    await rerouting.payouts(db, 300, prefix="po_more_")
    await rerouting.let_it_act(db)
    await sql(
        db,
        "update mesh.mesh_policies set rules = rules || $1",
        {
            "leave_p_down": "0.5",
            "auto_confidence_threshold": "0.5",
            "min_confidence_for_auto": "0.5",
        },
    )
    await sql(db, "update mesh.mesh_policies set auto_confidence_threshold = 0.5")
    mesh = rerouting.mesh_on(worker_db)
    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason, verdict.share) == ("move", "likely_down", 5)
    assert await one(db, "select shift_share from mesh.mesh_routing_proposals") == 5
    moved = (await rerouting.where(db)).get(B, 0)
    assert 0 < moved < 60
    waits = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert waits is not None
    assert waits.reason == "shift_under_way"
    await sql(db, "update mesh.mesh_routing_proposals set shift_due_at = now()")
    step = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert step is not None
    assert (step.word, step.reason, step.share) == ("step", "no_evidence_against", 25)
    await sql(
        db,
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, attempts,"
        " failures) values ($1, 'bank', 'XOF', now(), 30, 6)",
        await one(db, "select to_bank_id from mesh.mesh_routing_proposals"),
    )
    halted = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert halted is not None
    assert (halted.word, halted.reason) == ("halt", "target_suffers")
    assert await sql(db, "select share, result from mesh.shift_steps order by share") == [
        (5, "no_evidence"),
        (25, "ill"),
    ]


async def test_banks_that_fail_together_freeze_the_routes(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await rerouting.feel(db, B, failures=12)
    await rerouting.people(db)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(worker_db)
    for _ in range(2):
        verdict = await controller.decide(worker_db, mesh, "XOF", "bank")
        assert verdict is not None
        assert (verdict.word, verdict.reason) == ("freeze", "common_mode")
    assert await rerouting.where(db) == {A: 50}
    assert await one(db, "select count(*) from notices.notices where kind = 'mesh_frozen'") == 1


async def test_a_bank_that_is_well_for_long_enough_is_returned_to(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(worker_db)
    await controller.decide(worker_db, mesh, "XOF", "bank")
    await rerouting.feel(db, A, probes_ok=5)
    soon = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert soon is not None
    assert soon.word == "stay"
    await sql(
        db,
        "update mesh.member_health set better_since = now() - interval '6 minutes'"
        " where bank_profile_id = $1",
        A,
    )
    await sql(
        db, "update mesh.mesh_routing_proposals set applied_at = now() - interval '16 minutes'"
    )
    back = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert back is not None
    assert (back.word, back.reason) == ("return", "well_again")
    assert await rerouting.is_open(db, A)
    assert (
        await one(
            db, "select bank_profile_ids[1] from payments.bank_routes where replaced_at is null"
        )
        == A
    )
    assert await rerouting.where(db) != {A: 50}, "what was led away stays where it is"


async def test_an_installation_without_a_controller_decides_nothing(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(worker_db)
    assert (
        await controller.decide(worker_db, replace(mesh, is_controller=False), "XOF", "bank")
        is None
    )
    elsewhere = await controller.decide(worker_db, replace(mesh, region="EU"), "XOF", "bank")
    assert elsewhere is not None
    assert elsewhere.reason == "no_members"
    assert await rerouting.where(db) == {A: 50}
