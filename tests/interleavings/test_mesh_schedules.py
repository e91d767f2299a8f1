"""Routes applied while others send, apply, roll back or die: no payout is lost between them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import rerouting
from molam.kernel.refusals import Outage, Refusal
from molam.mesh.control import commands, rollback
from molam.mesh.control.apply import Sweep, apply_route
from molam.mesh.control.rollback import Undo
from molam.mesh.control.sweeping import sweep_again
from molam.payments.banks import gates
from molam.payments.payouts.sending import PayoutOwner
from molam.platform.db import Database, Tx
from rerouting import A, B, C, one, sql

OWNER = PayoutOwner()


@contextlib.asynccontextmanager
async def _sending(db: Database, payout_id: str) -> AsyncIterator[asyncio.Event]:
    """A sender that has claimed a payout and commits when the event is set, or at the end."""
    claimed, go = asyncio.Event(), asyncio.Event()

    async def send() -> None:
        async with db.transaction("tests.sending") as tx:
            assert await OWNER.claim(tx, payout_id) is not None
            claimed.set()
            await go.wait()

    sender = asyncio.create_task(send())
    await asyncio.wait({asyncio.create_task(claimed.wait()), sender}, return_when="FIRST_COMPLETED")
    if sender.done():
        await sender
    try:
        yield go
    finally:
        go.set()
        await sender


async def _apply_during_sending(
    db: Database, worker_db: Database, ops_db: Database, *, wait_s: float = 0.4
) -> bool:
    """Apply while one payout is just being claimed; tell whether it was applied before that ended."""
    await rerouting.a_region(db)
    await rerouting.payouts(db, 5)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    async with _sending(worker_db, "po_0000003") as go:
        applying = asyncio.create_task(rerouting.apply(ops_db, mesh, proposal))
        done, _ = await asyncio.wait({applying}, timeout=wait_s)
        go.set()
    await applying
    assert (
        await one(db, "select state from payments.payouts where id = 'po_0000003'") == "in_transit"
    )
    return bool(done)


async def test_a_route_waits_for_whoever_is_just_sending_through_the_bank_that_is_left(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    assert not await _apply_during_sending(db, worker_db, ops_db)
    assert await rerouting.where(db) == {A: 1, B: 4}
    assert await sql(
        db, "select bank_profile_id from payments.payouts where state = 'in_transit'"
    ) == [(A,)]
    async with worker_db.transaction("tests.claim") as tx:
        claimed = await OWNER.claim(tx, "po_0000001")
    assert claimed is not None
    assert claimed.bank_profile_id == B


async def test_without_the_gate_a_payout_leaves_through_the_old_bank_afterwards(
    db: Database, worker_db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test before."""

    async def closes_nothing(*_args: Any, **_more: Any) -> bool:
        return False

    monkeypatch.setattr(gates, "close", closes_nothing)
    # It waits for nobody, however slow the machine is.
    assert await _apply_during_sending(db, worker_db, ops_db, wait_s=30)
    assert await rerouting.where(db) == {A: 1, B: 4}


async def test_what_somebody_else_held_is_swept_again(db: Database, ops_db: Database) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 5)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    held = asyncio.Event()
    go = asyncio.Event()

    async def hold() -> None:
        async with db.transaction("tests.hold") as tx:
            await tx.connection.execute(
                "select from payments.payouts where id in ('po_0000002', 'po_0000004') for update"
            )
            held.set()
            await go.wait()

    holder = asyncio.create_task(hold())
    await held.wait()
    applied = await rerouting.apply(ops_db, mesh, proposal)
    assert applied.affected_payouts == 3
    asked = Sweep(proposal.id, 100, applied.action_id, "user", "ops-admin-2")
    with pytest.raises(asyncpg.LockNotAvailableError):
        async with ops_db.transaction("tests.sweep") as tx:
            await sweep_again(tx, mesh, asked, turn="1")
    go.set()
    await holder
    async with ops_db.transaction("tests.sweep") as tx:
        rest = await sweep_again(tx, mesh, asked, turn="2")
    assert rest is not None
    assert rest.affected_payouts == 2
    async with ops_db.transaction("tests.sweep") as tx:
        assert await sweep_again(tx, mesh, asked, turn="3") is None
    assert await rerouting.where(db) == {B: 5}
    assert await one(db, "select count(*) from mesh.mesh_reconciliations") == 5


