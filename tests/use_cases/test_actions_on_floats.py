"""Filling and emptying agents' floats, as approved actions do it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import asyncpg
import msgspec
import pytest

from builders import a_person, an_agent
from carrying_out import carry_out, do, rehearse, rows, with_expect
from molam.kernel.digests import digest
from molam.kernel.money import MINOR_MAX
from molam.ledger import float_store, floats, queries
from molam.ledger.actions import ACTIONS, AgentNotActive
from molam.ledger.floats import FloatOutOfRange
from molam.platform.actions import (
    Amount,
    Change,
    Outcome,
    ParamsRefused,
    PreconditionChanged,
    as_json,
)
from molam.platform.db import Query
from molam.tenancy import standing_store
from molam.tenancy.queries import AgentAbsent, owner_of_agent

(FLOAT,) = ACTIONS

TOP_UP = {"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000}
SWEEP = {**TOP_UP, "adjustment": "sweep"}

# The intent of the approval design's example, hashed on another machine.
GOLDEN = "c568e95da74bd73a5ca586b63034e9ea956b7a1ab9d2b0de3661561e17a93d14"


def xof(minor):
    return {"currency": "XOF", "minor": minor}


async def balance(db):
    async with db.transaction("tests.balance", readonly=True) as tx:
        return await floats.balance_of(tx, "agent-123", "XOF")


async def test_top_up_is_shown_with_the_float_before_and_after(db, ops_db):
    await a_person(db, id_="awa.diop", roles=(), merchant_id=None)
    await an_agent(db, balance=500_000, owner_id="awa.diop")

    shown = await rehearse(ops_db, FLOAT, TOP_UP)

    assert shown.plan.target_name == "Kiosque Médina"
    assert shown.plan.changes == (Change("float_balance", xof(500_000), xof(1_500_000)),)
    assert shown.plan.amount == Amount("XOF", 1_000_000)
    assert shown.plan.beneficiary == "awa.diop"
    assert await balance(ops_db) == 500_000


async def test_top_up_moves_money_from_the_treasury(db, ops_db):
    await an_agent(db, balance=500_000)

    outcome = await do(ops_db, FLOAT, TOP_UP)

    assert outcome.result == {
        "adjusted": True,
        "amount": 1_000_000,
        "currency": "XOF",
        "agent_id": "agent-123",
        "balance_before": 500_000,
        "balance_after": 1_500_000,
    }
    assert await rows(
        db,
        "select source, target, amount, cause, cause_id, agent_id from ledger.transfers"
        " where cause = 'float.adjusted'",
    ) == [
        (
            "treasury:float:XOF",
            "agent:agent-123:float:XOF",
            1_000_000,
            "float.adjusted",
            "action-key-1",
            "agent-123",
        )
    ]
    assert await rows(
        db, "select id, kind, balance, floor, owner_id from ledger.accounts order by id"
    ) == [
        ("agent:agent-123:float:XOF", "agent_float", 1_500_000, 0, None),
        ("treasury:float:XOF", "treasury_float", -1_500_000, None, None),
    ]


async def test_first_top_up_of_an_agent_opens_its_float(db, ops_db):
    await an_agent(db)

    outcome = await do(ops_db, FLOAT, TOP_UP)

    assert outcome.changes == (Change("float_balance", xof(0), xof(1_000_000)),)
    assert await rows(db, "select floor from ledger.accounts where kind = 'agent_float'") == [(0,)]


async def test_repeated_under_its_key_moves_no_more_money(db, ops_db):
    await an_agent(db)
    shown = await rehearse(ops_db, FLOAT, TOP_UP)
    await carry_out(ops_db, shown)

    again = await carry_out(ops_db, shown)

    assert again.result["adjusted"] is True
    assert await balance(ops_db) == 1_000_000


async def test_another_key_does_move_money_again(db, ops_db):
    """The twin of the test above: it is the key that holds the second move back."""
    await an_agent(db)
    shown = await rehearse(ops_db, FLOAT, TOP_UP)
    await carry_out(ops_db, shown)

    await carry_out(ops_db, shown, key="key-2")

    assert await balance(ops_db) == 2_000_000


async def test_two_at_once_under_one_key_move_money_once(db, ops_db):
    await an_agent(db)
    shown = await rehearse(ops_db, FLOAT, TOP_UP)

    await asyncio.gather(*(carry_out(ops_db, shown) for _ in range(6)))

    assert await balance(ops_db) == 1_000_000


async def test_sweeps_at_once_never_take_what_is_not_there(db, ops_db):
    await an_agent(db, balance=2_500_000)
    shown = await rehearse(ops_db, FLOAT, SWEEP)

    done = await asyncio.gather(
        *(carry_out(ops_db, shown, key=f"key-{n}") for n in range(6)), return_exceptions=True
    )

    assert [type(each) for each in done].count(FloatOutOfRange) == 4
    assert await balance(ops_db) == 500_000


# Long enough for the other to look as well, before either has moved anything.
SLOW_LOOK = Query(
    "/* tests.slow_look */ select id from ledger.transfers where id = :id"
    " union all select null where pg_sleep(0.3) is null",
    row=float_store.MoveRow,
)
UNLOCKED = Query(
    "/* tests.unlocked */ select id, balance from ledger.accounts where id = :id",
    row=float_store.BalanceRow,
)


async def _two_sweeps(db, ops_db):
    await an_agent(db, balance=1_500_000)
    shown = await rehearse(ops_db, FLOAT, SWEEP)
    done = await asyncio.gather(
        *(carry_out(ops_db, shown, key=f"key-{n}") for n in range(2)), return_exceptions=True
    )
    return {type(each) for each in done}


async def test_the_second_of_two_sweeps_sees_what_the_first_left(db, ops_db, monkeypatch):
    monkeypatch.setattr(float_store, "FIND_MOVE", SLOW_LOOK)
    # The agent's own lock would keep the two apart as well.
    monkeypatch.setattr(standing_store, "LOCK_AGENT", standing_store.FIND_AGENT)

    assert await _two_sweeps(db, ops_db) == {Outcome, FloatOutOfRange}


async def test_without_the_lock_only_the_constraint_stops_the_second_sweep(db, ops_db, monkeypatch):
    """The twin of the test above."""
    monkeypatch.setattr(float_store, "FIND_MOVE", SLOW_LOOK)
    # The agent's own lock would keep the two apart as well.
    monkeypatch.setattr(standing_store, "LOCK_AGENT", standing_store.FIND_AGENT)
    monkeypatch.setattr(float_store, "LOCK_FLOAT", UNLOCKED)

    assert await _two_sweeps(db, ops_db) == {Outcome, asyncpg.CheckViolationError}


async def test_sweep_beyond_the_float_is_refused_when_asked_for(db, ops_db):
    await an_agent(db, balance=999_999)

    with pytest.raises(FloatOutOfRange) as refused:
        await rehearse(ops_db, FLOAT, SWEEP)

    assert refused.value.facts == {"balance": 999_999, "asked": 1_000_000}


async def test_sweep_beyond_the_float_is_refused_when_it_runs(db, ops_db):
    await an_agent(db, balance=1_000_000)
    shown = await rehearse(ops_db, FLOAT, SWEEP)
    await do(ops_db, FLOAT, {**SWEEP, "amount": 1}, key="other")

    with pytest.raises(FloatOutOfRange):
        await carry_out(ops_db, shown)

    assert await balance(ops_db) == 999_999


async def test_whole_float_can_be_swept(db, ops_db):
    await an_agent(db, balance=1_000_000)

    await do(ops_db, FLOAT, SWEEP)

    assert await balance(ops_db) == 0


async def test_float_cannot_grow_beyond_what_can_be_kept(db, ops_db):
    await an_agent(db, balance=1)

    with pytest.raises(FloatOutOfRange):
        await rehearse(ops_db, FLOAT, {**TOP_UP, "amount": MINOR_MAX})


async def test_compensation_puts_the_float_back(db, ops_db):
    await an_agent(db, balance=7)
    shown = await rehearse(ops_db, FLOAT, TOP_UP)
    outcome = await carry_out(ops_db, shown)

    name, raw = FLOAT.compensate(shown.params, outcome.result)
    assert name == FLOAT.name
    await do(ops_db, FLOAT, raw, key="undo")

    assert await balance(ops_db) == 7


async def test_balances_are_still_the_sum_of_their_entries(db, ops_db):
    await an_agent(db, balance=100)
    await an_agent(db, id_="agent-accra", currency="GHS", country="GH")
    await do(ops_db, FLOAT, TOP_UP)
    await do(ops_db, FLOAT, {**TOP_UP, "agent_id": "agent-accra"}, key="key-2")
    await do(ops_db, FLOAT, {**SWEEP, "amount": 40}, key="key-3")

    assert await queries.imbalances(db) == []

    await rows(db, "update ledger.accounts set balance = balance + 1 returning id")
    assert len(await queries.imbalances(db)) == 4


async def test_movements_are_listed_as_the_agent_sees_them(db, ops_db):
    await an_agent(db, balance=100)
    await do(ops_db, FLOAT, {**SWEEP, "amount": 40}, key="key-3")

    async with ops_db.transaction("tests.movements", readonly=True) as tx:
        listed = await floats.movements_of(tx, "agent-123", "XOF")

    assert [(each.amount, each.cause) for each in listed] == [
        (-40, "float.adjusted"),
        (100, "tests"),
    ]


async def test_agent_closed_since_it_was_approved_is_stale(db, ops_db):
    await an_agent(db)
    shown = await rehearse(ops_db, FLOAT, TOP_UP)
    await rows(db, "update tenancy.agents set status = 'closed' returning id")

    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, shown)

    # Even without the precondition, a closed agent takes no money.
    with pytest.raises(AgentNotActive):
        await carry_out(ops_db, with_expect(shown, agent_status="closed", currency="XOF"))
    with pytest.raises(AgentNotActive):
        await rehearse(ops_db, FLOAT, TOP_UP)


async def test_unknown_agent_is_absent(ops_db):
    with pytest.raises(AgentAbsent):
        await rehearse(ops_db, FLOAT, TOP_UP)


async def test_merchant_named_like_an_agent_does_not_see_its_float(db, ops_db, web_db):
    await an_agent(db, balance=100)

    async with web_db.transaction("tests.peek", merchant_id="agent-123") as tx:
        seen = await floats.balance_of(tx, "agent-123", "XOF")

    assert seen == 0


@pytest.mark.parametrize(
    "raw",
    [
        TOP_UP,
        {**TOP_UP, "currency": "XOF"},
        {**TOP_UP, "amount": {"currency": "XOF", "minor": 1_000_000}},
    ],
)
async def test_every_way_to_write_the_amount_is_one_intent(db, ops_db, raw):
    await an_agent(db)
    shown = await rehearse(ops_db, FLOAT, raw)
    target = FLOAT.target(shown.params)

    intent = {
        "action_type": FLOAT.name,
        "params": as_json(shown.params),
        "schema": FLOAT.schema,
        "tenant": {"id": target.id, "type": target.type},
    }

    assert as_json(shown.params) == {
        "adjustment": "top_up",
        "agent_id": "agent-123",
        "amount": {"currency": "XOF", "minor": 1_000_000},
    }
    assert digest("molam.intent/1", intent).hex() == GOLDEN


@pytest.mark.parametrize(
    "amount",
    [
        Decimal("1000000.00"),
        Decimal("1e6"),
        1_000_000.0,
        "1000000",
        True,
        {"currency": "XOF", "minor": Decimal("1e6")},
        {"currency": "XOF", "minor": "1000000"},
    ],
)
async def test_amount_that_is_no_whole_number_is_refused_with_a_sentence(db, ops_db, amount):
    await an_agent(db)

    with pytest.raises(ParamsRefused) as refused:
        await rehearse(ops_db, FLOAT, {**TOP_UP, "amount": amount})

    assert "minor units" in refused.value.detail


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {**TOP_UP, "adjustment": "set"},
        {**TOP_UP, "adjustment": None},
        {**TOP_UP, "amount": 0},
        {**TOP_UP, "amount": -1},
        {**TOP_UP, "amount": MINOR_MAX + 1},
        {**TOP_UP, "amount": None},
        {**TOP_UP, "amount": [1]},
        {**TOP_UP, "amount": {"currency": "XOF"}},
        {**TOP_UP, "amount": {"currency": "XOF", "minor": 1, "major": 1}},
        {**TOP_UP, "amount": {"currency": "TND", "minor": 1}},
        {**TOP_UP, "amount": {"currency": ["XOF"], "minor": 1}},
        {**TOP_UP, "amount": {"currency": "XOF", "minor": 1}, "currency": "XOF"},
        {**TOP_UP, "currency": "EUR"},
        {**TOP_UP, "currency": 7},
        {**TOP_UP, "agent_id": 123},
        {**TOP_UP, "agent_id": ""},
        {**TOP_UP, "agent_id": "agent-123\x00"},
        {**TOP_UP, "agent_id": "x" * 256},
        {**TOP_UP, "agent_id": {"$ne": ""}},
        {**TOP_UP, "balance": 5},
    ],
)
async def test_hostile_params_are_refused(db, ops_db, raw):
    await an_agent(db)

    with pytest.raises((msgspec.ValidationError, ParamsRefused)):
        await rehearse(ops_db, FLOAT, raw)


async def test_owner_of_an_agent_is_who_gains(db, ops_db):
    await a_person(db, id_="awa.diop", roles=(), merchant_id=None)
    await an_agent(db, owner_id="awa.diop")

    async with ops_db.transaction("tests.owner", readonly=True) as tx:
        assert await owner_of_agent(tx, "agent-123") == "awa.diop"
        assert await owner_of_agent(tx, "nobody") is None
    assert (await rehearse(ops_db, FLOAT, TOP_UP)).plan.beneficiary == "awa.diop"


def test_titles_are_sentences_in_both_languages():
    params = FLOAT.params("agent-123", "top_up", Amount("XOF", 1_000_000))

    french = FLOAT.title(params, "fr").replace("\u00a0", " ").replace("\u202f", " ")

    assert french == "Ajouter 1 000 000 F CFA au float de l'agent agent-123"
    assert FLOAT.title(params, "en").startswith("Add ")
    assert FLOAT.title(params, "en").endswith(" to the float of agent agent-123")
