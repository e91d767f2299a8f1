"""Plans look at what there is, move it once when they are carried out, and statements confirm it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from builders import balance_of
from molam.kernel.clock import SystemClock
from molam.ledger.jobs import check_balances
from molam.mesh.liquidity import (
    flows,
    jobs,
    looking,
    planning,
    plans,
    queries,
    solver_process,
    transfers,
)
from molam.mesh.liquidity.model import BankAccountAbsent, PlanNotReady
from molam.mesh.liquidity.problem import Problem, Solution
from molam.payments.statements import books, commands
from molam.payments.statements.commands import Sent
from molam.platform.db import Database
from pooling import EAST, NORTH, SOUTH, a_bank_with_money, a_mesh, a_treasury

NOW = SystemClock().now()


@pytest.fixture(autouse=True)
def _near(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve in this process, which is quicker, but for the test of the process itself."""
    if "process" in request.node.name:
        return

    async def solve(problem: Problem) -> Solution:
        return solver_process.solve(problem)

    monkeypatch.setattr(planning.solving, "solve", solve)


async def _floor(db: Database, bank: str, amount: int, code: str = "XOF") -> None:
    async with db.transaction("tests.floor") as tx:
        await tx.connection.execute(
            "insert into mesh.float_floors (bank_profile_id, currency, minimum_float, changed_by)"
            " values ($1, $2, $3, 'tests') on conflict (bank_profile_id, currency) do update"
            " set minimum_float = excluded.minimum_float",
            *(bank, code, amount),
        )


async def _two_banks(db: Database) -> None:
    await a_bank_with_money(db, NORTH, amount=9_000_000)
    await a_bank_with_money(db, SOUTH, amount=1_000_000)
    await _floor(db, SOUTH, 3_000_000)
    # Said to need little, so that the rest is known to be spare.
    await _floor(db, NORTH, 1)


async def _plan(db: Database, days: int = 3) -> str:
    return await planning.make(db, region=None, days=days, by="treasury-1", now=NOW)


async def test_a_process_of_its_own_finds_the_same_plan(db: Database) -> None:
    await _two_banks(db)
    async with db.transaction("tests.look") as tx:
        problem = looking.problem_of(await looking.look(tx, None), 3)
    assert await planning.solving.solve(problem) == solver_process.solve(problem)


async def test_a_plan_fills_what_is_below_its_floor_and_says_why(
    ops_db: Database, db: Database
) -> None:
    await _two_banks(db)
    id_ = await _plan(ops_db)
    [step] = await queries.steps(ops_db, id_)
    assert (step.kind, step.from_bank_id, step.to_bank_id) == ("transfer", NORTH, SOUTH)
    assert step.amount == 2_000_000
    assert step.why["code"] == "below_floor"
    async with ops_db.transaction("tests.duals") as tx:
        prices = await queries.dual_prices(tx, "XOF")
    assert prices[SOUTH] > prices[NORTH]


async def test_carrying_a_plan_out_puts_money_on_its_way_and_only_once(
    ops_db: Database, db: Database
) -> None:
    await _two_banks(db)
    id_ = await _plan(ops_db)
    async with ops_db.transaction("tests.execute") as tx:
        done = await plans.execute(tx, id_, by="treasury-1", at=NOW)
    assert len(done.transfer_ids) == 1
    assert await balance_of(db, f"banks:{NORTH}:XOF") == -7_000_000
    assert await balance_of(db, f"banks:{SOUTH}:XOF") == -1_000_000
    assert await balance_of(db, "transit:banks:XOF") == -2_000_000
    with pytest.raises(PlanNotReady):
        async with ops_db.transaction("tests.again") as tx:
            await plans.execute(tx, id_, by="treasury-1", at=NOW)
    by_bank = {each.row.bank_profile_id: each for each in await queries.positions(ops_db)}
    assert (by_bank[NORTH].available, by_bank[SOUTH].row.arriving) == (7_000_000, 2_000_000)


