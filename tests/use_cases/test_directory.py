"""Who may decide, who somebody is, and finding people, merchants, agents and transactions."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from builders import NOW, a_merchant, a_person, a_transaction, an_agent
from carrying_out import rows
from molam.kernel.ids import uuid8
from molam.payments import queries as payments
from molam.tenancy import commands, queries


async def electors(db, roles, people=()):
    async with db.transaction("tests.electors", readonly=True) as tx:
        return [
            (each.person_id, each.role) for each in await queries.electors_of(tx, roles, people)
        ]


async def asking(db, question, *args, **named):
    async with db.transaction("tests.ask", readonly=True) as tx:
        return await question(tx, *args, **named)


async def staff(db, **people):
    for id_, roles in people.items():
        await a_person(db, id_=id_, name=id_.title(), roles=roles, merchant_id=None)


async def test_electors_are_those_who_hold_a_role_on_the_platform_now(db, ops_db):
    await a_merchant(db)
    await staff(db, ibra=["ops_admin"], khady=["ops_admin", "finance_ops"], aya=["pay_admin"])
    await a_person(db, id_="awa.diop", roles=["merchant_admin"])
    async with db.transaction("tests.revoke") as tx:
        await commands.revoke_role(tx, person_id="ibra", role="ops_admin", merchant_id=None)

    found = await electors(ops_db, ["ops_admin", "finance_ops", "merchant_admin"])

    assert found == [("khady", "finance_ops"), ("khady", "ops_admin")]


async def test_electors_say_since_when_and_how_to_reach_them(db, ops_db):
    await staff(db, ibra=["ops_admin"])

    (found,) = await asking(ops_db, queries.electors_of, ["ops_admin"])

    assert found.granted_at == NOW - timedelta(days=30)
    assert (found.email, found.locale, found.name) == ("ibra@example.com", "fr", "Ibra")


async def test_people_named_are_listed_whatever_they_hold(db, ops_db):
    await staff(db, ibra=["ops_admin"], nobody=[])

    assert await electors(ops_db, ["ops_admin"], ["nobody", "ibra", "unknown"]) == [
        ("ibra", ""),
        ("ibra", "ops_admin"),
        ("nobody", ""),
    ]


async def test_who_has_left_and_what_is_a_program_decides_nothing(db, ops_db):
    await staff(db, ibra=["ops_admin"], gone=["ops_admin"], robot=["ops_admin"])
    async with db.transaction("tests.leave") as tx:
        await commands.deactivate_person(tx, "gone")
        await commands.make_service(tx, "robot", owner_id="ibra")

    assert await electors(ops_db, ["ops_admin"], ["gone", "robot"]) == [("ibra", "ops_admin")]


async def test_who_has_left_holds_no_role_but_keeps_the_name(db, ops_db):
    await staff(db, gone=["ops_admin"])
    assert await queries.roles_of(ops_db, "gone", None) == {"ops_admin"}

    async with db.transaction("tests.leave") as tx:
        await commands.deactivate_person(tx, "gone")

    assert await queries.roles_of(ops_db, "gone", None) == frozenset()
    person = await asking(ops_db, queries.find_person, "gone")
    assert person.name == "Gone"
    assert person.deactivated_at is not None


async def test_an_alias_stands_for_its_person_and_an_unknown_id_for_itself(db, ops_db):
    await staff(db, ibra=["ops_admin"], khady=[])
    async with db.transaction("tests.alias") as tx:
        assert await commands.add_alias(tx, alias="slack:U1", person_id="ibra")
        assert not await commands.add_alias(tx, alias="slack:U1", person_id="khady")
        assert await commands.add_alias(tx, alias="khady", person_id="ibra")

    found = await asking(
        ops_db, queries.principals_of, ["slack:U1", "khady", "sira-system", "slack:U1"]
    )

    assert found == {"slack:U1": "ibra", "khady": "khady", "sira-system": "sira-system"}


async def test_a_service_has_an_owner_and_a_person_has_none(db, ops_db):
    await staff(db, ibra=[], robot=[])
    async with db.transaction("tests.service") as tx:
        await commands.make_service(tx, "robot", owner_id="ibra")

    found = await asking(ops_db, queries.people_of, ["robot", "ibra", "unknown"])

    assert {id_: (each.is_service, each.owner_id) for id_, each in found.items()} == {
        "ibra": (False, None),
        "robot": (True, "ibra"),
    }


async def test_processes_are_told_when_somebody_leaves(db, dsn):
    await staff(db, gone=["ops_admin"])
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = await asyncpg.connect(dsn)
    await listening.add_listener("directory", lambda *told: heard.put_nowait(told[3]))

    async with db.transaction("tests.leave") as tx:
        await commands.deactivate_person(tx, "gone")

    assert await asyncio.wait_for(heard.get(), timeout=5) == "gone"
    await listening.close()


@pytest.mark.parametrize("text", ["médina", "MEDINA", "kiosq", "agent-1", "agent-123 "])
async def test_an_agent_is_found_by_id_or_any_word_of_its_name(db, ops_db, text):
    await an_agent(db)
    await an_agent(db, id_="other", name="Cabine Treichville")

    found = await asking(ops_db, queries.search_agents, text, limit=5)

    assert [each.id for each in found] == ["agent-123"]


@pytest.mark.parametrize("text", ["%", "_", "!", "dina", "", "  "])
async def test_what_begins_no_word_finds_nobody(db, ops_db, text):
    await an_agent(db)

    assert await asking(ops_db, queries.search_agents, text, limit=5) == []


async def test_merchants_and_people_are_found_the_same_way(db, ops_db):
    await a_merchant(db, id_="m-1", name="Épicerie Cocody")
    await a_person(db, id_="khady.seck", name="Khady Seck", roles=[], merchant_id=None)

    merchants = await asking(ops_db, queries.search_merchants, "ÉPI", limit=5)
    people = await asking(ops_db, queries.search_people, "seck", limit=5)

    assert [each.id for each in merchants] == ["m-1"]
    assert [each.id for each in people] == ["khady.seck"]


async def test_an_exact_id_comes_first_and_the_limit_holds(db, ops_db):
    for id_ in ("m-1", "m-10", "m-11"):
        await a_merchant(db, id_=id_, name="Aaa" if id_ == "m-10" else "Zzz")

    found = await asking(ops_db, queries.search_merchants, "m-1", limit=2)

    assert [each.id for each in found] == ["m-1", "m-10"]


async def test_transactions_of_every_merchant_are_found_by_id_or_reference(db, ops_db):
    await a_merchant(db)
    await a_merchant(db, id_="other")
    await a_transaction(db, id_="tx_123")
    await a_transaction(db, id_="tx_123", merchant_id="other", occurred_at=NOW)
    await a_transaction(db, id_="tx_1234")
    await a_transaction(db, id_="zz")
    await rows(
        db,
        "update payments.wallet_transactions set reference_code = 'SAN-Exemple'"
        " where id = 'zz' returning id",
    )

    by_id = await asking(ops_db, payments.search_transactions, "tx_123", limit=10)
    by_reference = await asking(ops_db, payments.search_transactions, "san-ex", limit=10)
    few = await asking(ops_db, payments.search_transactions, "tx", limit=1)

    assert [(each.merchant_id, each.id) for each in by_id] == [
        ("other", "tx_123"),
        ("merchant-123", "tx_123"),
        ("merchant-123", "tx_1234"),
    ]
    assert [each.id for each in by_reference] == ["zz"]
    assert len(few) == 1
    assert await asking(ops_db, payments.search_transactions, " ", limit=10) == []


async def test_newest_transactions_of_one_merchant_are_listed(db, ops_db):
    await a_merchant(db)
    await a_transaction(db, id_="older", occurred_at=NOW - timedelta(days=2))
    await a_transaction(db, id_="newer")

    found = await asking(ops_db, payments.newest_transactions, merchant_id="merchant-123", limit=5)

    assert [each.id for each in found] == ["newer", "older"]
    assert found[0].merchant_name == "Boutique Sandaga"


async def test_a_merchant_finds_no_other_merchants_transactions(db, web_db):
    await a_merchant(db)
    await a_transaction(db)

    async with web_db.transaction("tests.peek", merchant_id="other") as tx:
        assert await payments.search_transactions(tx, "tx", limit=10) == []


def test_one_text_has_one_uuid_and_another_text_another():
    assert uuid8("a") == uuid8("a")
    assert uuid8("a") != uuid8("b")
    assert (uuid8("a").version, uuid8("a").variant) == (8, "specified in RFC 4122")
