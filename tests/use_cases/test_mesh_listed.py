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
from molam.mesh.control.model import Actor, RolledBack
from molam.mesh.control.override_actions import NothingToMove, Override
from molam.mesh.control.rollback import Undo, roll_back
from molam.mesh.routing.content import listed_in
from molam.mesh.routing.scope_store import LISTED
from molam.platform.actions import ParamsRefused
from molam.platform.db import Database
from rerouting import A, B, C

ANY_TERMS = (
    " and (:only::text[] is null or p.id = any(:only::text[]) and :terms::text[] is not null)"
)
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
        db,
        "update payments.payouts set amount = amount + 1, gross = gross + 1 where id = 'po_0000001'",
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


CHANGES = [
    "amount = amount + 1, gross = gross + 1",
    'destination = destination || \'{"iban": "SN08SN0000000000000000000001"}\'',
    "treasury_account_id = null",
]


@pytest.mark.parametrize("change", CHANGES)
async def test_what_differs_from_what_was_agreed_to_stays(
    db: Database, ops_db: Database, worker_db: Database, change: str
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 2)
    rehearsed = await _listed(ops_db, 1, 2)
    await rerouting.sql(db, f"update payments.payouts set {change} where id = 'po_0000001'")

    await _override(worker_db, rehearsed)

    assert await _at(db, C) == ["po_0000002"]
    told = await rerouting.one(db, "select payload -> 'not_moved' from mesh.mesh_action_logs")
    assert told == [{"payout_id": "po_0000001", "why": "changed"}]


async def test_what_only_fell_due_moves_and_goes_back(
    db: Database, ops_db: Database, worker_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 2, state="scheduled")
    rehearsed = await _listed(ops_db, 1, 2)
    fell_due = "update payments.payouts set state = 'pending', version = version + 1"
    await rerouting.sql(db, fell_due)

    proposal_id = await _override(worker_db, rehearsed)

    assert await _at(db, C) == ["po_0000001", "po_0000002"]
    await rerouting.sql(db, "update payments.payouts set version = version + 2 where id like '%1'")
    done = await _undone(worker_db, proposal_id)
    assert (done.restored_payouts, done.not_reversible) == (2, ())


async def test_a_list_of_versions_from_before_moves_nothing(db: Database, ops_db: Database):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1)
    assert listed_in({"payouts": [["po_0000001", 1]]}) == {"only": ["po_0000001"], "terms": ["1"]}

    with pytest.raises(NothingToMove):
        await _listed(ops_db, 1, terms=["1"], from_bank_profile_id=A)


@pytest.mark.parametrize("change", CHANGES)
async def test_twin_without_terms_moves_what_nobody_agreed_to(
    db: Database,
    ops_db: Database,
    worker_db: Database,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1)
    rehearsed = await _listed(ops_db, 1)
    await rerouting.sql(db, f"update payments.payouts set {change}")
    careless = sweep_store.SWEEP_FREE
    careless = replace(careless, sql=careless.sql.replace(LISTED, ANY_TERMS))
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
    assert params.from_bank_profile_id == A
    (terms,) = params.terms
    signed = await rerouting.one(
        db, "select proposal -> 'payouts' from mesh.mesh_routing_proposals"
    )
    assert signed == [["po_0000001", terms]]
    assert "iban" not in str(signed)
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


async def _led_on_by_lists(db: Database, ops_db: Database, worker_db: Database) -> RolledBack:
    """A route leads a payout to B, one list to C, another back to B: take back the route."""
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1)
    mesh = rerouting.mesh_on(worker_db)
    route = await rerouting.a_proposal(db, mesh, to=(B,))
    await rerouting.apply(worker_db, mesh, route)
    await _override(worker_db, await _listed(ops_db, 1), key="key-1")
    assert await _at(db, C) == ["po_0000001"]
    back = await _listed(ops_db, 1, bank_profile_id=B)
    await _override(worker_db, back, key="key-2")
    assert await _at(db, B) == ["po_0000001"]
    return await _undone(worker_db, route.id)


async def _undone(worker_db: Database, proposal_id: str) -> RolledBack:
    at = rerouting.mesh_on(worker_db).clock.now()
    by = Actor("user", "binta")
    undo = Undo(proposal_id=proposal_id, reason="No", actor=by, window_h=24, at=at)
    async with worker_db.transaction("tests.undo") as tx:
        return await roll_back(tx, undo)


async def test_what_a_later_list_moved_is_that_lists(
    db: Database, ops_db: Database, worker_db: Database
):
    done = await _led_on_by_lists(db, ops_db, worker_db)

    assert [(each.payout_id, each.why) for each in done.not_reversible] == [
        ("po_0000001", "moved_again")
    ]
    assert await rerouting.where(db) == {B: 1}


async def test_twin_that_asks_for_no_later_move_undoes_what_others_decided(
    db: Database, ops_db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
):
    careless = sweep_store.RESTORE
    careless = replace(careless, sql=careless.sql.replace("or k.is_moved_since", ""))
    monkeypatch.setattr(sweep_store, "RESTORE", careless)

    await _led_on_by_lists(db, ops_db, worker_db)

    assert await rerouting.where(db) == {A: 1}


async def test_a_later_move_that_was_taken_back_itself_is_in_nobodys_way(
    db: Database, ops_db: Database, worker_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1)
    mesh = rerouting.mesh_on(worker_db)
    route = await rerouting.a_proposal(db, mesh, to=(B,))
    await rerouting.apply(worker_db, mesh, route)
    listed = await _override(worker_db, await _listed(ops_db, 1))

    assert (await _undone(worker_db, listed)).restored_payouts == 1
    assert (await _undone(worker_db, route.id)).restored_payouts == 1

    assert await rerouting.where(db) == {A: 1}


@pytest.mark.parametrize(
    "more",
    [
        {"min_amount": 5},
        {"terms": ["a", "b"]},
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
