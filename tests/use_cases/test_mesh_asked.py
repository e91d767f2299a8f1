"""What people were asked about is not proposed anew at each look, while it holds."""

from __future__ import annotations

import pytest

import rerouting
from molam.mesh.control import controller
from molam.mesh.control.world import Verdict
from molam.platform.db import Database
from rerouting import A, B, C, one, sql

RULES = {
    "leave_p_down": "0.5",
    "auto_confidence_threshold": "0.9999",
    "min_confidence_for_auto": "0.9999",
}
OLD = "created_at = now() - interval '1 hour'"


async def _decided(worker_db: Database) -> Verdict:
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    return verdict


async def _asked(db: Database, worker_db: Database) -> None:
    """SIRA may act alone, is less sure than that asks for, and has asked people."""
    await rerouting.a_region(db)
    await rerouting.payouts(db, 50)
    for bank in (B, C):
        await rerouting.feel(db, bank)
    await rerouting.feel(db, A, failures=0.8)
    await rerouting.people(db)
    await rerouting.let_it_act(db)
    await sql(
        db,
        "update mesh.mesh_policies set auto_confidence_threshold = 0.9999, rules = rules || $1",
        RULES,
    )
    assert (await _decided(worker_db)).word == "ask"


async def _proposals(db: Database) -> tuple[int, int]:
    """How many there are, and how many people were asked about."""
    return (
        await one(db, "select count(*) from mesh.mesh_routing_proposals"),
        await one(db, "select count(*) from approvals.ops_actions"),
    )


async def test_while_it_holds_nothing_is_proposed_again(db: Database, worker_db: Database):
    await _asked(db, worker_db)
    await sql(db, f"update mesh.mesh_routing_proposals set {OLD}")
    known = await one(db, "select id from mesh.mesh_routing_proposals")

    for _ in range(2):
        verdict = await _decided(worker_db)
        assert (verdict.word, verdict.reason) == ("stay", "waiting_for_people")

    assert await _proposals(db) == (1, 1)
    assert await sql(db, "select reason, proposal_id from mesh.verdicts") == [
        ("waiting_for_people", known)
    ]


async def test_within_a_cooldown_nobody_is_asked_about_another_target(
    db: Database, worker_db: Database
):
    await _asked(db, worker_db)
    await sql(
        db,
        "update mesh.mesh_routing_proposals"
        " set created_at = now() - interval '10 minutes', to_bank_id = $1",
        C,
    )

    assert (await _decided(worker_db)).reason == "waiting_for_people"

    assert await _proposals(db) == (1, 1)


@pytest.mark.parametrize(
    "changed", ["policy_version = policy_version - 1", f"to_bank_id = '{C}'", "expires_at = now()"]
)
async def test_once_it_holds_no_more_people_are_asked_anew(
    db: Database, worker_db: Database, changed: str
):
    await _asked(db, worker_db)
    await sql(db, f"update mesh.mesh_routing_proposals set {OLD}, {changed}")

    assert (await _decided(worker_db)).word == "ask"

    assert await _proposals(db) == (2, 2)


async def test_twin_that_never_takes_it_to_hold_asks_at_each_look(
    db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
):
    await _asked(db, worker_db)
    await sql(db, f"update mesh.mesh_routing_proposals set {OLD}")
    monkeypatch.setattr(controller, "_holds", lambda _asked, _row: False)

    await _decided(worker_db)

    assert await _proposals(db) == (2, 2)


async def test_once_sira_is_sure_enough_it_acts_whoever_was_asked(
    db: Database, worker_db: Database
):
    await _asked(db, worker_db)
    await sql(db, f"update mesh.mesh_routing_proposals set {OLD}")
    await rerouting.feel(db, A, failures=12)
    await sql(
        db,
        "update mesh.mesh_policies set auto_confidence_threshold = 0.6, rules = rules - $1::text[]",
        ["auto_confidence_threshold", "min_confidence_for_auto"],
    )

    assert (await _decided(worker_db)).word == "move"
    assert A not in await rerouting.where(db)
