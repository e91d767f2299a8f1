"""The command that lists what could not be done, and puts it back."""

from __future__ import annotations

import asyncio

from click.testing import CliRunner

from builders import a_merchant
from facts import created, look
from molam.entrypoints import dead_letters
from molam.platform.db import Database
from molam.platform.events import Event, publish


async def _bury(db: Database) -> None:
    async with db.transaction("t") as tx:
        await publish(tx, [Event("wallet_txn_created", "merchant-123", created("tx_1"))])
        await tx.connection.execute(
            'insert into platform.dead_letters ("group", topic, part, pos, payload, reason)'
            " select 'kpi', 'events', part, id, payload::text, 'because' from platform.events"
        )


async def _run(*arguments: str) -> str:
    result = await asyncio.to_thread(CliRunner().invoke, dead_letters.command, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


async def test_a_dead_letter_is_listed_with_its_reason_and_can_be_put_back(
    db: Database, dsn: str, monkeypatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    await a_merchant(db)
    await _bury(db)
    letter = (await look(db, "select id from platform.dead_letters"))[0][0]

    listed = await _run()
    put_back = await _run("--requeue", str(letter))
    again = await _run("--requeue", str(letter))

    assert f"event {letter}" in listed
    assert "because" in listed
    assert put_back == "put back 1 events and 0 jobs\n"
    assert again == "put back 0 events and 0 jobs\n"
    assert len(await look(db, "select 1 from platform.events")) == 2


async def test_an_empty_list_says_so(db: Database, dsn: str, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)

    assert await _run() == "nothing: every event and job was done\n"
