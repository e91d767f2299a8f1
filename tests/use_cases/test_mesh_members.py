"""Who is let into a region, who decides about its policies, and how it is stopped."""

from __future__ import annotations

import asyncio

import pytest

import mesh_people as people
import rerouting
from mesh_people import COMPLIANCE, COMPLIANCE_TOO, OPS, OPS_TOO, TREASURY, TREASURY_TOO
from molam.approvals.engine import Engine
from molam.approvals.model import NotEligible
from molam.mesh.members import (
    commands,
    model,
    policies,
    policy_commands,
    queries,
    regions,
    switch_commands,
    switches,
    writing,
)
from molam.mesh.members.commands import NewMember, Waiting
from molam.mesh.members.model import Capabilities
from molam.mesh.members.policy_commands import Written
from molam.mesh.members.writing import Terms
from molam.mesh.runtime import Mesh
from molam.platform.db import Database

REGION = rerouting.REGION
BANK = "bank_new"


@pytest.fixture
async def mesh(db: Database, ops_db: Database) -> Mesh:
    await people.seat(db)
    await people.a_bank(db, BANK)
    return rerouting.mesh_on(ops_db)


async def _ask(mesh: Mesh, db: Database, **fields: object) -> Waiting:
    wanted = NewMember(**{"region": "CEDEAO", "bank_profile_id": BANK, **fields})  # type: ignore[arg-type]
    async with db.transaction("tests.add_member") as tx:
        return await commands.ask_to_add(tx, mesh, wanted, by=people.by())


async def _status(db: Database, bank: str = BANK) -> str:
    return str(
        await rerouting.one(
            db, "select status from mesh.mesh_members where bank_profile_id = $1", bank
        )
    )


async def test_a_bank_is_let_in_by_compliance_and_operations(mesh: Mesh, ops_db: Database):
    asked = await _ask(mesh, ops_db)
    assert await _status(ops_db) == "pending_approval"

    await people.vote(mesh, asked.action, OPS)
    await people.carry_out(mesh)
    assert await _status(ops_db) == "pending_approval"

    await people.vote(mesh, asked.action, COMPLIANCE)
    await people.carry_out(mesh)

    async with ops_db.transaction("tests.member", readonly=True) as tx:
        row = await queries.get_member(tx, asked.member.id)
        able = await queries.eligible(tx, region_id=REGION, currency="XOF", rail="bank")
    assert (row.status, row.kyc_verified, row.contract_signed) == ("active", True, True)
    assert row.compliance_status == "approved"
    assert [each.bank_profile_id for each in able] == [BANK]


@pytest.mark.parametrize("who", [(OPS, OPS_TOO), (COMPLIANCE, COMPLIANCE_TOO)])
async def test_two_of_one_kind_let_nobody_in(mesh: Mesh, ops_db: Database, who: tuple[str, str]):
    asked = await _ask(mesh, ops_db)

    for each in who:
        await people.vote(mesh, asked.action, each)
    await people.carry_out(mesh)

    assert await _status(ops_db) == "pending_approval"


async def test_a_written_policy_joins_the_floor_and_cannot_lower_it(mesh: Mesh, ops_db: Database):
    """Whoever writes policies may ask for more people, and never for fewer."""
    engine = Engine(mesh.approvals)
    await engine.create_approval_policy(
        name="Anybody",
        criteria={"action_type": "ADD_MESH_MEMBER"},
        policy={
            "required_quorum": {"type": "role", "value": {"role": "ops_admin", "min_votes": 1}}
        },
        priority=100,
        created_by=OPS,
    )
    asked = await _ask(mesh, ops_db)
    await people.vote(mesh, asked.action, OPS)
    assert (await people.row(ops_db, asked.action)).state == "pending"

    await people.vote(mesh, asked.action, COMPLIANCE)

    assert (await people.row(ops_db, asked.action)).state == "approved"


async def test_who_asks_does_not_decide(mesh: Mesh, ops_db: Database):
    asked = await _ask(mesh, ops_db)

    with pytest.raises(NotEligible):
        await people.vote(mesh, asked.action, TREASURY)


