"""What a route moves is sent at once, and not when its own job would have looked again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

import rerouting
from molam.mesh.control import jobs as control_jobs
from molam.mesh.control import onward, rollback
from molam.mesh.control.apply import Sweep
from molam.mesh.control.onward import SendMoved
from molam.mesh.control.rollback import Undo
from molam.mesh.control.sweeping import sweep_again
from molam.payments.banks.commands import SEND, Send
from molam.payments.payouts import sending
from molam.platform.db import Database
from molam.platform.jobs import Job, JobHandler, enqueue, run_jobs
from rerouting import A, B, one, sql

WITHIN_S = 3.0
"""It takes a tenth of that on a quiet machine, and no queue looks by itself so soon."""
CLOSED_S = 30.0


async def _wait_at_the_gate(db: Database, prefix: str = "po_") -> None:
    """Each payout's own job has met a closed gate, and waits."""
    ids = [id_ for (id_,) in await sql(db, "select id from payments.payouts order by id")]
    async with db.transaction("tests.wait") as tx:
        for id_ in ids:
            if id_.startswith(prefix):
                await enqueue(tx, SEND, Send("payout", id_), delay_s=CLOSED_S)


async def _queued(db: Database) -> list[tuple[str, bool]]:
    """List the payouts for which a job is queued, and whether it may run now."""
    rows = await sql(
        db,
        "select payload, execute_after <= now() from jobs.pgqueuer where entrypoint = $1"
        " order by id",
        SEND,
    )
    return [(msgspec.json.decode(body, type=Send).object_id, is_due) for body, is_due in rows]


async def _carry_on(db: Database, ops_db: Database) -> None:
    """Do the jobs that applying left, as a worker would."""
    mesh = rerouting.mesh_on(ops_db)
    handlers = {each.name: each for each in control_jobs.handlers(mesh)}
    rows = await sql(
        db,
        "delete from jobs.pgqueuer where entrypoint = $1 returning id, entrypoint, payload",
        onward.SEND_MOVED,
    )
    assert rows, "applying left nothing to do"
    for id_, name, payload in rows:
        await handlers[name].run(Job(id_, name, payload, 1, db))


