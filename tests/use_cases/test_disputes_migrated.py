"""Disputes that were there before they had stages go on where they stood."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

import asyncpg

from builders import a_merchant
from disputing import AVAILABLE, balances, report, stands
from facts import look
from molam.payments.disputes.jobs import pass_time
from molam.payments.disputes.model import State
from molam.platform.db import ProcessRole, open_database
from molam.platform.db.migrations import migrate

MIGRATIONS = Path(__file__).parents[2] / "migrations"
BEFORE = "0017"

# As the release before left them: money held, whatever had been decided but won.
_OLD = """
insert into payments.disputes (merchant_id, id, state, amount, currency, occurred_at, posted_amount, version)
values ('merchant-123', 'dp_open', 'open', 100, 'XOF', now() - interval '60 days', 100, 1),
       ('merchant-123', 'dp_escalated', 'escalated', 200, 'XOF', now() - interval '60 days', 200, 2),
       ('merchant-123', 'dp_lost', 'lost', 400, 'XOF', now() - interval '60 days', 400, 2),
       ('merchant-123', 'dp_won', 'won', 800, 'XOF', now() - interval '60 days', 0, 2);
insert into ledger.accounts (id, kind, owner_id, currency, balance)
values ('merchant:merchant-123:available:XOF', 'merchant_available', 'merchant-123', 'XOF', -700),
       ('disputes:held:XOF', 'disputes_held', null, 'XOF', 700);
"""


async def test_old_disputes_keep_their_money_and_move_on(postgres: Any, tmp_path: Path) -> None:
    admin = await asyncpg.connect(postgres.admin_dsn)
    name = f"molam_test_{secrets.token_hex(6)}"
    for file in sorted(MIGRATIONS.glob("*.sql")):
        if file.name < BEFORE:
            shutil.copy(file, tmp_path / file.name)
    await admin.execute(f"create database {name}")
    dsn = postgres.dsn(name)
    try:
        await migrate(dsn, tmp_path)
        old = await open_database(dsn, ProcessRole.OWNER, application="tests")
        await a_merchant(old)
        async with old.transaction("tests.old") as tx:
            await tx.connection.execute(_OLD)
        await old.close()

        await migrate(dsn, MIGRATIONS)
        db = await open_database(dsn, ProcessRole.OWNER, application="tests")
        try:
            states = [(await stands(db, id_)).state for id_ in ("dp_open", "dp_lost", "dp_won")]
            escalated = await stands(db, "dp_escalated")
            moved = await pass_time(db)
            won = await report(db, "dp_open", status="won", amount=100)
            found = await balances(db)
            drift = await look(
                db, "select id from payments.disputes where held_amount > posted_amount"
            )
        finally:
            await db.close()
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()

    assert states == [State.NEEDS_RESPONSE, State.LOST, State.WON]
    assert (escalated.state, escalated.stage, escalated.status) == (
        State.NEEDS_RESPONSE,
        2,
        "escalated",
    )
    assert (moved, won.state, drift) == (1, State.WON, [])
    assert found == {AVAILABLE: -600, "disputes:held:XOF": 200, "customers:wallet:XOF": 400}