async def test_what_was_changed_by_hand_is_not_let_in(mesh: Mesh, ops_db: Database, db: Database):
    """What is agreed to is what happens: other amounts are another agreement."""
    asked = await _ask(mesh, ops_db)
    await rerouting.sql(
        db,
        "update mesh.mesh_members set capabilities ="
        " jsonb_set(capabilities, '{max_amount_per_txn}', '99999999999')",
    )
    await people.vote(mesh, asked.action, OPS, COMPLIANCE)
    await people.carry_out(mesh)

    assert await _status(db) == "pending_approval"
    assert (await people.row(db, asked.action)).state == "stale"


async def test_a_bank_that_was_rejected_stays_out_and_may_be_asked_for_again(
    mesh: Mesh, ops_db: Database, worker_db: Database
):
    first = await _ask(mesh, ops_db)
    await people.vote(mesh, first.action, COMPLIANCE, word="reject")
    await people.tell_end(mesh, worker_db, first.action)
    assert await _status(ops_db) == "disabled"

    again = await _ask(mesh, ops_db)
    await people.tell_end(mesh, worker_db, first.action)

    assert await _status(ops_db) == "pending_approval"
    assert again.member.id == first.member.id


async def test_a_bank_is_asked_for_once(mesh: Mesh, ops_db: Database):
    await _ask(mesh, ops_db)

    with pytest.raises(model.MemberExists):
        await _ask(mesh, ops_db)


async def test_a_member_cannot_be_said_to_carry_what_its_bank_does_not(
    mesh: Mesh, ops_db: Database
):
    with pytest.raises(model.CapabilitiesRefused, match="XOF"):
        await _ask(mesh, ops_db, capabilities=Capabilities(supported_currencies=("EUR",)))


async def test_the_last_healthy_member_is_not_suspended_unnoticed(
    mesh: Mesh, ops_db: Database, db: Database
):
    await rerouting.a_region(db, banks=("bank_a", "bank_b"))
    await rerouting.sql(
        ops_db,
        "insert into mesh.member_health (bank_profile_id, rail, currency, belief, p_down, score,"
        " score_low, score_high) values ('bank_b', 'bank', 'XOF', '{}', 0.9, 10, 5, 20)",
    )
    async with ops_db.transaction("tests.suspend") as tx:
        action = await commands.ask_to_suspend(
            tx, mesh, "mm_bank_a", people.by().actor, reason="Their network is being rebuilt"
        )

    assert "no_healthy_member_left" in action.plan["effects"]
    told = {each["what"]: each["before"] for each in action.plan["changes"]}
    assert told["last_healthy_member_for"] == "XOF"


async def test_a_member_that_becomes_the_last_meanwhile_is_not_suspended(
    mesh: Mesh, ops_db: Database, db: Database
):
    await rerouting.a_region(db, banks=("bank_a", "bank_b"))
    async with ops_db.transaction("tests.suspend") as tx:
        action = await commands.ask_to_suspend(
            tx, mesh, "mm_bank_a", people.by().actor, reason="Their network is being rebuilt"
        )
    assert "no_healthy_member_left" not in action.plan["effects"]
    await people.vote(mesh, action, OPS, OPS_TOO)
    await rerouting.sql(
        ops_db, "update payments.bank_profiles set enabled = false where id = 'bank_b'"
    )

    await people.execute(mesh, action, TREASURY_TOO)

    assert await _status(ops_db, "bank_a") == "active"


async def _change(
    mesh: Mesh, db: Database, given: dict[str, object], *, policy: str = "policy_cedeao"
) -> Written:
    async with db.transaction("tests.change_policy") as tx:
        return await policy_commands.change(
            tx, mesh, policy, given, version=None, by=people.by(OPS_TOO)
        )


async def _effective(mesh: Mesh, db: Database) -> policies.Policy:
    async with db.transaction("tests.effective", readonly=True) as tx:
        return await policies.effective(tx, REGION, mesh)


async def test_what_tightens_holds_at_once(mesh: Mesh, ops_db: Database):
    written = await _change(mesh, ops_db, {"rules": {"cooldown_minutes": 30}})

    assert written.action is None
    found = await _effective(mesh, ops_db)
    assert (found.rules.cooldown_minutes, found.version) == (30, 2)
    assert found.rules.applies_per_hour == 5
    assert found.approval_threshold == 10_000_000


