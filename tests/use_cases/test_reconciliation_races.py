from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from builders import NOW
from molam.kernel.refusals import Refusal
from molam.payments.statements import books, matching, queries, store
from molam.payments.statements.matching import ByHand
from molam.platform.db import Database, Query
from reconciling import ACCOUNT, a_day, an_attempt, ledger_balance, lines_of, send
from reconciling import books as begin
from statement_files import a_line

LATER = NOW.replace(day=20)


@pytest.fixture(autouse=True)
async def _books(db: Database) -> None:
    await begin(db)


async def test_two_imports_of_one_file_at_once_are_one(db: Database, ops_db: Database):
    await send(ops_db, a_line(amount=-1, text="FRAIS", bank_ref="first"))

    done = await asyncio.gather(
        *(send(ops_db, a_line(amount=-2_500, text="FRAIS")) for _ in range(6)),
        return_exceptions=True,
    )

    assert [each for each in done if isinstance(each, BaseException)] == []
    assert len(await queries.statements(ops_db)) == 2
    assert await ledger_balance(db, "fees:bank:bp_123:XOF") == -2_501


async def test_one_line_matched_by_two_people_at_once_is_matched_once(
    db: Database, ops_db: Database
):
    await an_attempt(db, "po_1", holder="X")
    await an_attempt(db, "po_2", holder="Y")
    done = await send(ops_db, a_line())

    ended = await asyncio.gather(
        *(
            matching.match(
                ops_db, ByHand(done.ids[0], 1, "payout", object_id, "", by="finance-user-1")
            )
            for object_id in ("po_1", "po_2")
        ),
        return_exceptions=True,
    )

    assert sorted(isinstance(each, Refusal) for each in ended) == [False, True]
    assert [each.state for each in await lines_of(ops_db, done)] == ["matched"]


async def _close_beside_undo(ops_db: Database, statement_id: object) -> list[object]:
    return list(
        await asyncio.gather(
            books.close(ops_db, ACCOUNT, day=a_day(0), by="finance-user-1", now=LATER),
            matching.undo(ops_db, statement_id, 1, reason="mistake", by="finance-user-2"),  # type: ignore[arg-type]
            return_exceptions=True,
        )
    )


async def test_a_day_does_not_close_over_a_match_that_is_being_taken_back(ops_db: Database):
    done = await send(ops_db, a_line(amount=-2_500, text="FRAIS"))

    ended = await _close_beside_undo(ops_db, done.ids[0])

    assert sorted(isinstance(each, Refusal) for each in ended) == [False, True]


async def test_without_the_lock_only_the_database_keeps_a_closed_day_as_it_is(
    ops_db: Database, monkeypatch: pytest.MonkeyPatch
):
    """The twin of the test above, with time for the day to close in between."""
    done = await send(ops_db, a_line(amount=-2_500, text="FRAIS"))
    unlocked = Query(store.LOCK_BOOKS.sql.replace("for update", ""), row=store.BookRow, locks=None)
    monkeypatch.setattr(store, "LOCK_BOOKS", unlocked)
    lock, holds = matching._lock_books, asyncio.Event()

    async def hold_on(*args: Any) -> Any:
        book = await lock(*args)
        holds.set()
        await asyncio.sleep(1)
        return book

    monkeypatch.setattr(matching, "_lock_books", hold_on)

    undone = asyncio.create_task(
        matching.undo(ops_db, done.ids[0], 1, reason="mistake", by="finance-user-2")
    )
    await holds.wait()
    closed = await books.close(ops_db, ACCOUNT, day=a_day(0), by="finance-user-1", now=LATER)

    assert closed.items == ()
    with pytest.raises(asyncpg.RestrictViolationError, match="is closed"):
        await undone