async def test_what_arrived_is_booked_once_however_it_is_said(
    ops_db: Database, db: Database
) -> None:
    await _two_banks(db)
    id_ = await _plan(ops_db)
    async with ops_db.transaction("tests.execute") as tx:
        [transfer_id] = (await plans.execute(tx, id_, by="t", at=NOW)).transfer_ids
    for _ in range(2):
        async with ops_db.transaction("tests.receive") as tx:
            row = await transfers.receive(tx, transfer_id, by="treasury-1", at=NOW)
    assert row.state == "received"
    assert await balance_of(db, "transit:banks:XOF") == 0
    assert await balance_of(db, f"banks:{SOUTH}:XOF") == -3_000_000
    assert await check_balances(db) == 0


async def test_statements_of_both_banks_confirm_a_transfer_and_their_books_agree(
    ops_db: Database, db: Database
) -> None:
    await _two_banks(db)
    id_ = await _plan(ops_db)
    async with ops_db.transaction("tests.execute") as tx:
        await plans.execute(tx, id_, by="t", at=NOW)
    [moving] = await queries.transfers(ops_db)
    today = NOW.date()
    for bank, amount in ((NORTH, -moving.amount), (SOUTH, moving.amount)):
        await _statement(ops_db, bank, today, amount, moving.reference)
    assert await transfers.confirm_by_statements(ops_db, now=NOW) == 2
    assert await transfers.confirm_by_statements(ops_db, now=NOW) == 0
    [moved] = await queries.transfers(ops_db)
    assert (moved.state, moved.confirmed_by) == ("received", "statement")
    assert moved.seen_leaving_at is not None
    assert await balance_of(db, "transit:banks:XOF") == 0
    for bank in (NORTH, SOUTH):
        async with ops_db.transaction("tests.control", readonly=True) as tx:
            found = await books.control(tx, bank_profile_id=bank, currency="XOF", day=today)
        assert [item.item for item in found.items] == []


async def _statement(db: Database, bank: str, day: date, amount: int, reference: str) -> None:
    content = (
        "booked_on,value_on,amount,currency,bank_ref,counterparty,text\n"
        f"{day},{day},{amount},XOF,REF-{bank},MOLAM,VIREMENT {reference}\n"
    )
    sent = Sent(bank_profile_id=bank, content=content.encode(), file_name="releve.csv")
    await commands.import_statement(db, sent, by="finance-1", now=NOW)


async def test_a_plan_of_yesterday_or_of_money_that_is_gone_is_not_carried_out(
    ops_db: Database, db: Database
) -> None:
    await _two_banks(db)
    id_ = await _plan(ops_db)
    async with db.transaction("tests.spend") as tx:
        await tx.connection.execute(
            "update ledger.accounts set balance = -1000000 where id = $1", f"banks:{NORTH}:XOF"
        )
    with pytest.raises(PlanNotReady, match="holds less"):
        async with ops_db.transaction("tests.execute") as tx:
            await plans.execute(tx, id_, by="t", at=NOW)
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute("update mesh.rebalancing_plans set first_day = first_day - 1")
        await tx.connection.execute("update mesh.rebalancing_steps set day = day - 1")
    with pytest.raises(PlanNotReady, match="another day"):
        async with ops_db.transaction("tests.execute") as tx:
            await plans.execute(tx, id_, by="t", at=NOW)
    assert await queries.transfers(ops_db) == []


async def test_a_plan_draws_from_a_pool_what_no_bank_can_spare(
    ops_db: Database, db: Database
) -> None:
    treasury = await a_treasury(ops_db, db)
    for bank in (NORTH, SOUTH, EAST):
        await _floor(db, bank, 20_000_000)
    id_ = await _plan(ops_db, days=1)
    async with ops_db.transaction("tests.execute") as tx:
        done = await plans.execute(tx, id_, by="t", at=NOW)
    assert len(done.draw_ids) == 2
    # North put in 4 and South 2: they get back just what they miss.
    assert await treasury.pool() == (0, 0)
    assert await balance_of(db, f"banks:{NORTH}:XOF") == -20_000_000