async def test_what_loosens_waits_for_operations_and_treasury(mesh: Mesh, ops_db: Database):
    written = await _change(mesh, ops_db, {"rules": {"cooldown_minutes": 5}})
    assert written.loosened == ("cooldown_minutes",)
    assert written.action is not None
    assert (await _effective(mesh, ops_db)).rules.cooldown_minutes == 15

    await people.vote(mesh, written.action, OPS)
    await people.carry_out(mesh)
    assert (await _effective(mesh, ops_db)).rules.cooldown_minutes == 15

    await people.vote(mesh, written.action, TREASURY)
    await people.carry_out(mesh)

    assert (await _effective(mesh, ops_db)).rules.cooldown_minutes == 5
    history = await rerouting.sql(
        ops_db,
        "select version, document -> 'rules' ->> 'cooldown_minutes' from mesh.mesh_policy_history",
    )
    assert history == [(1, "15")]


async def test_acting_alone_needs_compliance_and_all_three_words(mesh: Mesh, ops_db: Database):
    written = await _change(
        mesh, ops_db, {"rules": {"mode": "auto", "auto_failover_enabled": True}}
    )
    assert written.action is not None
    await people.vote(mesh, written.action, OPS, TREASURY)
    await people.carry_out(mesh)
    assert (await _effective(mesh, ops_db)).rules.mode == "approval_required"
    await people.vote(mesh, written.action, COMPLIANCE)
    await people.carry_out(mesh)
    assert (await _effective(mesh, ops_db)).rules.mode == "auto"
    assert not (await _effective(mesh, ops_db)).may_act_alone

    async with ops_db.transaction("tests.region") as tx:
        terms = Terms(
            auto_failover_enabled=True, approval_threshold=10_000_000, allowed_crossborder=True
        )
        region = await policy_commands.change_region(
            tx, mesh, "CEDEAO", terms, by=people.by(TREASURY)
        )
    assert region.loosened == ("auto_failover_enabled",)
    assert region.action is not None
    await people.vote(mesh, region.action, OPS, TREASURY_TOO, COMPLIANCE)
    await people.carry_out(mesh)

    assert (await _effective(mesh, ops_db)).may_act_alone


async def test_letting_another_policy_decide_is_a_change_like_any_other(
    mesh: Mesh, ops_db: Database
):
    """The smallest number decides, so a new policy can loosen without touching the old one."""
    async with ops_db.transaction("tests.create") as tx:
        quiet = await policy_commands.create(
            tx,
            mesh,
            REGION,
            {"name": "Quiet", "priority": 500, "rules": {"cooldown_minutes": 1}},
            by=people.by(OPS_TOO),
        )
    assert quiet.action is None
    assert quiet.policy is not None
    assert (await _effective(mesh, ops_db)).rules.cooldown_minutes == 15

    raised = await _change(mesh, ops_db, {"priority": 1}, policy=quiet.policy.id)
    gone = await _change(mesh, ops_db, {"active": False})

    assert raised.action is not None
    assert gone.action is not None
    assert (await _effective(mesh, ops_db)).rules.cooldown_minutes == 15


async def test_an_approved_policy_that_another_overtook_is_not_written(
    mesh: Mesh, ops_db: Database
):
    loose = await _change(mesh, ops_db, {"rules": {"value_cap_pct": 50}})
    assert loose.action is not None
    await _change(mesh, ops_db, {"rules": {"cooldown_minutes": 60}})
    await people.vote(mesh, loose.action, OPS, TREASURY)
    await people.carry_out(mesh)

    found = (await _effective(mesh, ops_db)).rules
    assert (found.value_cap_pct, found.cooldown_minutes) == (25, 60)


async def test_without_a_policy_the_process_decides(mesh: Mesh, ops_db: Database):
    await rerouting.sql(ops_db, "update mesh.mesh_policies set active = false")
    auto = rerouting.mesh_on(ops_db, default_mode="auto")

    assert (await _effective(mesh, ops_db)).rules.mode == "approval_required"
    found = await _effective(auto, ops_db)
    assert (found.id, found.rules.mode, found.may_act_alone) == (None, "auto", False)


async def test_every_change_is_on_the_regions_record(mesh: Mesh, ops_db: Database):
    await _change(mesh, ops_db, {"rules": {"cooldown_minutes": 30}})
    async with ops_db.transaction("tests.stop") as tx:
        await switch_commands.engage(tx, "region:CEDEAO", reason="Odd routes", by=people.by())

    events = await rerouting.sql(
        ops_db,
        "select body::jsonb ->> 'event' from audit.ops_approval_audit where chain = $1 order by seq",
        f"mesh:{REGION}",
    )
    assert [event for (event,) in events] == ["mesh_policy.changed", "mesh_switch.engaged"]


