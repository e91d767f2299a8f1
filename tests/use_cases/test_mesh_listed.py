"""An override of listed payouts moves exactly those that are still as they were, and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

import rerouting
from carrying_out import Rehearsed, carry_out, rehearse
from molam.entrypoints.registry import registry
from molam.mesh.control import override_actions, sweep_store
from molam.mesh.control.model import Actor
from molam.mesh.control.override_actions import NothingToMove, Override
from molam.mesh.control.rollback import Undo, roll_back
from molam.platform.actions import ParamsRefused
from molam.platform.db import Database
from rerouting import A, B, C

TYPE = registry().find("ROUTE_PAYOUT_OVERRIDE")


async def _listed(ops_db: Database, *numbers: int, **more: Any) -> Rehearsed:
    ids = [f"po_{number:07d}" for number in numbers]
    params = {"bank_profile_id": C, "payout_ids": ids, "reason": "As agreed", **more}
    return await rehearse(ops_db, TYPE, params)


async def _override(worker_db: Database, rehearsed: Rehearsed, key: str = "key-1") -> str:
    asked = Override("action-1", key, "ibrahima.ba", rehearsed.params)
    mesh = rerouting.mesh_on(worker_db)
    async with worker_db.transaction("tests.override") as tx:
        return await override_actions.override(tx, mesh, asked)


async def _at(db: Database, bank: str) -> list[str]:
    rows = await rerouting.sql(
        db, "select id from payments.payouts where bank_profile_id = $1 order by id", bank
    )
    return [id_ for (id_,) in rows]


async def test_only_what_is_listed_moves_and_nothing_is_decided_for_others(
    db: Database, ops_db: Database, worker_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 6)
    routes = await rerouting.sql(db, "select * from payments.bank_routes")

    rehearsed = await _listed(ops_db, 2, 5)
    await carry_out(ops_db, rehearsed)
    await _override(worker_db, rehearsed)

    assert await _at(db, C) == ["po_0000002", "po_0000005"]
    assert await rerouting.where(db) == {A: 4, C: 2}
    assert await rerouting.is_open(db, A)
    assert await rerouting.sql(db, "select * from payments.bank_routes") == routes


async def test_rehearsal_says_what_would_move_and_why_the_rest_would_not(
    db: Database, ops_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)
    await rerouting.payouts(db, 1, bank=B, prefix="po_b")
    await rerouting.sql(
        db, "update payments.payouts set state = 'in_transit', attempts = 1 where id = 'po_0000003'"
    )

    rehearsed = await rehearse(
        ops_db,
        TYPE,
        {
            "bank_profile_id": C,
            "payout_ids": ["po_0000001", "po_0000003", "po_b0000001", "po_none"],
            "from_bank_profile_id": A,
        },
    )

    said = {each.what: each.after for each in rehearsed.plan.changes}
    assert said["mesh_affected_payouts"] == 1
    assert {what: n for what, n in said.items() if what.startswith("payouts_kept")} == {
        "payouts_kept_absent": 1,
        "payouts_kept_elsewhere": 1,
        "payouts_kept_sent": 1,
    }
    assert rehearsed.plan.amount is not None
    assert rehearsed.plan.amount.minor == 10_000


async def test_what_changed_since_people_were_asked_stays_and_is_named(
    db: Database, ops_db: Database, worker_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)
    rehearsed = await _listed(ops_db, 1, 2, 3)
    await rerouting.sql(
        db, "update payments.payouts set version = version + 1 where id = 'po_0000001'"
    )
    await rerouting.sql(
        db, "update payments.payouts set bank_profile_id = $1 where id = 'po_0000002'", B
    )

    await _override(worker_db, rehearsed)

    assert await _at(db, C) == ["po_0000003"]
    told = await rerouting.one(db, "select payload -> 'not_moved' from mesh.mesh_action_logs")
    assert told == [
        {"payout_id": "po_0000001", "why": "changed"},
        {"payout_id": "po_0000002", "why": "elsewhere"},
    ]


async def test_twin_without_versions_moves_what_nobody_agreed_to(
    db: Database, ops_db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1)
    rehearsed = await _listed(ops_db, 1)
    await rerouting.sql(db, "update payments.payouts set version = version + 1")
    careless = sweep_store.SWEEP_FREE
    careless = replace(
        careless, sql=careless.sql.replace("p.id || '/' || p.version", "p.id || '/1'")
    )
    monkeypatch.setattr(sweep_store, "SWEEP_FREE", careless)

    await _override(worker_db, rehearsed)

    assert await _at(db, C) == ["po_0000001"]


async def test_what_is_listed_is_bound_by_what_is_hashed_and_signed(
    db: Database, ops_db: Database, worker_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 2)

    rehearsed = await _listed(ops_db, 1)
    await _override(worker_db, rehearsed)

    params = rehearsed.params
    assert isinstance(params, override_actions.RoutePayoutOverride)
    assert (params.versions, params.from_bank_profile_id) == ((1,), A)
    signed = await rerouting.one(
        db, "select proposal -> 'payouts' from mesh.mesh_routing_proposals"
    )
    assert signed == [["po_0000001", 1]]
    found = await rerouting.one(
        db, "select simulation_results -> 'affected_payouts' from mesh.mesh_routing_proposals"
    )
    assert found == 1


async def test_a_list_can_be_taken_back_also_after_a_later_route(
    db: Database, ops_db: Database, worker_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)
    proposal_id = await _override(worker_db, await _listed(ops_db, 1, 2))
    mesh = rerouting.mesh_on(worker_db)
    later = await rerouting.a_proposal(db, mesh, to=(B,), leaves=A)
    await rerouting.apply(worker_db, mesh, later)

    async with worker_db.transaction("tests.undo") as tx:
        undo = Undo(
            proposal_id=proposal_id,
            reason="Not these",
            actor=Actor("user", "binta"),
            window_h=24,
            at=mesh.clock.now(),
        )
        done = await roll_back(tx, undo)

    assert done.restored_payouts == 2
    assert await rerouting.where(db) == {A: 2, B: 1}


@pytest.mark.parametrize(
    "more",
    [
        {"min_amount": 5},
        {"versions": [1, 2]},
        {"from_bank_profile_id": C},
        {"payout_ids": [f"po_{n}" for n in range(1001)]},
        {"payout_ids": ["po_0000001", "po_b0000001"]},
    ],
)
async def test_a_list_is_whole_bounded_and_of_one_bank(
    db: Database, ops_db: Database, more: dict[str, Any]
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1)
    await rerouting.payouts(db, 1, bank=B, prefix="po_b")

    with pytest.raises((msgspec.ValidationError, ParamsRefused)):
        await _listed(ops_db, 1, **more)


async def test_a_list_of_which_nothing_can_move_is_refused_at_once(db: Database, ops_db: Database):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1, state="paid")

    with pytest.raises(NothingToMove):
        await _listed(ops_db, 1)
