"""Pools hold what the ledger says, and give within their limits, alone or once others agree."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest

from builders import balance_of
from molam.approvals import execution, voting
from molam.approvals.model import Actor, VoteRequest
from molam.ledger.jobs import check_balances
from molam.mesh.liquidity import pools, position_store, queries
from molam.mesh.liquidity.model import DrawRefused
from molam.platform.db import Database, Query
from molam.platform.web.idempotency import IdempotencyKeyReused
from pooling import EAST, NORTH, POOL, SOUTH, THRESHOLD, TREASURERS, Treasury, a_treasury


async def test_a_draw_moves_money_from_the_pool_to_the_bank(ops_db: Database, db: Database) -> None:
    treasury = await a_treasury(ops_db, db)
    done = await treasury.draw(1_500_000)
    assert done.row.state == "booked"
    assert await treasury.pool() == (4_500_000, 0)
    # Our money at a bank is minus the balance of its account: 20 - 4 paid in + 1.5 drawn.
    assert await balance_of(db, f"banks:{NORTH}:XOF") == -17_500_000
    assert await balance_of(db, f"pools:{POOL}:XOF") == -4_500_000
    assert await check_balances(db) == 0


async def test_what_a_pool_holds_can_only_be_what_the_ledger_says(
    ops_db: Database, db: Database
) -> None:
    treasury = await a_treasury(ops_db, db)
    with pytest.raises(asyncpg.CheckViolationError):
        await treasury.sql("update mesh.mesh_liquidity_pools set total_available = 7000000")
    assert await treasury.pool() == (6_000_000, 0)


async def test_without_the_trigger_a_pool_would_say_what_it_does_not_hold(
    ops_db: Database, db: Database
) -> None:
    treasury = await a_treasury(ops_db, db)
    await treasury.sql("drop trigger pool_equals_ledger on mesh.mesh_liquidity_pools")
    await treasury.sql("update mesh.mesh_liquidity_pools set total_available = 7000000")
    assert await balance_of(db, f"pools:{POOL}:XOF") == -6_000_000


@pytest.mark.parametrize(
    ("amount", "bank", "limits", "limit"),
    [
        (6_000_001, NORTH, {}, "available"),
        (1_000_001, NORTH, {"max_single_draw": 1_000_000}, "max_single_draw"),
        (2_000_001, NORTH, {"daily_draw_limit": 2_000_000}, "daily_draw_limit"),
        (1, EAST, {}, "participant"),
    ],
)
async def test_a_draw_beyond_a_limit_is_refused_and_says_which(
    ops_db: Database,
    db: Database,
    amount: int,
    bank: str,
    limits: dict[str, int],
    limit: str,
) -> None:
    treasury = await a_treasury(ops_db, db, **limits)
    with pytest.raises(DrawRefused) as refused:
        await treasury.draw(amount, bank=bank)
    assert refused.value.facts["limit"] == limit
    assert await treasury.pool() == (6_000_000, 0)


async def test_a_bank_owes_at_most_three_times_what_was_put_in_for_it(
    ops_db: Database, db: Database
) -> None:
    treasury = await a_treasury(ops_db, db)
    await treasury.contribute(9_000_000, bank=SOUTH)
    await treasury.sql(
        "update mesh.pool_movements set amount = 1000000 where bank_profile_id = $1 and kind = 'contribution'",
        NORTH,
    )
    await treasury.draw(3_000_000)
    with pytest.raises(DrawRefused) as refused:
        await treasury.draw(1)
    assert refused.value.facts == {"limit": "contribution", "allowed": 0}


async def test_the_same_request_under_the_same_key_draws_once(
    ops_db: Database, db: Database
) -> None:
    treasury = await a_treasury(ops_db, db)
    first, again = await treasury.draw(500_000, key="k1"), await treasury.draw(500_000, key="k1")
    assert (first.is_new, again.is_new) == (True, False)
    assert first.row.id == again.row.id
    with pytest.raises(IdempotencyKeyReused):
        await treasury.draw(600_000, key="k1")
    assert await treasury.pool() == (5_500_000, 0)


async def test_draws_at_once_never_take_more_than_there_is(ops_db: Database, db: Database) -> None:
    treasury = await a_treasury(ops_db, db)
    results = await asyncio.gather(
        *(treasury.draw(1_000_000, bank=bank) for bank in (NORTH, SOUTH) * 4),
        return_exceptions=True,
    )
    drawn = [each for each in results if not isinstance(each, BaseException)]
    assert len(drawn) == 6
    assert all(isinstance(each, DrawRefused) for each in results if each not in drawn)
    assert await treasury.pool() == (0, 0)


async def test_a_bank_puts_in_no_more_than_we_have_there(
    ops_db: Database, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    treasury = await a_treasury(ops_db, db)  # Of 20 million at each, 4 went in already.
    with pytest.raises(DrawRefused) as refused:
        await treasury.contribute(16_000_001)
    assert refused.value.facts == {"limit": "position", "allowed": 16_000_000}
    results = await asyncio.gather(
        *(treasury.contribute(9_000_000) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(each, DrawRefused) for each in results) == 2
    assert await treasury.pool() == (15_000_000, 0)

    blind = Query(
        "/* tests.free */ select 1::bigint as free"
        " where :bank_profile_id::text <> '' and :currency::text <> ''",
        row=position_store.FreeRow,
    )
    with monkeypatch.context() as without:
        # Without the safety a bank gives what it does not have, and may draw three times that.
        without.setattr(position_store, "FIND_FREE", blind)
        await treasury.contribute(9_000_000)
    assert await treasury.pool() == (24_000_000, 0)


async def test_a_return_frees_what_is_owed_and_no_more(ops_db: Database, db: Database) -> None:
    treasury = await a_treasury(ops_db, db)
    taken = (await treasury.draw(2_000_000)).row
    await treasury.give_back(taken.id, 1_500_000)
    with pytest.raises(DrawRefused):
        await treasury.give_back(taken.id, 500_001)
    await treasury.give_back(taken.id, 500_000)
    assert await treasury.pool() == (6_000_000, 0)
    shares = {row.bank_profile_id: pools.share_of(row) for row in await queries.shares(db, POOL)}
    assert (shares[NORTH].owed, shares[NORTH].net) == (0, 4_000_000)


async def _large(ops_db: Database, db: Database) -> tuple[Treasury, str, str]:
    treasury = await a_treasury(ops_db, db)
    await treasury.contribute(14_000_000, bank=NORTH)
    done = await treasury.draw(THRESHOLD + 1)
    assert done.row.ops_action_id is not None
    return treasury, done.row.id, done.row.ops_action_id


async def test_a_large_draw_waits_reserved_until_two_others_agree(
    ops_db: Database, db: Database
) -> None:
    treasury, id_, action_id = await _large(ops_db, db)
    assert await treasury.pool() == (20_000_000, THRESHOLD + 1)
    runtime = treasury.mesh.approvals
    for voter in TREASURERS[1:]:
        await voting.vote(runtime, UUID(action_id), VoteRequest(vote="approve"), Actor(voter))
    await execution.execute(runtime, UUID(action_id), Actor(TREASURERS[0]))
    assert await treasury.pool() == (20_000_000 - THRESHOLD - 1, 0)
    [(state,)] = await treasury.sql("select state from mesh.pool_movements where id = $1", id_)
    assert state == "booked"


async def test_a_large_draw_that_is_refused_gives_its_reserve_back_once(
    ops_db: Database, db: Database
) -> None:
    treasury, id_, _action = await _large(ops_db, db)
    for _ in range(2):
        async with ops_db.transaction("tests.end") as tx:
            await pools.let_go(tx, id_, "rejected")
    assert await treasury.pool() == (20_000_000, 0)
    [(state, ended)] = await treasury.sql(
        "select state, ended_as from mesh.pool_movements where id = $1", id_
    )
    assert (state, ended) == ("refused", "rejected")


async def test_an_agreed_draw_is_looked_at_again_before_it_is_booked(
    ops_db: Database, db: Database
) -> None:
    treasury, id_, _action = await _large(ops_db, db)
    await treasury.sql("update mesh.mesh_liquidity_pools set max_single_draw = 1")
    with pytest.raises(DrawRefused):
        async with ops_db.transaction("tests.book") as tx:
            await pools.book_waiting(tx, id_, at=treasury.mesh.clock.now())
    assert await treasury.pool() == (20_000_000, THRESHOLD + 1)
