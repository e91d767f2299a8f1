"""What the database and the transaction vocabulary refuse, whoever asks."""

from __future__ import annotations

import asyncpg
import pytest

from builders import NOW, a_merchant
from molam.kernel.ids import uuid7
from molam.merchant import commands
from molam.platform.db import Database, Query, Rank, assert_no_transaction
from molam.platform.db.locks import LockOrderViolated
from molam.platform.db.transaction import Nothing
from molam.platform.web import Caller

_BUCKETS = Query(
    "/* tests.lock_buckets */ select from merchant.kpi_days for update",
    row=Nothing,
    locks=Rank.KPI_BUCKET,
)
_ACCOUNTS = Query(
    "/* tests.lock_accounts */ select from ledger.accounts for update",
    row=Nothing,
    locks=Rank.LEDGER_ACCOUNT,
)


async def test_locks_are_taken_in_the_order_of_their_ranks(db: Database):
    async with db.transaction("tests.order") as tx:
        await tx.run(_ACCOUNTS)
        await tx.run(_BUCKETS)

        with pytest.raises(LockOrderViolated, match="LEDGER_ACCOUNT after KPI_BUCKET"):
            await tx.run(_ACCOUNTS)


async def test_a_transaction_inside_another_is_a_bug(db: Database):
    async with db.transaction("tests.outer"):
        with pytest.raises(AssertionError, match="inner opened inside"):
            async with db.transaction("inner"):
                pass


async def test_nothing_leaves_the_process_while_a_transaction_is_open(db: Database):
    assert_no_transaction("asking a bank")

    async with db.transaction("tests.outer"):
        with pytest.raises(AssertionError, match="asking a bank attempted inside"):
            assert_no_transaction("asking a bank")


async def test_a_balance_cannot_pass_its_floor(db: Database):
    async with db.transaction("tests.floor") as tx:
        await tx.connection.execute(
            "insert into ledger.accounts (id, kind, currency, floor) values ('float:1:XOF', 'float', 'XOF', 0)"
        )
        with pytest.raises(asyncpg.CheckViolationError, match="balance_covers_floor"):
            async with tx.savepoint():
                await tx.connection.execute("update ledger.accounts set balance = balance - 1")

        assert await tx.connection.fetchval("select balance from ledger.accounts") == 0


async def test_acknowledging_leaves_one_record_that_nobody_can_change(
    db: Database, web_db: Database
):
    await a_merchant(db)
    alert_id = uuid7(NOW)
    async with db.transaction("tests.alert") as tx:
        await tx.connection.execute(
            "insert into merchant.merchant_alerts (id, merchant_id, alert_type, severity, title, description, episode)"
            " values ($1, 'merchant-123', 'dispute_created', 'warning', 'A dispute', 'It takes 5000 XOF back.', 'dp_1')",
            alert_id,
        )

    for _ in range(2):
        await commands.acknowledge_alert(web_db, caller=_awa(), alert_id=alert_id, now=NOW)

    async with db.transaction("tests.audit") as tx:
        records = await tx.connection.fetch(
            "select user_id, action_type, resource_id from merchant.merchant_actions_audit"
        )
        assert [tuple(record) for record in records] == [
            ("awa.diop", "alert_acknowledged", str(alert_id))
        ]
        for change in ("delete from", "update"):
            rest = "" if change == "delete from" else " set user_id = 'somebody else'"
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                async with tx.savepoint():
                    await tx.connection.execute(f"{change} merchant.merchant_actions_audit{rest}")


def _awa() -> Caller:
    return Caller(
        subject="awa.diop",
        name="Awa Diop",
        merchant_id="merchant-123",
        roles=frozenset({"merchant_admin"}),
        locale="fr",
        acr="urn:molam:aal1",
        auth_time=None,
        csrf=None,
        via="bearer",
        request_id="r",
        ip="127.0.0.1",
        user_agent="tests",
    )
