"""What a proposal would have achieved in the payments of the last weeks, and who needs to know."""

from __future__ import annotations

import time
from uuid import uuid4

import msgspec
import pytest

import rerouting
from molam.mesh.control import controller
from molam.mesh.routing import commands as routing
from molam.mesh.routing import logged as logged_
from molam.mesh.routing.logged_store import LoggedRow
from molam.mesh.routing.model import Simulation
from molam.payments.banks import attempt_store
from molam.platform.db import Database
from molam.sira import health_filter
from rerouting import A, B, C, one, sql

ORDERS = [(0, (B, C)), (10_000, (C,)), (1_000_000, ())]


async def _attempts(
    db: Database, bank: str, *, paid: int, failed: int = 0, amount: int = 10_000, days_ago: int = 3
) -> None:
    await sql(
        db,
        "insert into payments.bank_attempts (id, kind, object_id, merchant_id, attempt_no,"
        " bank_profile_id, outward_key, wire_key, amount, currency, destination, reference, state,"
        " request_hash, lease_until, next_inquiry_at, created_at)"
        " select gen_random_uuid(), 'payout', $1::text || $4::bigint || '_' || n, 'merchant-123', 1, $1,"
        " 'k' || n, 'k' || n, $4::bigint, 'XOF', $5, 'r',"
        " case when n <= $2::int then 'settled' else 'rejected' end, '\\x00', now(), now(),"
        " now() - make_interval(days => $6) from generate_series(1, $2::int + $3::int) as n",
        *(bank, paid, failed, amount, {"type": "bank_account", "country": "SN"}, days_ago),
    )


async def _in_the_long_run(db: Database, bank: str, failing: float) -> None:
    """Let it be known surely which share of a bank's payments fails."""
    await rerouting.feel(db, bank)
    belief = msgspec.structs.replace(
        health_filter.fresh(),
        at=time.time(),
        oks=20_000 * (1 - failing),
        failures=20_000 * failing,
        seen=10_000.0,
    )
    await sql(
        db,
        "update mesh.member_health set belief = $2, p_down = $3 where bank_profile_id = $1",
        *(bank, msgspec.to_builtins(belief), health_filter.p_down(belief)),
    )


async def _world(db: Database) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 20)
    await rerouting.let_it_act(db)
    await rerouting.people(db)
    for bank, failing in ((A, 0.03), (B, 0.002), (C, 0.04)):
        await _in_the_long_run(db, bank, failing)


async def _simulated(db: Database) -> Simulation:
    mesh = rerouting.mesh_on(db)
    row = await rerouting.a_proposal(db, mesh, status="proposed")
    async with db.transaction("tests.simulate") as tx:
        return await routing.simulate(tx, mesh, row.id)


async def test_a_trial_says_what_would_have_been_paid(db: Database, worker_db: Database) -> None:
    await rerouting.a_region(db)
    await _attempts(db, A, paid=200, failed=200)
    await _attempts(db, B, paid=380, failed=20)
    # Too long ago to tell of now.
    await _attempts(db, B, paid=0, failed=90, amount=11_000, days_ago=40)
    found = (await _simulated(worker_db)).logged
    assert found is not None
    assert found.attempts == 800
    assert found.paid_before == 0.725
    assert found.paid_after == pytest.approx(0.95, abs=0.01)
    assert found.low < 0.95 < found.high
    assert found.samples == 400
    assert found.is_enough


async def test_of_a_bank_that_carried_nothing_nothing_is_said(
    db: Database, worker_db: Database
) -> None:
    await rerouting.a_region(db)
    await _attempts(db, A, paid=300)
    found = (await _simulated(worker_db)).logged
    assert found is not None
    assert (found.attempts, found.samples, found.paid_after) == (300, 0, None)
    assert not found.is_enough
    await sql(db, "delete from payments.bank_attempts")
    found = (await _simulated(worker_db)).logged
    assert found is not None
    assert (found.attempts, found.paid_before, found.low, found.high) == (0, None, 0, 1)


def test_small_payments_say_nothing_of_how_large_ones_do() -> None:
    rows = [
        # B is given the small ones, which always arrive, and C nearly all large ones.
        LoggedRow(1, 3, B, True, 500),
        LoggedRow(1, 3, C, True, 20),
        LoggedRow(2, 5, B, False, 20),
        LoggedRow(2, 5, C, True, 250),
        LoggedRow(2, 5, C, False, 250),
        LoggedRow(3, 6, B, True, 100),
    ]
    found = logged_.estimate(rows, ORDERS)
    assert found.attempts == 1040, "what has no route is left out"
    # 520 small ones would all arrive, and half of 520 large ones.
    assert found.paid_after == pytest.approx(0.75, abs=0.01)
    assert found.paid_before == pytest.approx(770 / 1040, abs=0.0001)