@contextlib.asynccontextmanager
async def _working(db: Database, dsn: str, handlers: list[JobHandler]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    work = asyncio.create_task(run_jobs(db, dsn=dsn, handlers=handlers, stop=stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(work, 10)


async def _until(is_so: Callable[[], bool], within_s: float) -> bool:
    deadline = asyncio.get_running_loop().time() + within_s
    while not is_so() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    return is_so()


async def test_what_was_moved_is_sent_within_the_second_through_its_new_bank(
    db: Database, worker_db: Database, ops_db: Database, dsn: str
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 12)
    await _wait_at_the_gate(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    given: list[str | None] = []

    async def send(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=Send)
        async with job.effect() as tx:
            told = await sending.PayoutOwner().claim(tx, asked.object_id)
            given.append(None if told is None else told.bank_profile_id)

    handlers = [JobHandler(SEND, send), *control_jobs.handlers(mesh)]
    async with _working(worker_db, dsn, handlers):
        # The worker listens before anything is there for it to hear of.
        await asyncio.sleep(0.3)
        assert given == []
        await rerouting.apply(ops_db, mesh, proposal)
        assert await _until(lambda: len(given) == 12, WITHIN_S)
    assert given == [B] * 12


async def test_whoever_waited_is_woken_and_not_doubled(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3, prefix="po_waited_")
    await _wait_at_the_gate(db)
    await rerouting.payouts(db, 2, prefix="po_lost_")
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    await _carry_on(worker_db, ops_db)
    queued = sorted(await _queued(db))
    assert [id_ for id_, _ in queued] == [
        *(f"po_lost_{n:07}" for n in (1, 2)),
        *(f"po_waited_{n:07}" for n in (1, 2, 3)),
    ]
    assert all(is_due for _, is_due in queued)


async def test_what_is_held_or_not_yet_due_is_left_alone(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1, prefix="po_now_")
    await rerouting.payouts(db, 1, prefix="po_held_")
    await rerouting.payouts(db, 1, prefix="po_later_")
    await sql(
        db,
        "update payments.payouts set held_reason = 'paused', state = 'held'"
        " where id like 'po_held_%'",
    )
    await sql(
        db,
        "update payments.payouts set scheduled_for = now() + interval '1 day', state = 'scheduled'"
        " where id like 'po_later_%'",
    )
    mesh = rerouting.mesh_on(ops_db)
    applied = await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    assert applied.affected_payouts == 3
    await _carry_on(worker_db, ops_db)
    assert await _queued(db) == [("po_now_0000001", True)]


async def test_what_had_no_bank_goes_on_by_the_next_minute_once_a_route_gives_it_one(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 2, bank=None)
    await sql(db, "update payments.payouts set state = 'held', held_reason = 'no_bank_route'")
    assert await sending.send_due(worker_db) == 0
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    assert await sending.send_due(worker_db) == 2
    assert await _queued(db) == [("po_0000001", True), ("po_0000002", True)]


async def test_what_the_second_sweep_moves_is_sent_at_once_too(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    applied = await rerouting.apply(ops_db, mesh, proposal)
    await _carry_on(worker_db, ops_db)
    await rerouting.payouts(db, 2)
    await _wait_at_the_gate(db)
    asked = Sweep(proposal.id, 100, applied.action_id, "user", "ops-admin-2")
    async with worker_db.transaction("tests.sweep") as tx:
        assert await sweep_again(tx, mesh, asked, turn="1") is not None
    await _carry_on(worker_db, ops_db)
    assert await _queued(db) == [("po_0000001", True), ("po_0000002", True)]


async def test_a_rollback_sends_what_it_restores_and_what_waited_for_the_gate(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 2)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    await sql(db, "delete from jobs.pgqueuer")
    await rerouting.payouts(db, 1, prefix="po_stuck_")
    await _wait_at_the_gate(db)
    at = mesh.clock.now()
    undo = Undo(
        proposal_id=proposal.id, reason="tests", actor=rerouting.PEOPLES, window_h=24, at=at
    )
    async with ops_db.transaction("tests.undo") as tx:
        await rollback.roll_back(tx, undo)
    assert await rerouting.is_open(db, A)
    await _carry_on(worker_db, ops_db)
    assert sorted(await _queued(db)) == [
        ("po_0000001", True),
        ("po_0000002", True),
        ("po_stuck_0000001", True),
    ]


async def test_a_return_lets_those_go_that_waited_for_the_gate(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 2)
    await rerouting.payouts(db, 1, bank=B, prefix="po_other_")
    await _wait_at_the_gate(db)
    await rerouting.set_gate(db, A, is_open=False)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh, to=(A, B), leaves=None, kind="return")
    await rerouting.apply(ops_db, mesh, proposal)
    await _carry_on(worker_db, ops_db)
    assert await _queued(db) == [
        ("po_0000001", True),
        ("po_0000002", True),
        ("po_other_0000001", False),
    ]


async def test_without_that_job_what_was_moved_goes_on_waiting(
    db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test of waking."""

    async def tells_nobody(*_args: object, **_more: object) -> None:
        return None

    monkeypatch.setattr(onward, "enqueue_send_moved", tells_nobody)
    await rerouting.a_region(db)
    await rerouting.payouts(db, 3)
    await _wait_at_the_gate(db)
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    assert await rerouting.where(db) == {B: 3}
    assert not any(is_due for _, is_due in await _queued(db))
    assert await one(db, "select count(*) from jobs.pgqueuer where entrypoint = $1", SEND) == 3


def test_the_arguments_of_the_job_keep_their_names():
    body = msgspec.json.encode(SendMoved("pr_1", "XOF", "bank"))
    assert msgspec.json.decode(body) == {
        "proposal_id": "pr_1",
        "currency": "XOF",
        "rail": "bank",
        "opened": None,
        "version": 1,
    }
