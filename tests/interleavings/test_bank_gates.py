"""Leaving a bank while payouts are being handed to it: none slips through, none waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import paying_out as pay
from molam.payments.banks import gate_store, gates
from molam.payments.banks.commands import NotNow
from molam.payments.banks.gates import Gate
from molam.payments.payouts import sending
from molam.platform.db import Database, Query

GATE = Gate(pay.BANK, "wallet:wave", "XOF")
OTHER = "bp_other"


@pytest.fixture
async def payout(db: Database) -> str:
    await pay.a_bank(db)
    await pay.sql(
        db,
        "insert into payments.bank_profiles (id, name, country, currency_codes, rails, provider_type,"
        " status, enabled, connector) values ($1, 'Other', 'SN', '{XOF}', '{wallet:wave,bank}',"
        " 'wallet', 'active', true, 'http_bank')",
        OTHER,
    )
    await pay.sql(
        db,
        "insert into payments.treasury_accounts (id, bank_profile_id, account_reference, currency)"
        " values ('ta_other', $1, 'other', 'XOF')",
        OTHER,
    )
    await pay.sql(
        db,
        "update payments.bank_routes set bank_profile_ids = array[$1, $2] where rail = 'wallet:wave'",
        *(pay.BANK, OTHER),
    )
    await pay.a_payee(db)
    await pay.an_entry(db, 500_000)
    return (await pay.ask(db)).id


async def _close(db: Database, gate: Gate = GATE) -> None:
    async with db.transaction("tests.close") as tx:
        assert await gates.close(tx, gate, cause="tests")


async def _repoint(db: Database, payout: str) -> None:
    """Lead a waiting payout to the other bank, as a route that is applied does."""
    await pay.sql(
        db,
        "update payments.payouts set bank_profile_id = $2, treasury_account_id = 'ta_other',"
        " version = version + 1 where id = $1 and state = 'pending'",
        *(payout, OTHER),
    )


async def _bank(db: Database, payout: str) -> tuple[str | None, str | None]:
    rows = await pay.sql(
        db,
        "select bank_profile_id, treasury_account_id from payments.payouts where id = $1",
        payout,
    )
    return rows[0]


async def _settled_down(db: Database, payout: str) -> str | None:
    """Claim until the payout is claimed or has to wait for its bank; return through which."""
    for _ in range(5):
        try:
            instruction = await pay.claim(db, payout)
        except NotNow as later:
            if later.wait_s > 1:
                return None
            continue
        return None if instruction is None else instruction.bank_profile_id
    raise AssertionError("it is repointed again and again")


async def test_a_payout_has_its_bank_from_the_beginning(db: Database, payout: str):
    assert (await _bank(db, payout))[0] == pay.BANK


async def test_a_payout_waits_while_its_banks_gate_is_closed(db: Database, payout: str):
    await _close(db)

    with pytest.raises(NotNow):
        await pay.claim(db, payout)
    assert await pay.state_of(db, payout) == "pending"

    async with db.transaction("tests.open") as tx:
        assert await gates.open_(tx, GATE, cause="tests")
    sent = await pay.claim(db, payout)
    assert sent is not None
    assert sent.bank_profile_id == pay.BANK


async def test_a_gate_that_is_closed_for_some_amounts_lets_the_others_through(
    db: Database, payout: str
):
    """The payout is of 500,000."""
    async with db.transaction("tests.close") as tx:
        await gates.close(tx, GATE, cause="tests", amounts=[(0, 499_999), (500_001, None)])
        closed = await gates.close(tx, GATE, cause="tests", amounts=[(500_000, 500_000)])
    assert closed == [(500_000, 500_000)]
    with pytest.raises(NotNow):
        await pay.claim(db, payout)

    async with db.transaction("tests.open") as tx:
        await gates.open_(tx, GATE, cause="tests", amounts=[(500_000, 500_000)])
    sent = await pay.claim(db, payout)
    assert sent is not None
    assert sent.bank_profile_id == pay.BANK


async def test_new_payouts_take_the_next_bank_whose_gate_is_open(db: Database, payout: str):
    await _close(db)
    await pay.an_entry(db, 700)

    assert await _bank(db, (await pay.ask(db)).id) == (OTHER, "ta_other")


async def test_a_payout_is_exchanged_whose_bank_is_out_of_use(db: Database, payout: str):
    await pay.sql(db, "update payments.bank_profiles set enabled = false where id = $1", pay.BANK)

    sent = await pay.claim(db, payout)

    assert sent is not None
    assert sent.bank_profile_id == OTHER
    assert await _bank(db, payout) == (OTHER, "ta_other")


async def test_a_payout_that_was_sent_once_stays_with_its_bank(db: Database, payout: str):
    await pay.claim(db, payout)
    await pay.settle(db, payout, "rejected")
    await pay.try_again(db, payout)
    await pay.sql(db, "update payments.bank_profiles set enabled = false where id = $1", pay.BANK)

    again = await pay.claim(db, payout)

    assert again is not None
    assert again.bank_profile_id == pay.BANK


async def test_people_hold_a_gate_that_the_controller_cannot_open(db: Database, payout: str):
    async with db.transaction("tests.hold") as tx:
        assert await gates.hold(tx, [GATE], cause="emergency") == [GATE]
    async with db.transaction("tests.open") as tx:
        await gates.open_(tx, GATE, cause="the controller came back")

    with pytest.raises(NotNow):
        await pay.claim(db, payout)

    async with db.transaction("tests.let_go") as tx:
        assert await gates.let_go(tx, [GATE], cause="over") == [GATE]
    assert await pay.claim(db, payout) is not None


async def test_letting_go_sends_nothing_to_a_bank_that_was_left(db: Database, payout: str):
    async with db.transaction("tests.hold") as tx:
        await gates.hold(tx, [GATE], cause="emergency")
    await _close(db)
    async with db.transaction("tests.let_go") as tx:
        await gates.let_go(tx, [GATE], cause="over")

    with pytest.raises(NotNow):
        await pay.claim(db, payout)


async def test_a_hold_ends_by_itself(db: Database, payout: str):
    async with db.transaction("tests.hold") as tx:
        await gates.hold(tx, [GATE], cause="a moment", hold_s=-1)
        rows = await gates.gates_of(tx, [pay.BANK], rail=GATE.rail)

    assert [row.is_open for row in rows] == [True]
    assert await pay.claim(db, payout) is not None


async def test_whoever_closes_waits_for_who_hands_over_and_overtakes_who_comes_later(
    db: Database, payout: str
):
    """Row locks would let the later sender in first, again and again."""
    order: list[str] = []
    held, may_end = asyncio.Event(), asyncio.Event()

    async def hand_over() -> None:
        async with db.transaction("tests.first") as tx:
            assert await gates.share(tx, GATE, 700)
            held.set()
            await may_end.wait()
            order.append("handed over")

    async def close() -> None:
        async with db.transaction("tests.close") as tx:
            await gates.close(tx, GATE, cause="tests")
            order.append("closed")

    async def come_later() -> None:
        async with db.transaction("tests.later") as tx:
            is_open = await gates.share(tx, GATE, 700)
            order.append("open" if is_open else "turned away")

    first = asyncio.create_task(hand_over())
    await held.wait()
    closing = asyncio.create_task(close())
    await _until_waiting(db, 1)
    later = asyncio.create_task(come_later())
    await _until_waiting(db, 2)
    may_end.set()
    await asyncio.gather(first, closing, later)

    assert order == ["handed over", "closed", "turned away"]


async def _until_waiting(db: Database, count: int) -> None:
    for _ in range(500):
        waiting = await pay.one(
            db,
            "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            " and database = (select oid from pg_database where datname = current_database())",
        )
        if waiting >= count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("nobody waits")


class _Between:
    """Does something the moment a sender has chosen its bank, and before it locks anything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, what: Any) -> None:
        whole = sending._choose

        async def choose(tx: Any, payout_id: str) -> Any:
            chosen = await whole(tx, payout_id)
            if not self.is_done:
                self.is_done = True
                await asyncio.create_task(what(), context=_without_transaction())
            return chosen

        self.is_done = False
        monkeypatch.setattr(sending, "_choose", choose)


