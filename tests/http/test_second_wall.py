"""Two walls between merchants: without the condition in the statements, the database still stands."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from types import ModuleType

import asyncpg
import httpx2
import pytest
from callers import bearer
from fastapi import FastAPI
from shops import everything_of

from builders import NOW, a_merchant, a_person, an_alert
from facts import an_event, both, look, refund, succeeded
from molam.kernel.clock import ManualClock
from molam.ledger import store as ledger_store
from molam.merchant import cache_store, report_store, settings_store, team_store
from molam.merchant import store as merchant_store
from molam.payments import list_store
from molam.payments.disputes import evidence_store, known_store
from molam.payments.disputes import list_store as dispute_list_store
from molam.payments.disputes import store as dispute_store
from molam.payments.payouts import settings_store as payout_settings_store
from molam.payments.payouts import store as payout_store
from molam.payments.refunds import list_store as refund_list_store
from molam.payments.refunds import remote_store as refund_remote_store
from molam.payments.refunds import store as refund_store
from molam.platform.auth import AAL2
from molam.platform.db import Database, ProcessRole, Query, open_database
from molam.simulator.issuer_keys import IssuerKeys
from molam.webhooks import log_store as webhook_log_store
from molam.webhooks import store as webhook_store
from paying_out import a_bank

STORES = (list_store, merchant_store, cache_store, ledger_store)
MONEY_STORES = (
    refund_store,
    refund_list_store,
    refund_remote_store,
    payout_store,
    payout_settings_store,
    dispute_store,
    dispute_list_store,
    known_store,
    evidence_store,
    webhook_store,
    webhook_log_store,
    report_store,
    settings_store,
    team_store,
)
CONDITION = re.compile(r"(\w+\.)?merchant_id = (:merchant_id|tenant\.id)")
ASKED = (
    "/api/merchant/transactions",
    "/api/merchant/transactions?status=succeeded",
    "/api/merchant/transactions?q=canary",
    "/api/merchant/transactions/canary_tx",
    "/api/merchant/transactions/tx_own",
    "/api/merchant/alerts?status=all",
    "/api/merchant/summary?period=mtd&currency=GHS",
    "/api/merchant/summary?period=today&currency=GHS",
)
# Any trace of the other merchant: its ids, names, or amounts (all begin with 4242).
CANARIES = ("canary", "4242")


@pytest.fixture
async def _shops(app: FastAPI, db: Database, worker_db: Database) -> None:
    """One shop with a payment of its own, and another whose every word is a canary."""
    app.state.clock = ManualClock(NOW)
    other = "merchant-canary"
    await a_merchant(db)
    await a_merchant(db, id_=other)
    await an_alert(db, merchant_id=other, episode="canary", alert_type="canary")
    await both(
        worker_db,
        [
            succeeded("tx_own", amount=5),
            succeeded(
                "canary_tx",
                merchant_id=other,
                amount=424_242,
                currency="GHS",
                reference_code="canary",
                customer={"name": "canary"},
            ),
            # Its refund and dispute claim to be of a payment that is not theirs.
            refund("canary_rf", "tx_own", merchant_id=other, amount=42_424),
            an_event(
                "dispute_created",
                id="canary_dp",
                transaction_id="tx_own",
                merchant_id=other,
                amount=42_421,
            ),
            an_event("payout_created", id="canary_po", merchant_id=other, amount=42_422),
        ],
    )


@pytest.fixture
def _one_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the merchant out of every statement that names it."""
    assert sum(_without_condition(module, monkeypatch) for module in STORES) >= 15
    assert sum(_without_condition(module, monkeypatch) for module in MONEY_STORES) >= 60


