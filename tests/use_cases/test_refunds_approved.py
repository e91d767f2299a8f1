"""Refunds that others must agree to: who may, what follows, and what gives the money back."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from builders import a_person, balance_of
from facts import an_event, take_in
from molam.approvals.model import ActionExpired, NotEligible, SameHands
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.payments.refunds import commands
from molam.payments.refunds.model import MOVES, STATUS, State
from molam.payments.refunds.refusals import RefundNotInState
from molam.payments.refunds.store import RefundRow
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.db import Database
from refunding import AWA, MERCHANT, MOUSSA, REGISTRY, Till, a_sale, a_shop, hear, pay, send

AVAILABLE = "merchant:merchant-123:available:XOF"
RESERVED = "merchant:merchant-123:reserved:XOF"


@pytest.fixture
async def till(db: Database, money_db: Database) -> Till:
    await a_shop(db)
    await a_sale(db, "tx_big", 300_000)
    return Till(money_db)


@pytest.fixture
async def waiting(till: Till) -> RefundRow:
    return await till.ask(150_000, transaction_id="tx_big")


async def let_expire(db: Database, row: RefundRow) -> None:
    async with db.transaction("tests.let_expire") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set created_at = now() - interval '2 hours',"
            " updated_at = now() - interval '2 hours', expires_at = now() - interval '1 second'"
            " where id = $1",
            row.approval_id,
        )


async def sweep(worker_db: Database) -> int:
    return await commands.end_overdue(Runtime(worker_db, REGISTRY, PolicyBook(REGISTRY), "tests"))


async def timeline(db: Database, row: RefundRow) -> list[tuple[Any, ...]]:
    async with db.transaction("tests.timeline") as tx:
        rows = await tx.connection.fetch(
            "select old_state, new_state, actor_id from payments.refund_events"
            " where refund_id = $1 order by seq",
            row.id,
        )
    return [tuple(each) for each in rows]


async def test_other_administrator_lets_the_refund_go(till: Till, waiting: RefundRow, db: Database):
    row = await till.vote(waiting.id, MOUSSA)

    assert (row.state, row.approved_by) == ("queued", "moussa.ndiaye")
    assert await balance_of(db, RESERVED) == 150_000
    assert await timeline(db, row) == [
        (None, "awaiting_approval", "awa.diop"),
        ("awaiting_approval", "queued", "moussa.ndiaye"),
    ]


async def test_requester_may_not_approve_their_own_refund(till: Till, waiting: RefundRow):
    with pytest.raises(NotEligible):
        await till.vote(waiting.id, AWA)

    assert (await till.look(waiting.id)).state == "awaiting_approval"


async def test_requester_may_not_approve_under_another_name(
    till: Till, waiting: RefundRow, db: Database
):
    async with db.transaction("tests.alias") as tx:
        await tx.connection.execute(
            "insert into tenancy.person_aliases (alias, person_id) values ('awa2', 'awa.diop')"
        )

    with pytest.raises(NotEligible):
        await till.vote(waiting.id, type(AWA)("awa2", "Awa"))


async def test_administrator_of_another_merchant_may_not_approve(
    till: Till, waiting: RefundRow, db: Database
):
    await a_person(db, id_="stranger", name="Stranger", merchant_id=None, roles=())

    with pytest.raises(NotEligible):
        await till.vote(waiting.id, type(AWA)("stranger", "Stranger"))


async def test_vote_on_money_demands_a_fresh_second_factor(till: Till, waiting: RefundRow):
    with pytest.raises(StepUpRequired):
        await till.vote(waiting.id, MOUSSA, proved=False)


async def test_rejection_gives_the_money_back_once(till: Till, waiting: RefundRow, db: Database):
    row = await till.vote(waiting.id, MOUSSA, vote="reject")
    await commands.carry_on(till.runtime, MERCHANT, row.id)

    assert (row.state, row.status) == ("rejected", "cancelled")
    assert (await balance_of(db, RESERVED), await balance_of(db, AVAILABLE)) == (0, 800_000)


async def test_requester_takes_a_refund_back(till: Till, waiting: RefundRow, db: Database):
    row = await till.cancel(waiting.id, AWA)

    assert row.state == "cancelled"
    assert await balance_of(db, RESERVED) == 0


async def test_nobody_else_takes_a_refund_back(till: Till, waiting: RefundRow):
    with pytest.raises(SameHands):
        await till.cancel(waiting.id, MOUSSA)


async def test_refund_that_was_queued_is_not_cancelled(till: Till, waiting: RefundRow):
    await till.vote(waiting.id, MOUSSA)

    with pytest.raises(RefundNotInState):
        await till.cancel(waiting.id, AWA)


async def test_expiry_gives_the_money_back_without_anybody_voting(
    till: Till, waiting: RefundRow, db: Database, worker_db: Database
):
    await let_expire(db, waiting)

    assert await sweep(worker_db) == 1

    assert (await till.look(waiting.id)).state == "expired"
    assert await balance_of(db, AVAILABLE) == 800_000


async def test_approval_after_the_deadline_sends_nothing(
    till: Till, waiting: RefundRow, db: Database
):
    await let_expire(db, waiting)

    with pytest.raises(ActionExpired):
        await till.vote(waiting.id, MOUSSA)

    assert (await till.look(waiting.id)).state == "awaiting_approval"


async def test_approval_and_expiry_at_once_end_in_one_of_both(
    till: Till, waiting: RefundRow, db: Database, worker_db: Database
):
    await let_expire(db, waiting)

    await asyncio.gather(till.vote(waiting.id, MOUSSA), sweep(worker_db), return_exceptions=True)
    await sweep(worker_db)

    assert (await till.look(waiting.id)).state == "expired"
    assert await balance_of(db, RESERVED) == 0


async def test_dispute_that_opens_meanwhile_stops_an_approved_refund(
    till: Till, waiting: RefundRow, db: Database, worker_db: Database
):
    await take_in(db, [an_event("dispute_created", id="dp_1", transaction_id="tx_big", amount=9)])

    row = await till.vote(waiting.id, MOUSSA)
    await sweep(worker_db)

    row = await till.look(row.id)
    assert row.state == "failed"
    assert await balance_of(db, RESERVED) == 0


async def test_merchant_that_is_frozen_meanwhile_refunds_nothing(
    till: Till, waiting: RefundRow, db: Database, worker_db: Database
):
    async with db.transaction("tests.freeze") as tx:
        await tx.connection.execute(
            "update tenancy.merchants set status = 'frozen' where id = 'merchant-123'"
        )

    await till.vote(waiting.id, MOUSSA)
    await sweep(worker_db)

    assert (await till.look(waiting.id)).state == "failed"
    assert await balance_of(db, RESERVED) == 0


async def test_approver_who_lost_the_role_in_between_approved_nothing(
    till: Till, waiting: RefundRow, db: Database, worker_db: Database
):
    async with db.transaction("tests.revoke") as tx:
        await tx.connection.execute(
            "update tenancy.role_grants set revoked_at = now() where person_id = 'moussa.ndiaye'"
        )

    await till.vote(waiting.id, MOUSSA)
    await sweep(worker_db)

    assert (await till.look(waiting.id)).state == "failed"


async def test_finance_operations_approve_for_an_only_administrator(
    db: Database, money_db: Database
):
    await a_shop(db, admins=1)
    await a_person(db, id_="fin-1", name="Ousmane Sow", roles=("finance_ops",), merchant_id=None)
    await a_sale(db, "tx_big", 300_000)
    till = Till(money_db)
    row = await till.ask(150_000, transaction_id="tx_big")

    done = await till.vote(row.id, type(AWA)("fin-1", "Ousmane Sow"))

    assert (row.approvers, done.state, done.approved_by) == ([], "queued", "fin-1")


async def test_returned_refund_is_credited_anew(till: Till, db: Database, worker_db: Database):
    row = await till.ask(10_000, transaction_id="tx_big")
    await pay(worker_db, row.id)

    for _ in range(2):
        await hear(worker_db, row.id, "returned", code="account-closed")

    row = await till.look(row.id)
    assert (row.state, row.status) == ("reversed", "failed")
    assert await balance_of(db, AVAILABLE) == 800_000


@pytest.mark.parametrize(
    "states", [["accepted", "settled"], ["unknown", "settled"], ["settled", "accepted"]]
)
async def test_answers_in_any_order_pay_once(
    till: Till, db: Database, worker_db: Database, states: list[Any]
):
    row = await till.ask(10_000, transaction_id="tx_big")
    await send(worker_db, row.id)

    for state in [*states, *states]:
        await hear(worker_db, row.id, state)

    assert (await till.look(row.id)).state == "succeeded"
    assert (await balance_of(db, RESERVED), await balance_of(db, AVAILABLE)) == (0, 790_000)


async def test_state_that_does_not_follow_is_refused_by_the_database(
    till: Till, waiting: RefundRow, db: Database
):
    with pytest.raises(asyncpg.CheckViolationError):
        async with db.transaction("tests.force") as tx:
            await tx.connection.execute(
                "update payments.refunds set state = 'succeeded' where id = $1", waiting.id
            )


async def test_timeline_cannot_be_rewritten(till: Till, waiting: RefundRow, db: Database):
    with pytest.raises(asyncpg.RestrictViolationError):
        async with db.transaction("tests.rewrite") as tx:
            await tx.connection.execute("update payments.refund_events set actor_id = 'nobody'")


async def test_one_merchants_process_sees_no_others_refunds(
    till: Till, waiting: RefundRow, web_db: Database, money_db: Database
):
    for db in (web_db, money_db):
        async with db.transaction("tests.other", merchant_id="merchant-other") as tx:
            assert await tx.connection.fetch("select id from payments.refunds") == []


async def test_moves_of_the_database_are_those_of_the_model(db: Database):
    async with db.transaction("tests.moves") as tx:
        rows = await tx.connection.fetch("select old_state, new_state from payments.refund_moves")

    known = {(old.value, new.value) for old, news in MOVES.items() for new in news}
    assert {(row["old_state"], row["new_state"]) for row in rows} == known


@pytest.mark.parametrize("state", list(State))
async def test_statuses_of_the_database_are_those_of_the_model(
    till: Till, waiting: RefundRow, db: Database, state: State
):
    async with db.transaction("tests.statuses") as tx:
        await tx.connection.execute("alter table payments.refunds disable trigger user")
        status = await tx.connection.fetchval(
            "update payments.refunds set state = $2 where id = $1 returning status",
            waiting.id,
            state.value,
        )

    assert status == STATUS[state]
