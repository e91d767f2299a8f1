"""The controller: it leaves a bank that is surely down within moments, and asks where it must."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import rerouting
from molam.mesh.control import controller, rollback
from molam.mesh.control.rollback import Undo
from molam.mesh.routing import commands as routing
from molam.mesh.routing.model import Wanted
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


async def _left(db: Database, worker_db: Database, *, probes_ok: int = 0) -> None:
    """A has been left, long enough ago for what comes next."""
    await _world(db)
    await rerouting.let_it_act(db)
    await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    if probes_ok:
        await rerouting.feel(db, A, probes_ok=probes_ok)
    await sql(
        db,
        "update mesh.member_health set better_since = now() - interval '6 minutes'"
        " where bank_profile_id = $1",
        A,
    )
    await sql(
        db, "update mesh.mesh_routing_proposals set applied_at = now() - interval '16 minutes'"
    )


async def _mode(db: Database, bank: str) -> str:
    mode = await one(db, "select mode from mesh.member_health where bank_profile_id = $1", bank)
    return str(mode)


async def test_a_bank_that_is_fit_again_but_not_preferred_is_readmitted_and_moves_nothing(
    db: Database, worker_db: Database
) -> None:
    await _left(db, worker_db, probes_ok=5)
    await sql(db, "update mesh.mesh_members set prefer_order = 9 where bank_profile_id = $1", A)
    routes = "select bank_profile_ids from payments.bank_routes where replaced_at is null"
    before = (await rerouting.where(db), await sql(db, routes))
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason, verdict.to_bank) == ("readmit", "fit_again", A)
    assert (await rerouting.where(db), await sql(db, routes)) == before
    assert (await rerouting.is_open(db, A), await _mode(db, A)) == (True, "serving")
    assert await one(db, "select count(*) from mesh.mesh_routing_proposals") == 1
    assert (
        await one(
            db,
            "select count(*) from audit.ops_approval_audit where body::jsonb ->> 'event' = 'mesh.readmit'",
        )
        == 1
    )
    assert await sql(db, "select verdict, reason, to_bank_id from mesh.verdicts") == [
        ("return", "fit_again", A)
    ]


async def test_a_bank_that_is_fit_again_takes_over_where_the_last_other_one_fails(
    db: Database, worker_db: Database
) -> None:
    await _left(db, worker_db, probes_ok=5)
    await sql(db, "update mesh.mesh_members set status = 'suspended' where bank_profile_id = $1", C)
    await rerouting.feel(db, B, failures=12)
    await sql(
        db, "update payments.payouts set bank_profile_id = $1, treasury_account_id = 'ta_' || $1", B
    )
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("move", "surely_down")
    assert await rerouting.where(db) == {A: 50}
    assert not await rerouting.is_open(db, B)


async def test_a_bank_whose_member_is_stopped_is_not_readmitted(
    db: Database, worker_db: Database
) -> None:
    await _left(db, worker_db, probes_ok=5)
    await sql(db, "update mesh.mesh_members set prefer_order = 9 where bank_profile_id = $1", A)
    await sql(
        db,
        "insert into mesh.kill_switches (scope, is_engaged, reason, changed_by)"
        " values ('member:mm_bank_a', true, 'tests', 'tests')",
    )
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    assert verdict.word == "stay"
    assert not await rerouting.is_open(db, A)


async def test_what_still_waits_for_a_bank_that_was_left_follows_and_is_damped(
    db: Database, worker_db: Database
) -> None:
    await _left(db, worker_db)
    mesh = rerouting.mesh_on(worker_db)
    await rerouting.payouts(db, 7, prefix="po_late_")
    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("move", "leftovers")
    assert A not in await rerouting.where(db)
    await rerouting.payouts(db, 7, prefix="po_later_")
    soon = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert soon is not None
    assert (soon.word, soon.reason) == ("stay", "cooldown")
    await sql(
        db, "update mesh.mesh_members set status = 'suspended' where bank_profile_id <> $1", A
    )
    await sql(
        db, "update mesh.mesh_routing_proposals set applied_at = now() - interval '16 minutes'"
    )
    nobody = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert nobody is not None
    assert (nobody.word, nobody.reason) == ("stay", "last_healthy")
    assert (await rerouting.where(db))[A] == 7


async def test_where_sira_is_less_sure_than_asked_for_people_are_asked(
    db: Database, worker_db: Database
) -> None:
    await _world(db, failing=0.8)
    await rerouting.people(db)
    await rerouting.let_it_act(db)
    sure = {"auto_confidence_threshold": "0.9999", "min_confidence_for_auto": "0.9999"}
    await sql(
        db, "update mesh.mesh_policies set rules = rules || $1", {"leave_p_down": "0.5", **sure}
    )
    await sql(db, "update mesh.mesh_policies set auto_confidence_threshold = 0.9999")
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("ask", "not_sure_enough")
    assert await rerouting.where(db) == {A: 50}
    assert await one(db, "select count(*) from approvals.ops_actions") == 1


async def test_leftovers_that_found_no_room_are_not_proposed_again_each_minute(
    db: Database, worker_db: Database
) -> None:
    await _left(db, worker_db)
    mesh = rerouting.mesh_on(worker_db)
    await rerouting.payouts(db, 7, prefix="po_late_")
    earlier = datetime.now(UTC) - timedelta(minutes=10)
    await rerouting.a_proposal(db, mesh, status="simulated", created_at=earlier)
    await sql(
        db,
        "update mesh.mesh_routing_proposals set created_at = $1 where status = 'simulated'",
        earlier,
    )
    count = "select count(*) from mesh.mesh_routing_proposals"
    before = await one(db, count)
    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("stay", "cooldown")
    assert await one(db, count) == before
    await sql(
        db,
        "update mesh.mesh_routing_proposals set created_at = now() - interval '16 minutes'",
    )
    later = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert later is not None
    assert (later.word, later.reason) == ("move", "leftovers")


async def test_a_bank_that_got_worse_during_a_decision_is_looked_at_again_at_once(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(worker_db)
    # As if another decision had just proposed to leave it, and not led anybody away yet.
    async with worker_db.transaction("tests.propose") as tx:
        await routing.propose(
            tx,
            mesh,
            Wanted(
                mesh_region_id=rerouting.REGION,
                currency="XOF",
                rail="bank",
                kind="failover",
                created_by="sira",
                from_bank_id=A,
            ),
        )

    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")

    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("stay", "just_proposed")
    waiting = "select count(*) from jobs.pgqueuer where entrypoint = 'mesh.decide'"
    assert await one(db, waiting) == 1


async def test_what_people_took_back_is_theirs_to_decide(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await _world(db)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(worker_db)
    await controller.decide(worker_db, mesh, "XOF", "bank")
    proposal_id = await one(db, "select id from mesh.mesh_routing_proposals")
    undo = Undo(
        proposal_id=proposal_id,
        reason="The bank says that it is well.",
        actor=rerouting.PEOPLES,
        window_h=24,
        at=mesh.clock.now(),
    )
    async with ops_db.transaction("tests.undo") as tx:
        await rollback.roll_back(tx, undo)
    await sql(db, "update mesh.mesh_routing_proposals set created_at = now() - interval '1 hour'")

    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")

    assert verdict is not None
    assert verdict.word != "move"
    assert await rerouting.where(db) == {A: 50}
