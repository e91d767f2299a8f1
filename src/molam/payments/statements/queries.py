"""Questions about statements, their lines and what is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from molam.payments.statements import matching, store
from molam.payments.statements.hand_store import CandidateRow
from molam.payments.statements.model import LineAbsent, StatementAbsent
from molam.payments.statements.store import BankRow, LineRow, StatementRow, SumsRow
from molam.platform.db import Database

_FIRST = date(1900, 1, 1)


@dataclass(frozen=True, slots=True)
class Sums:
    """What the lines of a statement add up to, by where they stand."""

    rows: tuple[SumsRow, ...]

    def of(self, *states: str) -> tuple[int, int]:
        """Return how many lines stand there, and what they add up to."""
        found = [each for each in self.rows if each.state in states]
        return sum(each.lines for each in found), sum(each.amount for each in found)


@dataclass(frozen=True, slots=True)
class OpenLine:
    """An open line and what it might be."""

    line: LineRow
    candidates: tuple[CandidateRow, ...]


async def banks(db: Database) -> list[BankRow]:
    """List the banks whose statements can be imported."""
    return await db.read(store.LIST_BANKS)


async def statement(db: Database, id_: UUID) -> StatementRow:
    """
    Raises:
        StatementAbsent: no such statement.
    """
    rows = await db.read(store.FIND_STATEMENT, id=id_)
    if not rows:
        raise StatementAbsent("Check its number.")
    return rows[0]


async def statements(
    db: Database,
    *,
    bank_profile_id: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[StatementRow]:
    """List statements, the latest import first."""
    return await db.read(
        store.LIST_STATEMENTS,
        bank_profile_id=bank_profile_id,
        before=None if before is None else before[0],
        before_id=None if before is None else before[1],
        limit=limit,
    )


async def lines(
    db: Database,
    statement_id: UUID,
    *,
    states: Sequence[str] = (),
    after: int = 0,
    limit: int = 100,
) -> list[LineRow]:
    """List lines of a statement in the bank's order, from the one after *after*."""
    return await db.read(
        store.LIST_LINES,
        statement_id=statement_id,
        states=list(states) or None,
        after=after,
        limit=limit,
    )


async def sums(db: Database, statement_id: UUID) -> Sums:
    """Add up a statement by where its lines stand."""
    return Sums(tuple(await db.read(store.LIST_SUMS, statement_id=statement_id)))


async def line(db: Database, statement_id: UUID, line_no: int) -> OpenLine:
    """
    Read one line, with what it might be while it is open.

    Raises:
        LineAbsent: no such line.
    """
    async with db.transaction("statements.line", readonly=True) as tx:
        found = await tx.one(store.FIND_LINE, statement_id=statement_id, line_no=line_no)
        if found is None:
            raise LineAbsent("Check the statement and the number of the line.")
        near = await matching.candidates(tx, found.id) if found.match_id is None else []
    return OpenLine(found, tuple(near))


async def open_lines(
    db: Database,
    *,
    bank_profile_id: str | None = None,
    after: tuple[date, int] | None = None,
    limit: int = 25,
) -> list[OpenLine]:
    """List open lines of every statement with what they might be, the oldest first."""
    async with db.transaction("statements.open_lines", readonly=True) as tx:
        rows = await tx.all(
            store.LIST_OPEN,
            bank_profile_id=bank_profile_id,
            after_day=_FIRST if after is None else after[0],
            after_id=0 if after is None else after[1],
            limit=limit,
        )
        return [OpenLine(row, tuple(await matching.candidates(tx, row.id))) for row in rows]