def _without_transaction() -> Any:
    import contextvars

    return contextvars.Context()


async def test_nothing_goes_out_through_a_bank_that_is_left_meanwhile(
    db: Database, payout: str, monkeypatch: pytest.MonkeyPatch
):
    _Between(monkeypatch, lambda: _close(db))

    assert await _settled_down(db, payout) is None
    assert await pay.state_of(db, payout) == "pending"


async def test_without_the_gate_a_payout_goes_out_through_a_bank_that_was_left(
    db: Database, payout: str, monkeypatch: pytest.MonkeyPatch
):
    _Between(monkeypatch, lambda: _close(db))
    whole: Query[Any] = gate_store.SHARE_GATE
    sql: Any = "/* banks.share_gate */ select true as is_open where :bank_profile_id::text is not null and :rail::text is not null and :currency::text is not null and :amount::bigint is not null"
    monkeypatch.setattr(gate_store, "SHARE_GATE", Query(sql, row=whole.row, locks=whole.locks))

    assert await _settled_down(db, payout) == pay.BANK


async def test_a_payout_that_is_led_elsewhere_meanwhile_goes_there(
    db: Database, payout: str, monkeypatch: pytest.MonkeyPatch
):
    _Between(monkeypatch, lambda: _repoint(db, payout))

    assert await _settled_down(db, payout) == OTHER
    assert await _bank(db, payout) == (OTHER, "ta_other")


async def test_without_looking_again_it_goes_out_through_the_old_bank(
    db: Database, payout: str, monkeypatch: pytest.MonkeyPatch
):
    _Between(monkeypatch, lambda: _repoint(db, payout))
    monkeypatch.setattr(sending._Chosen, "still_holds", lambda _self, _row: True)

    assert await _settled_down(db, payout) == pay.BANK