def test_what_lots_decided_counts_as_likely_as_they_made_it() -> None:
    # A step of 25 % led these to B, drawn by ids; the route had led to A for weeks.
    rows = [
        LoggedRow(1, 4, A, True, 540, 0.75),
        LoggedRow(1, 4, A, False, 60, 0.75),
        LoggedRow(1, 4, B, True, 190, 0.25),
        LoggedRow(1, 4, B, False, 10, 0.25),
    ]
    found = logged_.estimate(rows, [(0, (B,))])
    assert found.samples == 200
    assert found.paid_after == pytest.approx(0.95, abs=0.01)
    # Sure choices of other weeks are a mixture of their own, and shift nothing of that.
    sure = [LoggedRow(1, 4, A, True, 900, 1.0), LoggedRow(1, 4, B, True, 100, 1.0)]
    both = logged_.estimate([*rows, *sure], [(0, (B,))])
    weights = [1 / 0.25] * 200 + [10.0] * 100
    assert both.samples == pytest.approx(
        sum(weights) ** 2 / sum(each * each for each in weights), abs=0.1
    )


async def test_attempts_say_how_likely_their_bank_was(db: Database, worker_db: Database) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.let_it_act(db)
    await rerouting.payouts(db, 100)
    mesh = rerouting.mesh_on(worker_db)
    row = await rerouting.a_proposal(db, mesh, status="simulated", p_down=0.9)
    for share in (5, 25):
        await rerouting.apply(worker_db, mesh, row, actor=rerouting.AUTO, share=share)
    moved = (await rerouting.where(db))[B]
    likely = (
        "select bank_profile_id, propensity, count(*)::int from payments.bank_choices group by 1, 2"
    )
    assert sorted(await sql(db, likely)) == [(A, 0.75, 100 - moved), (B, 0.25, moved)]
    for bank in (A, B):
        id_ = await one(db, "select min(id) from payments.payouts where bank_profile_id = $1", bank)
        async with worker_db.transaction("tests.attempt") as tx:
            await tx.run(
                attempt_store.APPEND_ATTEMPT,
                **dict.fromkeys(("outward_key", "wire_key", "reference"), id_),
                id=uuid4(),
                kind="payout",
                object_id=id_,
                merchant_id=rerouting.MERCHANT,
                attempt_no=1,
                bank_profile_id=bank,
                amount=10_000,
                currency="XOF",
                destination={"type": "bank_account", "country": "SN"},
                request_hash=b"\0",
                lease_s=1.0,
            )
    said = "select bank_profile_id, propensity from payments.bank_attempts order by 1"
    assert await sql(db, said) == [(A, 0.75), (B, 0.25)]
    for share in (50, 75, 100):
        await rerouting.apply(worker_db, mesh, row, actor=rerouting.AUTO, share=share)
    waiting = await sql(
        db,
        "select distinct c.propensity from payments.bank_choices as c join payments.payouts as p"
        " on p.id = c.payout_id and p.bank_profile_id = c.bank_profile_id"
        " where p.bank_profile_id = $1",
        B,
    )
    assert waiting == [(1.0,)]


async def test_a_better_order_that_little_speaks_for_is_put_to_people(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await _attempts(db, A, paid=400)
    await _attempts(db, B, paid=199)
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("ask", "too_few_attempts")
    assert await one(db, "select count(*) from approvals.ops_actions") == 1
    assert await rerouting.where(db) == {A: 20}


async def test_without_asking_for_history_two_hundred_payments_less_one_would_do(
    db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "_BY_HISTORY", frozenset[str]())
    await _world(db)
    await _attempts(db, A, paid=400)
    await _attempts(db, B, paid=199)
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    assert verdict.word == "reorder"


async def test_a_better_order_that_enough_speaks_for_is_taken(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await _attempts(db, A, paid=400)
    await _attempts(db, B, paid=201)
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("reorder", "better_in_the_long_run")
    assert await one(db, "select status from mesh.mesh_routing_proposals") == "applied"


async def test_nobody_stays_with_a_bank_that_is_down_for_want_of_history(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    assert await rerouting.feel(db, A, failures=12) >= 0.99
    assert await one(db, "select count(*) from payments.bank_attempts") == 0
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    assert (verdict.word, verdict.reason) == ("move", "surely_down")
    assert A not in await rerouting.where(db)
