"""Applying a route: all of it or nothing, once, and only what is right now."""

from __future__ import annotations

from dataclasses import replace

import pytest

import rerouting
from molam.mesh.control import sweep_store
from molam.mesh.control.apply import apply_route
from molam.mesh.control.model import (
    AlreadyUsed,
    ApplyKeyReused,
    NobodyTakes,
    NotApproved,
    PolicyMoved,
    Stopped,
)
from molam.mesh.routing.model import ProposalExpired, ProposalNotInState
from molam.platform.db import Database, Query
from molam.platform.settings import Secret
from molam.sira.signing import AdviceRefused
from rerouting import A, B, C, one, sql


async def test_everything_that_waits_goes_to_the_first_bank_and_is_written_down(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 40)
    await rerouting.payouts(db, 2, bank=None, prefix="po_none_")
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    applied = await rerouting.apply(ops_db, mesh, proposal)
    assert (applied.affected_payouts, applied.affected_value) == (42, 420_000)
    assert applied.result == "success"
    assert await rerouting.where(db) == {B: 42}
    assert await sql(
        db, "select distinct treasury_account_id, version, attempts from payments.payouts"
    ) == [("ta_bank_b", 2, 0)]
    assert (
        await one(db, "select count(*) from payments.payout_events where what = 'rerouted'") == 42
    )
    assert await sql(
        db,
        "select original_bank_profile_id, original_treasury_account_id, rerouted_bank_profile_id,"
        " rerouted_treasury_account_id, original_estimated_cost, rerouted_estimated_cost,"
        " version_before, version_after, reconciliation_status, count(*)"
        " from mesh.mesh_reconciliations group by 1, 2, 3, 4, 5, 6, 7, 8, 9 order by 1",
    ) == [
        (A, "ta_bank_a", B, "ta_bank_b", 200, 210, 1, 2, "pending", 40),
        (None, None, B, "ta_bank_b", None, 210, 1, 2, "pending", 2),
    ]
    assert not await rerouting.is_open(db, A)
    assert await one(
        db,
        "select bank_profile_ids from payments.bank_routes where replaced_at is null",
    ) == [B, C, A]
    assert await sql(
        db,
        "select action_type, result, affected_count, cardinality(affected_payouts), idempotency_key"
        " from mesh.mesh_action_logs",
    ) == [("apply_route", "success", 42, 42, f"apply-routing-{proposal.id}")]
    assert await one(db, "select status from mesh.mesh_routing_proposals") == "applied"
    assert await one(db, "select count(*) from platform.events where topic = 'mesh.actions'") == 1
    assert (
        await one(db, "select seq from audit.chain_heads where chain = 'mesh:region_cedeao'") == 0
    )


async def test_the_same_key_gives_what_was_done_and_another_content_is_refused(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    first = await rerouting.apply(ops_db, mesh, proposal)
    again = await rerouting.apply(ops_db, mesh, proposal)
    assert again.replayed
    assert again.action_id == first.action_id
    assert await one(db, "select count(*) from mesh.mesh_reconciliations") == 3
    other = await rerouting.a_proposal(db, mesh, to=(C,), leaves=B)
    with pytest.raises(ApplyKeyReused):
        async with ops_db.transaction("tests.reused") as tx:
            await apply_route(
                tx,
                mesh,
                other.id,
                actor=rerouting.PEOPLES,
                key=f"apply-routing-{proposal.id}",
            )


async def test_what_was_sent_or_belongs_elsewhere_stays(db: Database, ops_db: Database) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1, prefix="po_waits_")
    await rerouting.payouts(db, 1, prefix="po_paris_", country="FR")
    await rerouting.payouts(db, 1, prefix="po_other_", bank=C)
    await rerouting.payouts(db, 1, prefix="po_sent_", state="in_transit")
    await rerouting.payouts(db, 1, prefix="po_tried_")
    await sql(db, "update payments.payouts set attempts = 1 where id like 'po_tried_%'")
    mesh = rerouting.mesh_on(ops_db)
    applied = await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    assert applied.affected_payouts == 1
    for stays in ("po_paris_", "po_sent_", "po_tried_"):
        assert await rerouting.where(db, stays) == {A: 1}
    assert await rerouting.where(db, "po_other_") == {C: 1}


