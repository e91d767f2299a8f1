"""Keeping payouts away from a bank, stopping everything, and leading payouts where people say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import rerouting
from carrying_out import carry_out, do, rehearse
from molam.entrypoints.registry import registry
from molam.mesh.control import override_actions
from molam.mesh.control.override_actions import NotAMember, Override
from molam.mesh.members import emergency_actions, switches
from molam.payments.banks import gates
from molam.platform.actions import ParamsRefused, PreconditionChanged
from molam.platform.db import Database
from rerouting import REGION, A, B, C

KNOWN = registry()
BREAK = KNOWN.find("EMERGENCY_CIRCUIT_BREAK")
RESTORE = KNOWN.find("RESTORE_CIRCUIT")
SHUTDOWN = KNOWN.find("EMERGENCY_SHUTDOWN")
OVERRIDE = KNOWN.find("ROUTE_PAYOUT_OVERRIDE")
PLAN = KNOWN.find("EXECUTE_PLAN")


async def _open(db: Database, bank: str = A) -> list[bool]:
    async with db.transaction("tests.gates", readonly=True) as tx:
        return [row.is_open for row in await gates.gates_of(tx, [bank])]


async def _stopped(db: Database) -> str | None:
    async with db.transaction("tests.engaged") as tx:
        found = await switches.engaged(tx, REGION)
    return None if found is None else found.scope


async def test_a_circuit_break_answers_as_specified_and_keeps_payouts_away(
    db: Database, ops_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)

    rehearsed = await rehearse(ops_db, BREAK, {"service": A, "minutes": 30})
    done = await carry_out(ops_db, rehearsed)

    waiting = {each.what: each.after for each in rehearsed.plan.changes}["payouts_that_wait"]
    assert waiting == 3
    assert (done.result["circuit_broken"], done.result["service"]) == (True, A)
    assert await _open(db) == [False]
    assert await _open(db, B) == [True]
    with pytest.raises(emergency_actions.NothingToHold):
        await rehearse(ops_db, BREAK, {"bank_profile_id": A})

    await do(ops_db, RESTORE, {"bank_profile_id": A}, key="restore")
    assert await _open(db) == [True]


async def test_the_way_back_of_a_circuit_break_is_its_restoration(db: Database, ops_db: Database):
    await rerouting.a_region(db)
    rehearsed = await rehearse(ops_db, BREAK, {"bank_profile_id": A, "currency": "XOF"})
    done = await carry_out(ops_db, rehearsed)

    assert BREAK.compensate is not None
    undo = BREAK.compensate(rehearsed.params, done.result)
    assert undo is not None
    name, params = undo
    await do(ops_db, KNOWN.find(name), params, key="undo")

    assert await _open(db) == [True]


@pytest.mark.parametrize("named", [{"service": A, "bank_profile_id": B}])
async def test_a_circuit_break_is_about_one_bank(
    db: Database, ops_db: Database, named: dict[str, Any]
):
    await rerouting.a_region(db)

    with pytest.raises(ParamsRefused):
        await rehearse(ops_db, BREAK, named)


async def test_a_shutdown_of_a_region_stops_its_controller_and_holds_its_banks(
    db: Database, ops_db: Database
):
    await rerouting.a_region(db, banks=(A, B))

    done = await do(ops_db, SHUTDOWN, {"scope": "region:CEDEAO", "reason": "Money goes astray"})

    assert done.result["shut_down"] is True
    assert await _stopped(db) == f"region:{REGION}"
    assert [await _open(db, each) for each in (A, B)] == [[False], [False]]


async def test_a_shutdown_can_leave_payouts_going(db: Database, ops_db: Database):
    await rerouting.a_region(db)

    await do(ops_db, SHUTDOWN, {"hold_payouts": False, "reason": "The controller flaps"})

    assert await _stopped(db) == "global"
    assert await _open(db) == [True]


async def test_an_override_leads_payouts_to_the_bank_that_people_say(
    db: Database, ops_db: Database, worker_db: Database
):
    await rerouting.a_region(db)
    await rerouting.payouts(db, 8)

    rehearsed = await rehearse(ops_db, OVERRIDE, {"bank_profile_id": C, "reason": "As agreed"})
    done = await carry_out(ops_db, rehearsed)
    assert done.result == {"override": True, "bank_profile_id": C}

    asked = Override("action-key-1", "key-1", "ibrahima.ba", rehearsed.params)
    again = msgspec.json.decode(msgspec.json.encode(asked), type=Override)
    mesh = rerouting.mesh_on(worker_db)
    async with worker_db.transaction("tests.override") as tx:
        await override_actions.override(tx, mesh, again)

    assert await rerouting.where(db) == {C: 8}
    kinds = await rerouting.sql(db, "select action_type, result from mesh.mesh_action_logs")
    assert kinds == [("override", "success")]


async def test_payouts_are_led_to_members_only(db: Database, ops_db: Database):
    await rerouting.a_region(db)
    await rerouting.sql(
        db, "update mesh.mesh_members set status = 'suspended' where id = 'mm_' || $1", C
    )

    with pytest.raises(NotAMember):
        await rehearse(
            ops_db, OVERRIDE, {"bank_profile_id": B, "then_banks": [C], "mesh_region_id": "CEDEAO"}
        )


async def test_a_bank_that_is_suspended_meanwhile_is_not_led_to(db: Database, ops_db: Database):
    await rerouting.a_region(db)
    rehearsed = await rehearse(ops_db, OVERRIDE, {"bank_profile_id": B})
    await rerouting.sql(
        db, "update mesh.mesh_members set status = 'suspended' where id = 'mm_' || $1", B
    )

    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, rehearsed)


async def test_a_plan_does_several_things_at_once_or_none(db: Database, ops_db: Database):
    await rerouting.a_region(db)
    steps = [
        {"action_type": "EMERGENCY_CIRCUIT_BREAK", "params": {"bank_profile_id": A}},
        {"action_type": "EMERGENCY_CIRCUIT_BREAK", "params": {"service": B, "minutes": 5}},
        {
            "action_type": "EMERGENCY_SHUTDOWN",
            "params": {"hold_payouts": False, "reason": "Until we know"},
        },
    ]
    rehearsed = await rehearse(ops_db, PLAN, {"steps": steps})
    done = await carry_out(ops_db, rehearsed)

    assert done.result["executed"] is True
    assert [await _open(db, each) for each in (A, B, C)] == [[False], [False], [True]]
    assert await _stopped(db) == "global"

    await do(ops_db, RESTORE, {"bank_profile_id": B}, key="restore")
    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, rehearsed, key="key-2")
    assert await _open(db, B) == [True]


@pytest.mark.parametrize(
    "raw",
    [
        {"steps": [{"action_type": "FREEZE_MERCHANT", "params": {}}]},
        {"steps": [{"action_type": "EXECUTE_PLAN", "params": {"plan_id": "x"}}]},
    ],
)
async def test_a_plan_holds_only_steps_that_can_be_undone_together(
    db: Database, ops_db: Database, raw: dict[str, Any]
):
    with pytest.raises(ParamsRefused):
        await rehearse(ops_db, PLAN, raw)


@pytest.mark.parametrize(
    "raw", [{}, {"plan_id": "x", "steps": [{"action_type": "a", "params": {}}]}]
)
def test_a_plan_is_stored_or_given_and_not_both(raw: dict[str, Any]):
    with pytest.raises(msgspec.ValidationError, match="either plan_id or steps"):
        msgspec.convert(raw, PLAN.params)
