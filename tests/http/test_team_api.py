"""The team by API: who joins, who leaves, and that somebody always holds the keys."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx2
import pytest
from callers import bearer

from builders import a_merchant, a_person
from carrying_out import do
from facts import look
from molam.platform.actions import Registry
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database, ProcessRole, open_database
from molam.simulator.issuer_keys import IssuerKeys
from molam.tenancy.actions import ACTIONS

PATH = "/api/merchant/team"
AUDIT = (
    "select user_id, action_type, resource_id, changes from merchant.merchant_actions_audit"
    " order by created_at, id"
)
ROLES = (
    "select person_id, role from tenancy.role_grants where revoked_at is null"
    " and merchant_id = 'merchant-123' order by 1, 2"
)
NEW = {"email": "Binta.Ba@example.com", "name": "Binta Ba", "role": "merchant_support"}


@pytest.fixture(autouse=True)
async def _merchant(db: Database) -> None:
    await a_merchant(db)
    await a_person(db)
    await a_person(db, id_="moussa.ndiaye", name="Moussa Ndiaye")


@pytest.fixture
def ask(client: httpx2.AsyncClient, keys: IssuerKeys) -> Any:
    async def ask(
        method: str, path: str = "", body: object = None, **caller: object
    ) -> httpx2.Response:
        given = bearer(keys, **{"acr": AAL2, **caller})
        return await client.request(method, PATH + path, json=body, headers=given)

    return ask


async def test_the_team_says_who_may_what_since_when_and_by_whom(ask: Any):
    answer = await ask("GET")

    first, second = answer.json()["rows"]
    assert (first["person_id"], first["is_you"], second["is_you"]) == ("awa.diop", True, False)
    (role,) = first["roles"]
    assert (role["role"], role["granted_by"]) == ("merchant_admin", "tests")


async def test_somebody_new_is_registered_and_may_at_once_what_their_role_may(
    ask: Any, client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    answer = await ask("POST", body=NEW)

    assert answer.status_code == 201, answer.text
    member = answer.json()["member"]
    assert (member["name"], [each["role"] for each in member["roles"]]) == (
        "Binta Ba",
        ["merchant_support"],
    )
    caller = {"sub": member["person_id"], "roles": ["merchant_support", "merchant_admin"]}
    found = await client.get("/api/merchant/transactions", headers=bearer(keys, **caller))
    beyond = await client.get(PATH, headers=bearer(keys, **caller))
    assert (found.status_code, beyond.status_code) == (200, 403)
    assert await look(db, AUDIT) == [
        (
            "awa.diop",
            "team_member_added",
            member["person_id"],
            {"before": {"roles": []}, "after": {"roles": ["merchant_support"]}},
        )
    ]


async def test_an_address_known_already_is_that_person_whatever_its_capitals(
    ask: Any, db: Database
):
    await a_person(db, id_="binta.ba", name="Binta", roles=())

    answer = await ask("POST", body=NEW)

    assert (answer.json()["member"]["person_id"], answer.json()["member"]["name"]) == (
        "binta.ba",
        "Binta",
    )


async def test_adding_somebody_twice_changes_nothing(ask: Any, db: Database):
    first = await ask("POST", body=NEW)
    again = await ask("POST", body=NEW)

    assert again.json() == first.json()
    assert len(await look(db, AUDIT)) == 1


async def test_a_new_administrator_is_seen_by_all_of_them(ask: Any, db: Database):
    await ask("POST", body={**NEW, "role": "merchant_admin"})

    ((kind, facts),) = await look(db, "select alert_type, facts from merchant.merchant_alerts")
    assert (kind, facts["person"], facts["by"]) == ("admin_added", "Binta Ba", "Awa Diop")
    told = await look(
        db,
        "select i.person_id, n.kind, n.link from notices.inbox i"
        " join notices.notices n on n.id = i.notice_id order by i.person_id",
    )
    assert [row[0] for row in told[:2]] == ["awa.diop", "moussa.ndiaye"]
    assert {row[1:] for row in told} == {("account_changed", "/settings/team")}
    assert len(told) == 3


async def test_roles_are_replaced_as_a_whole(ask: Any, db: Database):
    answer = await ask("PUT", "/moussa.ndiaye", {"roles": ["merchant_accountant"]})

    assert answer.status_code == 200, answer.text
    assert await look(db, ROLES) == [
        ("awa.diop", "merchant_admin"),
        ("moussa.ndiaye", "merchant_accountant"),
    ]
    ((_, action, _, changes),) = await look(db, AUDIT)
    assert (action, changes["before"], changes["after"]) == (
        "team_roles_changed",
        {"roles": ["merchant_admin"]},
        {"roles": ["merchant_accountant"]},
    )


async def test_whoever_is_removed_is_out_at_once(
    ask: Any, client: httpx2.AsyncClient, keys: IssuerKeys
):
    moussa = bearer(keys, sub="moussa.ndiaye")
    before = await client.get("/api/merchant/alerts", headers=moussa)

    answer = await ask("DELETE", "/moussa.ndiaye")
    async with asyncio.timeout(2):
        while (await client.get("/api/merchant/alerts", headers=moussa)).status_code != 403:
            await asyncio.sleep(0.05)

    assert (before.status_code, answer.json()) == (200, {"ok": True, "member": None})


async def test_the_last_administrator_stays(ask: Any, db: Database):
    await ask("DELETE", "/moussa.ndiaye")

    removed = await ask("DELETE", "/awa.diop")
    demoted = await ask("PUT", "/awa.diop", {"roles": ["merchant_support"]})

    assert {(each.status_code, each.json()["code"]) for each in (removed, demoted)} == {
        (422, "last-admin")
    }
    assert await look(db, ROLES) == [("awa.diop", "merchant_admin")]


async def test_an_administrator_who_has_left_does_not_count(ask: Any, db: Database):
    async with db.transaction("tests.leave") as tx:
        await tx.connection.execute(
            "update tenancy.people set deactivated_at = now() where id = 'moussa.ndiaye'"
        )

    assert (await ask("DELETE", "/awa.diop")).json()["code"] == "last-admin"


async def test_two_administrators_who_remove_each_other_leave_one(ask: Any, db: Database):
    answers = await asyncio.gather(
        ask("DELETE", "/moussa.ndiaye"), ask("DELETE", "/awa.diop", sub="moussa.ndiaye")
    )

    assert min(each.status_code for each in answers) == 200
    assert len(await look(db, ROLES)) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", NEW),
        ("PUT", "/moussa.ndiaye", {"roles": ["merchant_support"]}),
        ("DELETE", "/moussa.ndiaye", None),
    ],
)
async def test_every_change_takes_a_fresh_second_factor(
    ask: Any, db: Database, method: str, path: str, body: object
):
    old = int(datetime.now(UTC).timestamp()) - 301

    answers = [
        await ask(method, path, body, acr="urn:molam:aal1"),
        await ask(method, path, body, auth_time=old),
    ]

    assert {(each.status_code, each.json()["code"]) for each in answers} == {
        (401, "step-up-required")
    }
    assert await look(db, AUDIT) == []


@pytest.mark.parametrize("role", ["merchant_accountant", "merchant_support", "ops_admin"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_only_administrators_see_and_change_the_team(ask: Any, method: str, role: str):
    answer = await ask(method, body=NEW, sub="somebody", roles=[role])

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_people_of_another_merchant_are_absent(ask: Any, db: Database):
    await a_merchant(db, id_="merchant-other")
    await a_person(db, id_="ama", merchant_id="merchant-other")

    foreign = await ask("DELETE", "/ama")
    nobody = await ask("DELETE", "/nobody")

    assert [each.status_code for each in (foreign, nobody)] == [404, 404]
    assert foreign.json() | {"instance": ""} == nobody.json() | {"instance": ""}
    assert [row["person_id"] for row in (await ask("GET")).json()["rows"]] == [
        "awa.diop",
        "moussa.ndiaye",
    ]


async def test_who_operates_the_platform_or_is_a_program_or_left_cannot_join(
    ask: Any, db: Database
):
    for id_, roles in (("ops", ("ops_admin",)), ("robot", ()), ("gone", ())):
        await a_person(db, id_=id_, roles=roles, merchant_id=None)
    async with db.transaction("tests.leave") as tx:
        await tx.connection.execute(
            "update tenancy.people set is_service = id = 'robot',"
            " deactivated_at = case id when 'gone' then now() end where id in ('robot', 'gone')"
        )

    answers = [
        await ask("POST", body={"person_id": id_, "role": "merchant_support"})
        for id_ in ("ops", "robot", "gone")
    ]

    assert {(each.status_code, each.json()["detail"]) for each in answers} == {
        (422, "Ask support about this person.")
    }


async def test_nobody_new_gets_an_id_of_the_merchants_choosing(ask: Any, db: Database):
    answer = await ask("POST", body={**NEW, "person_id": "future-ops-admin"})

    assert (answer.status_code, answer.json()["code"]) == (422, "member-refused")
    assert await look(db, "select 1 from tenancy.people where id = 'future-ops-admin'") == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"role": "merchant_admin", "email": "no address"},
        {"role": "merchant_admin", "email": "a@b@c"},
        {"role": "merchant_admin", "email": "a@b\nBcc: c@d"},
        {"role": "merchant_admin", "email": "x" * 65 + "@example.com"},
        {"role": "ops_admin", "email": "a@example.com", "name": "A"},
        {"role": ["merchant_admin"], "email": "a@example.com"},
        {"role": "merchant_admin", "email": "a@example.com", "merchant_id": "merchant-other"},
        {"role": "merchant_admin", "person_id": ""},
        {"role": "merchant_admin", "name": "x" * 121, "email": "a@example.com"},
        [],
    ],
)
async def test_a_member_of_another_shape_is_refused(ask: Any, db: Database, body: object):
    answer = await ask("POST", body=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "body-malformed"), answer.text
    assert await look(db, AUDIT) == []


@pytest.mark.parametrize("roles", [[], ["cfo"], ["merchant_admin"] * 4, "merchant_admin", None])
async def test_roles_of_another_shape_are_refused(ask: Any, roles: object):
    answer = await ask("PUT", "/moussa.ndiaye", {"roles": roles})

    assert (answer.status_code, answer.json()["code"]) == (400, "body-malformed")


async def test_a_frozen_merchant_keeps_its_team(ask: Any, ops_db: Database, db: Database):
    raw = {"merchant_id": "merchant-123", "reason": "Fraude probable"}
    await do(ops_db, Registry(ACTIONS).find("FREEZE_MERCHANT"), raw, at=datetime.now(UTC))

    answers = [await ask("POST", body=NEW), await ask("DELETE", "/moussa.ndiaye")]

    assert {each.json()["code"] for each in answers} == {"merchant-frozen"}
    assert len(await look(db, ROLES)) == 2


STOLEN = [
    "insert into tenancy.role_grants (id, person_id, role, granted_by)"
    " values (gen_random_uuid(), 'awa.diop', 'ops_admin', 'me')",
    "insert into tenancy.role_grants (id, person_id, role, merchant_id, granted_by)"
    " values (gen_random_uuid(), 'awa.diop', 'merchant_admin', 'merchant-other', 'me')",
    "insert into tenancy.people (id, name, email, is_service) values ('x', 'X', 'x@y', true)",
    "update tenancy.people set email = 'me@example.com'",
    "update tenancy.role_grants set role = 'ops_admin'",
]


@pytest.mark.parametrize("statement", STOLEN)
async def test_not_even_broken_code_gives_roles_elsewhere(dsn: str, db: Database, statement: str):
    await a_merchant(db, id_="merchant-other")
    money = await open_database(dsn, ProcessRole.MONEY, application="tests", connections_max=1)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with money.transaction("tests.steal", merchant_id="merchant-123") as tx:
                await tx.connection.execute(statement)
    finally:
        await money.close()


async def test_not_even_broken_code_takes_roles_elsewhere(dsn: str, db: Database):
    await a_merchant(db, id_="merchant-other")
    await a_person(db, id_="ama", merchant_id="merchant-other")
    money = await open_database(dsn, ProcessRole.MONEY, application="tests", connections_max=1)
    try:
        async with money.transaction("tests.steal", merchant_id="merchant-123") as tx:
            done = await tx.connection.execute(
                "update tenancy.role_grants set revoked_at = now() where person_id = 'ama'"
            )
    finally:
        await money.close()

    assert done == "UPDATE 0"