async def test_a_route_that_moves_nothing_is_applied_all_the_same(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    assert (await rerouting.apply(ops_db, mesh, proposal)).affected_payouts == 0
    assert await one(db, "select status from mesh.mesh_routing_proposals") == "applied"
    assert await one(db, "select result from mesh.mesh_action_logs") == "success"


async def test_a_bank_is_given_no_more_than_it_has_room_for_in_the_whole_batch(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db, (A,))
    await rerouting.a_bank(db, B, daily=35_000)
    await rerouting.a_bank(db, C, daily=25_000)
    await rerouting.payouts(db, 8)
    mesh = rerouting.mesh_on(ops_db)
    applied = await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    assert await rerouting.where(db) == {A: 3, B: 3, C: 2}
    assert applied.result == "partial"
    assert (applied.remaining_payouts, applied.remaining_value) == (3, 30_000)


async def test_a_limit_for_each_payout_alone_would_give_a_bank_too_much(
    db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test before: without the running sum, each payout alone has room."""
    each = sweep_store.SWEEP_FREE.sql.replace(
        "sum(c.amount) over (order by c.amount, c.id)::bigint", "c.amount"
    )
    monkeypatch.setattr(
        sweep_store,
        "SWEEP_FREE",
        Query(
            each,  # type: ignore[arg-type]
            row=sweep_store.SWEEP_FREE.row,
            locks=sweep_store.SWEEP_FREE.locks,
        ),
    )
    await rerouting.a_region(db, (A,))
    await rerouting.a_bank(db, B, daily=35_000)
    await rerouting.payouts(db, 8)
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh, to=(B,)))
    assert await rerouting.where(db) == {B: 8}


async def test_a_payout_above_what_a_bank_takes_goes_to_the_next(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db, (A,))
    await rerouting.a_bank(db, B, largest=50_000)
    await rerouting.a_bank(db, C)
    await rerouting.payouts(db, 2, prefix="po_small_", amount=50_000)
    await rerouting.payouts(db, 2, prefix="po_large_", amount=50_001)
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    assert await rerouting.where(db, "po_small_") == {B: 2}
    assert await rerouting.where(db, "po_large_") == {C: 2}


async def test_bounds_hold_to_the_minor_unit_and_leave_the_gate_open_beyond(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    for amount in (999, 1000, 2000, 2001):
        await rerouting.payouts(db, 1, prefix=f"po_{amount}_", amount=amount)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, min_amount=1000, max_amount=2000)
    await rerouting.apply(ops_db, mesh, proposal)
    assert await sql(
        db, "select amount, bank_profile_id from payments.payouts order by amount"
    ) == [(999, A), (1000, B), (2000, B), (2001, A)]
    assert await rerouting.is_open(db, A)
    assert await sql(
        db,
        "select min_amount, max_amount, bank_profile_ids[1] from payments.bank_routes"
        " where replaced_at is null order by min_amount",
    ) == [(0, 999, A), (1000, 2000, B), (2001, None, A)]


async def test_a_refused_application_leaves_a_row_in_the_log_and_can_be_tried_again(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await sql(db, "update payments.treasury_accounts set status = 'inactive'")
    with pytest.raises(NobodyTakes):
        await rerouting.apply(ops_db, mesh, proposal)
    assert await rerouting.where(db) == {A: 3}
    assert await rerouting.is_open(db, A)
    assert await one(db, "select result from mesh.mesh_action_logs") == "failed"
    assert await one(db, "select count(*) from mesh.used_tokens") == 0
    await sql(db, "update payments.treasury_accounts set status = 'active'")
    assert (await rerouting.apply(ops_db, mesh, proposal)).affected_payouts == 3


async def test_nothing_is_applied_that_nobody_approved(db: Database, ops_db: Database) -> None:
    await rerouting.a_region(db)
    mesh = rerouting.mesh_on(ops_db)
    simulated = await rerouting.a_proposal(db, mesh, status="simulated")
    with pytest.raises(NotApproved):
        await rerouting.apply(ops_db, mesh, simulated)
    with pytest.raises(NotApproved, match="by itself"):
        await rerouting.apply(ops_db, mesh, simulated, actor=rerouting.AUTO)
    await rerouting.let_it_act(db)
    unsure = await rerouting.a_proposal(
        db, mesh, status="simulated", confidence=rerouting.Decimal("0.8400")
    )
    with pytest.raises(NotApproved, match=r"0\.84"):
        await rerouting.apply(ops_db, mesh, unsure, actor=rerouting.AUTO)


async def test_a_proposal_of_other_rules_or_of_another_time_is_refused(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    mesh = rerouting.mesh_on(ops_db)
    late = await rerouting.a_proposal(
        db, mesh, expires_at=rerouting.datetime.now(rerouting.UTC).replace(microsecond=0)
    )
    with pytest.raises(ProposalExpired):
        await rerouting.apply(ops_db, mesh, late)
    rejected = await rerouting.a_proposal(db, mesh)
    await sql(
        db,
        "update mesh.mesh_routing_proposals set status = 'rejected' where id = $1",
        rejected.id,
    )
    with pytest.raises(ProposalNotInState):
        await rerouting.apply(ops_db, mesh, rejected)
    older = await rerouting.a_proposal(db, mesh)
    await sql(db, "update mesh.mesh_policies set version = version + 1")
    with pytest.raises(PolicyMoved):
        await rerouting.apply(ops_db, mesh, older)


async def test_a_forged_or_altered_proposal_is_refused(db: Database, ops_db: Database) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1)
    mesh = rerouting.mesh_on(ops_db)
    forged = await rerouting.a_proposal(db, replace(mesh, signing_key=Secret("f" * 48)))
    with pytest.raises(AdviceRefused):
        await rerouting.apply(ops_db, mesh, forged)
    altered = await rerouting.a_proposal(db, mesh)
    await sql(db, "alter table mesh.mesh_routing_proposals disable trigger proposal_move")
    await sql(
        db,
        "update mesh.mesh_routing_proposals set proposal = $2 where id = $1",
        *(altered.id, {"sequence": [{"bank_profile_id": C}]}),
    )
    with pytest.raises(AdviceRefused):
        await rerouting.apply(ops_db, mesh, altered)
    borrowed = await rerouting.a_proposal(db, mesh)
    await sql(
        db,
        "update mesh.mesh_routing_proposals set sira_signature = $2 where id = $1",
        *(borrowed.id, forged.sira_signature),
    )
    with pytest.raises(AdviceRefused):
        await rerouting.apply(ops_db, mesh, borrowed)
    assert await rerouting.where(db) == {A: 1}


async def test_a_signature_has_its_effect_once(db: Database, ops_db: Database) -> None:
    await rerouting.a_region(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await sql(db, "insert into mesh.used_tokens values ($1, 'something else')", proposal.token_id)
    with pytest.raises(AlreadyUsed):
        await rerouting.apply(ops_db, mesh, proposal)


@pytest.mark.parametrize(
    "scope", ["global", "region:region_cedeao", f"member:mm_{B}", "policy:policy_cedeao"]
)
async def test_an_engaged_switch_stops_it(db: Database, ops_db: Database, scope: str) -> None:
    await rerouting.a_region(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await sql(db, "insert into mesh.kill_switches values ($1, true, 'essai', 'khady.seck')", scope)
    with pytest.raises(Stopped, match="khady"):
        await rerouting.apply(ops_db, mesh, proposal)


async def test_a_bank_that_was_switched_off_since_is_passed_over(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 2)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.set_gate(db, B, is_open=False)
    await rerouting.apply(ops_db, mesh, proposal)
    assert await rerouting.where(db) == {C: 2}


async def test_a_gradual_shift_moves_its_share_and_closes_the_gate_at_the_end(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 200)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, status="simulated", p_down=0.9)
    first = await rerouting.apply(ops_db, mesh, proposal, actor=rerouting.AUTO, share=5)
    wanted = await one(
        db, "select count(*) from payments.payouts where abs(hashtextextended(id, 0) % 100) < 5"
    )
    assert first.affected_payouts == wanted > 0
    assert await rerouting.is_open(db, A)
    second = await rerouting.apply(ops_db, mesh, proposal, actor=rerouting.AUTO, share=25)
    assert second.affected_payouts > 0
    with pytest.raises(ProposalNotInState):
        await rerouting.apply(ops_db, mesh, proposal, actor=rerouting.AUTO, share=20)
    for share in (50, 75, 100):
        await rerouting.apply(ops_db, mesh, proposal, actor=rerouting.AUTO, share=share)
    assert not await rerouting.is_open(db, A)


async def test_what_happens_by_itself_is_capped_and_people_are_not(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 20, amount=1_000_000)
    await rerouting.payouts(db, 1, prefix="po_large_", amount=10_000_001)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(ops_db)
    alone = await rerouting.a_proposal(db, mesh, status="simulated", p_down=0.9)
    capped = await rerouting.apply(ops_db, mesh, alone, actor=rerouting.AUTO)
    assert capped.affected_payouts == 7, "a quarter of 30,000,001"
    assert await rerouting.where(db, "po_large_") == {A: 1}
    surely = await rerouting.a_proposal(db, mesh)
    assert (await rerouting.apply(ops_db, mesh, surely)).affected_payouts == 14
