"""Before the deadline: who is reminded how often, and what a policy sends by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from builders import NOW, a_merchant, a_person
from disputing import a_file, add, in_hours, report, stands, submit
from facts import look, succeeded, take_in
from molam.merchant.dispute_jobs import auto_submit, remind, step_of
from molam.payments.disputes.model import State
from molam.platform.db import Database

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("left", "step"),
    [
        (25 * HOUR, None),
        (24 * HOUR, 24),
        (13 * HOUR, 24),
        (12 * HOUR, 12),
        (8.5 * HOUR, 12),
        (8 * HOUR, 8),
        (4 * HOUR, 4),
        (0.1 * HOUR, 4),
        (0 * HOUR, None),
        (-1 * HOUR, None),
    ],
)
def test_reminders_come_at_24_hours_and_each_4_of_the_last_12(left: timedelta, step: int | None):
    assert step_of(NOW + left, NOW) == step


async def _due_in(worker_db: Database, hours: float, **data: object) -> None:
    await report(worker_db, metadata={"evidence_due_at": in_hours(hours)}, **data)


async def _move(db: Database, hours: float) -> None:
    async with db.transaction("tests.move") as tx:
        await tx.connection.execute(
            "update payments.disputes set evidence_due_at = now() + make_interval(mins => $1)",
            int(hours * 60),
        )


async def test_each_step_is_told_once_to_administrators_and_support(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await a_person(db)
    await a_person(db, id_="moussa.fall", roles=("merchant_support",))
    await a_person(db, id_="fatou.sarr", roles=("merchant_accountant",))
    await _due_in(worker_db, 30)

    counts = []
    for hours in (30, 23, 20, 11, 7, 6.9, 3, 1):
        await _move(db, hours)
        counts.append((await remind(worker_db), await remind(worker_db)))

    assert counts == [(0, 0), (1, 0), (0, 0), (1, 0), (1, 0), (0, 0), (1, 0), (0, 0)]
    told = "select person_id, count(*) from notices.inbox group by 1 order by 1"
    assert await look(db, told) == [("awa.diop", 4), ("moussa.fall", 4)]
    alerts = (
        "select severity from merchant_alerts where alert_type = 'dispute_due' order by created_at"
    )
    assert await look(db, alerts) == [("warning",), ("critical",), ("critical",), ("critical",)]
    kinds = "select count(*) from payments.dispute_events where kind = 'reminded'"
    assert await look(db, kinds) == [(4,)]


async def test_nobody_is_reminded_of_what_was_answered(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await a_person(db)
    await _due_in(worker_db, 10)
    await submit(money_db)

    assert await remind(worker_db) == 0


async def _sold(worker_db: Database) -> None:
    metadata = {"delivered_at": "2026-11-17", "tracking_number": "SN-42"}
    await take_in(worker_db, [succeeded("tx_1", amount=700, metadata=metadata)])


async def test_a_policy_sends_a_complete_answer_in_its_last_day(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db, config={"dispute_auto_submit": True})
    await _sold(worker_db)
    await _due_in(worker_db, 23, transaction_id="tx_1", reason="not_received")

    sent = await auto_submit(worker_db)

    assert (sent, await auto_submit(worker_db)) == (1, 0)
    assert (await stands(worker_db)).state is State.UNDER_REVIEW
    rows = await look(
        db, "select by_policy, submitted_by, statement from payments.dispute_submissions"
    )
    assert rows[0][:2] == (True, "dispute-policy")
    assert "SN-42" in rows[0][2]
    actors = "select actor_kind from payments.dispute_events where kind = 'submitted'"
    assert await look(db, actors) == [("policy",)]


@pytest.mark.parametrize(
    ("config", "reason", "hours"),
    [
        ({}, "not_received", 23),
        ({"dispute_auto_submit": "true"}, "not_received", 23),
        ({"dispute_auto_submit": True}, "not_as_described", 23),
        ({"dispute_auto_submit": True}, "not_received", 30),
    ],
)
async def test_nothing_is_sent_unasked_incomplete_or_early(
    db: Database, worker_db: Database, config: dict[str, object], reason: str, hours: int
) -> None:
    await a_merchant(db, config=config)
    await _sold(worker_db)
    await _due_in(worker_db, hours, transaction_id="tx_1", reason=reason)

    assert await auto_submit(worker_db) == 0
    assert (await stands(worker_db)).state is State.NEEDS_RESPONSE


async def test_a_policy_sends_what_a_person_wrote_and_added(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db, config={"dispute_auto_submit": True})
    await _sold(worker_db)
    await _due_in(worker_db, 23, transaction_id="tx_1", reason="not_as_described")
    await add(money_db, a_file(kind="product_description"))

    assert await auto_submit(worker_db) == 1
    ((manifest,),) = await look(db, "select manifest from payments.dispute_submissions")
    assert "product_description" in str(manifest)