async def test_two_routes_at_once_move_each_payout_once_and_overfill_no_bank(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db, (A, "bank_d"))
    await rerouting.a_bank(db, B, daily=60_000)
    await rerouting.a_bank(db, C)
    await rerouting.payouts(db, 5)
    await rerouting.payouts(db, 5, bank="bank_d", prefix="po_d_")
    mesh = rerouting.mesh_on(ops_db)
    both = [
        await rerouting.a_proposal(db, mesh, to=(B,), leaves=leaves) for leaves in (A, "bank_d")
    ]
    await asyncio.gather(*(rerouting.apply(ops_db, mesh, each) for each in both))
    assert (await rerouting.where(db, "po_"))[B] == 6, "60,000 in all"
    assert await one(db, "select max(version) from payments.payouts") == 2


async def test_one_proposal_applied_by_many_at_once_is_applied_once(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 20)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    done = await asyncio.gather(
        *(rerouting.apply(ops_db, mesh, proposal) for _ in range(5)), return_exceptions=True
    )
    assert not [each for each in done if isinstance(each, BaseException)]
    assert sorted(each.replayed for each in done if not isinstance(each, BaseException)) == [
        False,
        *[True] * 4,
    ]
    assert await one(db, "select count(*) from mesh.mesh_reconciliations") == 20


async def _die(db: Database, tx: Tx) -> None:
    pid = await tx.connection.fetchval("select pg_backend_pid()")
    # Not in the context of the transaction that is to die.
    killing = sql(db, "select pg_terminate_backend($1)", pid)
    await asyncio.create_task(killing, context=contextvars.Context())
    while not tx.connection.is_closed():
        await asyncio.sleep(0.01)


async def test_a_backend_that_dies_before_the_commit_has_moved_nothing(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 5)
    before = await rerouting.image(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    with contextlib.suppress(Outage, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        async with ops_db.transaction("tests.dies") as tx:
            applied = await apply_route(
                tx, mesh, proposal.id, actor=rerouting.PEOPLES, key=f"apply-routing-{proposal.id}"
            )
            assert applied.affected_payouts == 5
            await _die(db, tx)
    assert await rerouting.image(db) == before
    assert await one(db, "select count(*) from mesh.mesh_action_logs") == 0
    assert await rerouting.is_open(db, A)
    assert (await rerouting.apply(ops_db, mesh, proposal)).affected_payouts == 5


async def test_a_rollback_while_a_payout_is_being_sent_leaves_it_where_it_was_sent(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    undo = Undo(
        proposal_id=proposal.id,
        reason="essai",
        actor=rerouting.PEOPLES,
        window_h=24,
        at=mesh.clock.now(),
    )

    async def take_back() -> rollback.RolledBack:
        async with ops_db.transaction("tests.roll_back") as tx:
            return await rollback.roll_back(tx, undo)

    async with _sending(worker_db, "po_0000002") as go:
        undoing = asyncio.create_task(take_back())
        await asyncio.sleep(0.3)
        assert not undoing.done()
        go.set()
    done = await undoing
    assert done.restored_payouts == 2
    assert [(each.payout_id, each.why) for each in done.not_reversible] == [("po_0000002", "sent")]
    assert await rerouting.where(db) == {A: 2, B: 1}


async def test_two_rollbacks_at_once_are_one(db: Database, ops_db: Database) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 3)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    voters = [commands.Voter(id_) for id_ in rerouting.PEOPLE]
    done = await asyncio.gather(
        *(
            commands.roll_back(mesh, proposal.id, each, reason="La banque répond.")
            for each in voters
        ),
        return_exceptions=True,
    )
    assert not [
        each for each in done if isinstance(each, Exception) and not isinstance(each, Refusal)
    ]
    assert await rerouting.where(db) == {A: 3}
    assert (
        await one(db, "select count(*) from mesh.mesh_action_logs where action_type = 'rollback'")
        == 1
    )