def _without_condition(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> int:
    found = 0
    for name, query in list(vars(module).items()):
        if isinstance(query, Query) and CONDITION.search(query.sql):
            bare = CONDITION.sub(":merchant_id::text is not null", query.sql)
            monkeypatch.setattr(module, name, Query(bare, row=query.row, locks=query.locks))
            found += 1
    return found


async def seen(client: httpx2.AsyncClient, keys: IssuerKeys) -> dict[str, str]:
    """Ask everything as the first shop; return what holds a canary beyond the question."""
    headers = bearer(keys, sub="somebody")
    answers = {path: await client.get(path, headers=headers) for path in ASKED}
    assert answers["/api/merchant/transactions"].status_code == 200
    assert {answer.status_code for answer in answers.values()} <= {200, 404}
    return {
        path: answer.text
        for path, answer in answers.items()
        if any(canary in answer.text for canary in CANARIES)
    }


@pytest.mark.usefixtures("_shops")
async def test_behind_both_walls_nothing_of_another_merchant_is_seen(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    assert await seen(client, keys) == {}


@pytest.mark.usefixtures("_shops", "_one_wall")
async def test_behind_the_databases_wall_alone_nothing_is_seen_either(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    assert await seen(client, keys) == {}


@pytest.fixture
async def _no_wall(app: FastAPI, dsn: str) -> AsyncIterator[None]:
    """Let the app read as the owner of the database, whom no policy binds."""
    behind = app.state.db, app.state.money
    owner = await open_database(dsn, ProcessRole.OWNER, application="tests")
    app.state.db = app.state.money = owner
    yield
    await owner.close()
    app.state.db, app.state.money = behind


@pytest.mark.usefixtures("_shops", "_one_wall", "_no_wall")
async def test_without_any_wall_everything_is_seen(client: httpx2.AsyncClient, keys: IssuerKeys):
    assert (await seen(client, keys)).keys() == set(ASKED)


@pytest.mark.usefixtures("_shops", "_no_wall")
async def test_behind_the_statements_wall_alone_nothing_is_seen_either(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    assert await seen(client, keys) == {}


@pytest.mark.usefixtures("_shops", "_one_wall")
async def test_the_databases_wall_protects_alerts_from_being_acknowledged(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    ((foreign,),) = await look(
        db, "select id::text from merchant_alerts where alert_type = 'canary'"
    )

    answer = await client.post(
        f"/api/merchant/alerts/{foreign}/acknowledge", headers=bearer(keys, sub="somebody")
    )

    assert answer.status_code == 404
    assert await look(db, "select distinct status from merchant_alerts") == [("active",)]


@pytest.mark.usefixtures("_shops")
@pytest.mark.parametrize(
    "statement",
    [
        "update merchant.merchant_alerts set status = 'acknowledged', acknowledged_by = 'x',"
        " acknowledged_at = now()",
        "insert into merchant.merchant_actions_audit (id, merchant_id, user_id, action_type,"
        " resource_type) values (gen_random_uuid(), 'merchant-canary', 'x', 'x', 'x')",
        "update payments.wallet_transactions set amount = 0",
        "delete from merchant.merchant_alerts",
        "update merchant.merchant_actions_audit set user_id = 'x'",
        "select * from merchant.mv_merchant_tx_agg",
        "select * from merchant.kpi_facts",
        "update tenancy.role_grants set role = 'merchant_admin'",
        "insert into ledger.transfers (id) values (gen_random_uuid())",
    ],
)
async def test_the_web_role_writes_nothing_of_another_merchant(web_db: Database, statement: str):
    status = ""
    async with web_db.transaction("tests", merchant_id="merchant-123") as tx:
        with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
            async with tx.savepoint():
                status = await tx.connection.execute(statement)

    # Refused, or without any effect.
    assert status in {"", "UPDATE 0", "INSERT 0 0"}


@pytest.fixture
async def canary_money(app: FastAPI, db: Database) -> dict[str, str]:
    """The other shop has one of everything that moves money or tells of it."""
    await a_merchant(db)
    await a_merchant(db, id_="merchant-canary")
    await a_bank(db)
    await a_person(db, id_="finance", roles=["finance_ops"], merchant_id=None)
    return await everything_of(db, "merchant-canary", "canary")


async def money_seen(
    client: httpx2.AsyncClient, keys: IssuerKeys, held: dict[str, str]
) -> set[str]:
    """Ask for the other shop's objects, by list and by name, as the first; return what shows any."""
    paths = {
        "/api/merchant/refunds": "refund",
        "/api/merchant/payouts": "payout",
        "/api/merchant/disputes": "dispute",
        "/api/merchant/exports": "export",
        "/api/merchant/webhooks": "webhook",
        f"/api/merchant/refunds/{held['refund']}": "refund",
        f"/api/merchant/payouts/{held['payout']}": "payout",
        f"/api/merchant/disputes/{held['dispute']}": "dispute",
        f"/api/merchant/exports/{held['export']}": "export",
        f"/api/merchant/webhooks/{held['webhook']}": "webhook",
        f"/api/merchant/webhooks/{held['webhook']}/deliveries": "delivery",
        f"/api/merchant/webhooks/deliveries/{held['delivery']}": "delivery",
    }
    found = set()
    for path, kind in paths.items():
        answer = await client.get(path, headers=bearer(keys, acr=AAL2))
        assert answer.status_code in {200, 404}, (path, answer.text)
        if held[kind] in answer.text or "canary" in answer.text:
            found.add(path.replace(held[kind], "ID").replace(held["webhook"], "ID"))
    return found


async def test_behind_both_walls_no_money_of_another_merchant_is_seen(
    client: httpx2.AsyncClient, keys: IssuerKeys, canary_money: dict[str, str]
):
    assert await money_seen(client, keys, canary_money) == set()


@pytest.mark.usefixtures("canary_money", "_one_wall")
async def test_behind_the_databases_wall_alone_no_money_is_seen_either(
    client: httpx2.AsyncClient, keys: IssuerKeys, canary_money: dict[str, str]
):
    assert await money_seen(client, keys, canary_money) == set()


@pytest.mark.usefixtures("canary_money", "_no_wall")
async def test_behind_the_statements_wall_alone_no_money_is_seen_either(
    client: httpx2.AsyncClient, keys: IssuerKeys, canary_money: dict[str, str]
):
    assert await money_seen(client, keys, canary_money) == set()


@pytest.mark.usefixtures("canary_money", "_one_wall", "_no_wall")
async def test_without_any_wall_all_the_money_is_seen(
    client: httpx2.AsyncClient, keys: IssuerKeys, canary_money: dict[str, str]
):
    assert len(await money_seen(client, keys, canary_money)) == 12


PRIVILEGES = """
select format('%s %s %s', role, table_, privilege)
  from unnest($1::text[]) as role,
       (select c.oid, format('%s.%s', n.nspname, c.relname) as table_
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'mesh' and c.relkind in ('r', 'v', 'm', 'p')) as tables,
       unnest($2::text[]) as privilege
 where has_table_privilege(role, tables.oid, privilege)
   and (cardinality($3::text[]) = 0 or table_ = any($3::text[]))
"""


async def test_nothing_of_the_mesh_is_open_to_what_merchants_reach(db: Database):
    roles = ["molam_web", "molam_money", "molam_refresh"]

    found = await look(db, PRIVILEGES, roles, ["SELECT", "INSERT", "UPDATE", "DELETE"], [])

    assert found == []
    assert await look(
        db,
        "select bool_or(has_schema_privilege(r, 'mesh', 'usage')) from unnest($1::text[]) r",
        roles,
    ) == [(False,)]


async def test_what_the_mesh_did_and_signed_is_rewritten_by_nobody_who_acts(db: Database):
    kept = ["mesh_action_logs", "used_tokens", "mesh_policy_history", "route_tables"]
    roles, privileges = ["molam_ops", "molam_worker"], ["UPDATE", "DELETE", "TRUNCATE"]

    found = await look(db, PRIVILEGES, roles, privileges, [f"mesh.{name}" for name in kept])

    assert found == []
    assert (
        len(await look(db, PRIVILEGES, roles, ["INSERT"], [f"mesh.{name}" for name in kept])) == 8
    )
