"""Routes that people approve, reject and take back, two of them together."""

from __future__ import annotations

from dataclasses import replace

import pytest

import rerouting
from molam.approvals.model import Actor, NotEligible, VoteRequest
from molam.mesh.control import commands, jobs, sweep_store
from molam.mesh.control.model import LaterRoute, MissingReason, NobodyTakes, RollbackTooLate
from molam.mesh.routing.model import ProposalExpired, ProposalNotInState
from molam.platform.db import Database
from rerouting import A, B, C, one, sql

ONE, TWO, THREE = (Actor(id_) for id_ in rerouting.PEOPLE)
WHY = "La banque répond à nouveau."


async def test_the_vote_that_fills_the_quorum_applies_the_route(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 5)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, status="simulated")
    first = await commands.approve(mesh, proposal.id, ONE)
    assert first.applied is None
    assert first.action is not None
    assert first.action.votes_approve == 1
    assert await rerouting.where(db) == {A: 5}
    again = await commands.approve(mesh, proposal.id, ONE)
    assert again.applied is None, "one person votes once"
    last = await commands.approve(mesh, proposal.id, THREE)
    assert last.applied is not None
    assert last.applied.affected_payouts == 5
    assert last.row.status == "applied"
    assert await rerouting.where(db) == {B: 5}
    replayed = await commands.approve(mesh, proposal.id, TWO)
    assert replayed.applied is not None
    assert replayed.applied.replayed


async def test_whoever_asked_for_a_route_does_not_approve_it(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, status="simulated", created_by=ONE.id)
    with pytest.raises(NotEligible):
        await commands.approve(mesh, proposal.id, ONE)
    await commands.approve(mesh, proposal.id, TWO)
    assert (await commands.approve(mesh, proposal.id, THREE)).applied is not None


async def test_an_approved_route_that_could_not_be_applied_needs_no_new_votes(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 5)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, status="simulated")
    await sql(db, "update payments.treasury_accounts set status = 'inactive'")
    await commands.approve(mesh, proposal.id, ONE)
    with pytest.raises(NobodyTakes):
        await commands.approve(mesh, proposal.id, TWO)
    assert await sql(db, "select status, last_failure from mesh.mesh_routing_proposals") == [
        (
            "approved",
            "no-bank-takes-it: Each of them is out of use, closed, not cleared, has no account of"
            " ours, or lies behind a corridor that is closed or full.",
        )
    ]
    await sql(db, "update payments.treasury_accounts set status = 'active'")
    done = await commands.approve(mesh, proposal.id, TWO)
    assert done.applied is not None
    assert done.applied.affected_payouts == 5


async def test_a_rejected_or_expired_proposal_takes_no_votes(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, status="simulated")
    await commands.approve(mesh, proposal.id, ONE)
    row = await commands.reject(mesh, proposal.id, TWO, reason="trop cher")
    assert (row.status, row.rejected_reason) == ("rejected", "trop cher")
    assert await one(db, "select state from approvals.ops_actions") == "cancelled"
    with pytest.raises(ProposalNotInState):
        await commands.approve(mesh, proposal.id, THREE)
    with pytest.raises(ProposalNotInState):
        await commands.reject(mesh, proposal.id, THREE, reason=None)
    late = await rerouting.a_proposal(
        db, mesh, status="simulated", expires_at=rerouting.datetime.now(rerouting.UTC)
    )
    with pytest.raises(ProposalExpired):
        await commands.approve(mesh, late.id, ONE)