async def test_one_person_stops_and_two_others_let_go(mesh: Mesh, ops_db: Database):
    async with ops_db.transaction("tests.stop") as tx:
        row = await switch_commands.engage(tx, "global", reason="Odd routes", by=people.by())
    assert row.is_engaged

    async with ops_db.transaction("tests.release") as tx:
        action = await switch_commands.ask_to_release(
            tx, mesh, "global", people.by().actor, reason="Found out why"
        )
    await people.vote(mesh, action, OPS)
    await people.carry_out(mesh)
    assert await _stopped(ops_db) == "global"
    await people.vote(mesh, action, COMPLIANCE)
    await people.carry_out(mesh)

    assert await _stopped(ops_db) is None


async def test_a_switch_that_was_engaged_again_is_not_released_by_old_votes(
    mesh: Mesh, ops_db: Database
):
    async with ops_db.transaction("tests.stop") as tx:
        await switch_commands.engage(tx, "global", reason="Odd routes", by=people.by())
    async with ops_db.transaction("tests.release") as tx:
        action = await switch_commands.ask_to_release(
            tx, mesh, "global", people.by().actor, reason="Found out why"
        )
    async with ops_db.transaction("tests.again") as tx:
        await switches.put(tx, "global", is_engaged=False, reason="x", by=people.by())
    async with ops_db.transaction("tests.again") as tx:
        await switches.put(tx, "global", is_engaged=True, reason="worse", by=people.by())
    await people.vote(mesh, action, OPS, COMPLIANCE)
    await people.carry_out(mesh)

    assert await _stopped(ops_db) == "global"


@pytest.mark.parametrize("scope", ["", "region:", "region:nowhere", "bank:bp_123", "member:x"])
async def test_only_what_exists_is_stopped(mesh: Mesh, ops_db: Database, scope: str):
    async with ops_db.transaction("tests.stop") as tx:
        with pytest.raises(switches.ScopeRefused):
            await switch_commands.engage(tx, scope, reason="x", by=people.by())


async def test_a_member_is_stopped_by_its_own_id_and_found_by_its_banks(
    mesh: Mesh, ops_db: Database
):
    asked = await _ask(mesh, ops_db)
    async with ops_db.transaction("tests.stop") as tx:
        await switch_commands.engage(
            tx, f"member:{asked.member.id}", reason="Odd answers", by=people.by()
        )

    assert await _stopped(ops_db, BANK) == f"member:{asked.member.id}"
    assert await _stopped(ops_db, "bank_other") is None


async def test_whoever_acts_and_whoever_stops_wait_for_each_other(mesh: Mesh, ops_db: Database):
    """A switch engaged while somebody acts holds from then on, and never in between."""
    order: list[str] = []
    looked, may_act = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        async with ops_db.transaction("tests.act") as tx:
            assert await switches.engaged(tx, REGION) is None
            looked.set()
            await may_act.wait()
            order.append("acted")

    async def stop() -> None:
        async with ops_db.transaction("tests.stop") as tx:
            await switch_commands.engage(tx, "global", reason="Odd routes", by=people.by())
        order.append("stopped")

    acting = asyncio.create_task(act())
    await looked.wait()
    stopping = asyncio.create_task(stop())
    await asyncio.sleep(0.1)
    may_act.set()
    await asyncio.gather(acting, stopping)

    assert order == ["acted", "stopped"]
    assert await _stopped(ops_db) == "global"


async def _stopped(db: Database, *banks: str) -> str | None:
    async with db.transaction("tests.engaged") as tx:
        found = await switches.engaged(tx, REGION, bank_ids=banks)
    return None if found is None else found.scope


async def test_regions_are_found_by_id_and_name(mesh: Mesh, ops_db: Database):
    async with ops_db.transaction("tests.regions", readonly=True) as tx:
        assert (await regions.get(tx, "CEDEAO")).id == (await regions.get(tx, REGION)).id
        with pytest.raises(model.RegionAbsent):
            await regions.get(tx, "Atlantis")


async def test_a_name_belongs_to_one_policy_of_a_region(mesh: Mesh, ops_db: Database):
    async with ops_db.transaction("tests.create") as tx:
        with pytest.raises(writing.PolicyNameTaken):
            await policy_commands.create(
                tx, mesh, REGION, {"name": "CEDEAO default", "priority": 500}, by=people.by()
            )