async def test_no_account_is_no_shortage_and_unknown_rates_make_no_way(
    ops_db: Database, db: Database
) -> None:
    empty = await _plan(ops_db)
    [plan] = await queries.plans(ops_db)
    assert (plan.id, plan.state, plan.steps) == (empty, "nothing_to_do", 0)
    await a_bank_with_money(db, NORTH, amount=10_000_000, currencies=("XOF", "GHS"))
    await _floor(db, NORTH, 90_000_000, "GHS")
    await _plan(ops_db)
    [newest, *_] = await queries.plans(ops_db)
    assert newest.steps == 0
    assert sum(int(str(each["amount"])) for each in newest.shortages) == 80_000_000


async def test_days_are_added_up_without_our_own_moves_and_gaps_are_days_of_nothing(
    ops_db: Database, db: Database
) -> None:
    await a_bank_with_money(db, NORTH, amount=0)
    midnight = datetime.combine(NOW.date(), datetime.min.time(), tzinfo=UTC)
    for back, amount, cause in (
        (4, 700, "bank_refund"),
        (4, 300, "bank_fee"),
        (2, 90, "pool_draw"),
        (1, 50, "bank_fee"),
    ):
        async with db.transaction("tests.flow") as tx:
            await transfers.ledger.post(
                tx,
                [
                    transfers.ledger.OwnTransfer(
                        id=transfers.uuid8(f"{back}/{amount}"),
                        source="tests:world",
                        target=f"banks:{NORTH}",
                        amount=amount,
                        currency="XOF",
                        cause=cause,
                        cause_id="x",
                        occurred_at=midnight - timedelta(days=back) + timedelta(hours=9),
                    )
                ],
            )
    assert await flows.roll_up(ops_db) == 4
    assert await flows.roll_up(ops_db) == 0
    rows = await queries.flows(ops_db, NORTH, "XOF", days=30)
    assert [row.net_outflow for row in rows] == [1_000, 0, 0, 50]
    assert await flows.forecast(ops_db, days=2) == 4
    found = await queries.forecasts(ops_db, measure="net_outflow")
    assert {row.stands_on_days for row in found} == {4}


async def test_history_from_a_file_counts_until_the_ledger_knows_better(
    ops_db: Database, db: Database
) -> None:
    await a_bank_with_money(db, NORTH, amount=0)
    lines = "".join(
        f"{NOW.date() - timedelta(days=back)},{1_000 * (back % 7)}\n" for back in range(90, 0, -1)
    )
    async with ops_db.transaction("tests.history") as tx:
        assert await flows.import_history(tx, NORTH, "XOF", f"day,net_outflow\n{lines}") == 90
    with pytest.raises(BankAccountAbsent):
        async with ops_db.transaction("tests.history") as tx:
            await flows.import_history(tx, NORTH, "EUR", f"day,net_outflow\n{lines}")
    await flows.roll_up(ops_db)
    rows = await queries.flows(ops_db, NORTH, "XOF", days=100)
    assert [row.net_outflow for row in rows][:3] == [6_000, 5_000, 4_000]
    assert await flows.forecast(ops_db) == 28


async def test_a_pool_that_rebalances_by_itself_plans_when_a_bank_nears_its_floor(
    worker_db: Database, ops_db: Database, db: Database
) -> None:
    treasury = await a_treasury(ops_db, db)
    mesh = a_mesh(worker_db)
    assert not await jobs.plan_where_short(worker_db, mesh)
    await treasury.sql("update mesh.mesh_liquidity_pools set auto_rebalance_enabled = true")
    assert not await jobs.plan_where_short(worker_db, mesh)
    await _floor(db, NORTH, 16_000_000)
    assert await jobs.plan_where_short(worker_db, mesh)
    assert not await jobs.plan_where_short(worker_db, mesh)