async def test_a_rollback_gives_back_exactly_what_was(db: Database, ops_db: Database) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 5)
    await rerouting.payouts(db, 1, bank=None, prefix="po_none_")
    await sql(
        db,
        "insert into payments.treasury_accounts (id, bank_profile_id, account_reference, currency,"
        " account_type) values ('ta_old', $1, 'old', 'XOF', 'operational')",
        A,
    )
    await sql(db, "update payments.payouts set treasury_account_id = 'ta_old' where id like '%2'")
    before = await rerouting.image(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    with pytest.raises(MissingReason):
        await commands.roll_back(mesh, proposal.id, ONE, reason="  ")
    waiting = await commands.roll_back(mesh, proposal.id, ONE, reason=WHY)
    assert waiting.rolled_back is None
    done = await commands.roll_back(mesh, proposal.id, TWO, reason=WHY)
    assert done.rolled_back is not None
    assert done.rolled_back.restored_payouts == 6
    assert done.rolled_back.not_reversible == ()
    assert await rerouting.image(db) == before
    assert await rerouting.is_open(db, A)
    assert await sql(
        db,
        "select min_amount, bank_profile_ids from payments.bank_routes where replaced_at is null",
    ) == [(0, [A, B, C])]
    assert await sql(
        db,
        "select status, rollback_reason from mesh.mesh_routing_proposals",
    ) == [("rolled_back", WHY)]
    assert await sql(
        db,
        "select reconciliation_status, outcome, count(*) from mesh.mesh_reconciliations group by 1, 2",
    ) == [("resolved", "rolled_back", 6)]
    again = await commands.roll_back(mesh, proposal.id, THREE, reason=WHY)
    assert again.rolled_back is not None
    assert again.rolled_back.replayed
    assert (
        await one(db, "select count(*) from mesh.mesh_action_logs where action_type = 'rollback'")
        == 1
    )


async def test_what_was_sent_or_moved_on_is_listed_and_stays(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 5)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    for id_, change in {
        "po_0000001": "state = 'in_transit', attempts = 1",
        "po_0000002": "state = 'cancelled'",
        "po_0000003": f"bank_profile_id = '{C}'",
        "po_0000004": "amount = amount + 1, gross = gross + 1",
    }.items():
        await sql(db, f"update payments.payouts set {change} where id = $1", id_)
    await commands.roll_back(mesh, proposal.id, ONE, reason=WHY)
    done = (await commands.roll_back(mesh, proposal.id, TWO, reason=WHY)).rolled_back
    assert done is not None
    assert done.restored_payouts == 1
    assert {each.payout_id: each.why for each in done.not_reversible} == {
        "po_0000001": "sent",
        "po_0000002": "ended",
        "po_0000003": "moved_again",
        "po_0000004": "changed",
    }
    assert (
        await one(db, "select bank_profile_id from payments.payouts where id = 'po_0000005'") == A
    )
    assert (
        await one(db, "select bank_profile_id from payments.payouts where id = 'po_0000001'") == B
    )


async def _taken_back_after(db: Database, ops_db: Database, *changes: str) -> list[tuple[str, str]]:
    """Lead one payout away, change it, take the route back: what stays, and why."""
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 1, state="scheduled")
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    for each in changes:
        await sql(db, each)
    await commands.roll_back(mesh, proposal.id, ONE, reason=WHY)
    done = (await commands.roll_back(mesh, proposal.id, TWO, reason=WHY)).rolled_back
    assert done is not None
    return [(each.payout_id, each.why) for each in done.not_reversible]


FELL_DUE = "update payments.payouts set state = 'pending', version = version + 1"


async def test_what_fell_due_since_it_was_led_away_goes_back(
    db: Database, ops_db: Database
) -> None:
    assert await _taken_back_after(db, ops_db, FELL_DUE) == []
    assert await rerouting.where(db) == {A: 1}


async def test_twin_that_compares_versions_keeps_what_only_fell_due(
    db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = sweep_store.RESTORE
    strict = replace(strict, sql=strict.sql.replace("or k.is_moved_since", "or p.version <> 2"))
    monkeypatch.setattr(sweep_store, "RESTORE", strict)
    assert await _taken_back_after(db, ops_db, FELL_DUE) == [("po_0000001", "moved_again")]


@pytest.mark.parametrize("change", ["amount = amount + 1, gross = gross + 1", "attempts = 1"])
async def test_twin_that_looks_at_the_account_alone_takes_too_much_back(
    db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    careless = sweep_store.RESTORE
    sql_ = careless.sql.replace("then 'changed'", "then null").replace("then 'sent'", "then null")
    monkeypatch.setattr(sweep_store, "RESTORE", replace(careless, sql=sql_))
    kept = await _taken_back_after(db, ops_db, f"update payments.payouts set {change}")
    assert kept == []
    assert await rerouting.where(db) == {A: 1}


async def test_a_route_is_not_taken_back_too_late_or_under_a_later_one(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    mesh = rerouting.mesh_on(ops_db)
    first = await rerouting.a_proposal(db, mesh)
    with pytest.raises(ProposalNotInState):
        await commands.roll_back(mesh, first.id, ONE, reason=WHY)
    await rerouting.apply(ops_db, mesh, first)
    later = await rerouting.a_proposal(db, mesh, leaves=B, to=(C,))
    await rerouting.apply(ops_db, mesh, later)
    with pytest.raises(LaterRoute):
        await commands.roll_back(mesh, first.id, ONE, reason=WHY)
    await sql(
        db,
        "update mesh.mesh_routing_proposals set applied_at = now() - interval '24 hours 1 second'",
    )
    with pytest.raises(RollbackTooLate):
        await commands.roll_back(mesh, later.id, ONE, reason=WHY)


async def test_votes_given_elsewhere_apply_the_route_too(
    db: Database, ops_db: Database, worker_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 2)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, status="simulated")
    asked = await commands.approve(mesh, proposal.id, ONE)
    assert asked.action is not None
    state = await commands.vote_and_carry_out(
        mesh, asked.action.id, TWO, VoteRequest(vote="approve")
    )
    assert state == "executed"
    assert await one(db, "select status from mesh.mesh_routing_proposals") == "approved"
    names = {each.name: each for each in jobs.handlers(mesh)}
    payload = await one(db, "select payload from jobs.pgqueuer where entrypoint = 'mesh.apply'")
    job = jobs.Job(1, "mesh.apply", payload, 1, worker_db)
    await names["mesh.apply"].run(job)
    assert await rerouting.where(db) == {B: 2}
