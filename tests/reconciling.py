"""A bank with attempts at sending, and statements of it, for tests of reconciliation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from builders import NOW, a_merchant
from molam.payments.statements import commands, queries
from molam.payments.statements.commands import Imported, Sent
from molam.payments.statements.model import StatementLine
from molam.payments.statements.store import LineRow
from molam.platform.db import Database
from statement_files import a_line, camt053

BANK = "bp_123"
DAY = date(2026, 11, 16)
ACCOUNT = (BANK, "XOF")


async def a_bank(db: Database, *, id_: str = BANK, collects: Sequence[str] = ()) -> str:
    async with db.transaction("tests.a_bank") as tx:
        await tx.connection.execute(
            "insert into payments.bank_profiles (id, name, country, currency_codes, rails,"
            " provider_type, status, enabled, connector)"
            " values ($1, 'Banque de Dakar', 'SN', '{XOF,EUR}', '{bank}', 'bank', 'active', true,"
            " 'http_bank') on conflict do nothing",
            id_,
        )
        if collects:
            await tx.connection.execute(
                "insert into payments.statement_rules (bank_profile_id, collects) values ($1, $2)",
                *(id_, list(collects)),
            )
    return id_


async def books(db: Database) -> None:
    await a_merchant(db)
    await a_bank(db)


async def an_attempt(
    db: Database,
    object_id: str = "po_1",
    *,
    kind: str = "payout",
    amount: int = 75_000,
    currency: str = "XOF",
    state: str = "accepted",
    provider_ref: str | None = None,
    holder: str = "Fatou Sarr",
    iban: str = "SN08SN0100152000048500003035",
    bank: str = BANK,
    on: date = DAY,
    posted: bool = True,
) -> UUID:
    """An attempt at sending, and, for a payout, what its owner posts when it leaves."""
    id_ = uuid4()
    sent_at = datetime(on.year, on.month, on.day, 10, tzinfo=UTC)
    async with db.transaction("tests.an_attempt") as tx:
        await tx.connection.execute(
            "insert into payments.bank_attempts (id, kind, object_id, merchant_id, attempt_no,"
            " bank_profile_id, outward_key, wire_key, amount, currency, destination, reference,"
            " state, request_hash, provider_ref, lease_until, next_inquiry_at, sent_at)"
            " values ($1, $2, $3, 'merchant-123',"
            " (select count(*) + 1 from payments.bank_attempts where kind = $2 and object_id = $3),"
            " $4, $5, $5, $6, $7, $8, 'PAYOUT', $9, $10, $11, now(), now(), $12)",
            *(id_, kind, object_id, bank, f"{kind}-{object_id}", amount, currency),
            {"type": "bank_account", "holder": holder, "country": "SN", "iban": iban},
            *(state, bytes(32), provider_ref, sent_at),
        )
        if kind == "payout" and posted:
            await _sent(tx.connection, object_id, amount, currency, sent_at)
    return id_


async def _sent(
    connection: object, object_id: str, amount: int, currency: str, at: datetime
) -> None:
    source, target = f"tests:world:{currency}", f"banks:{BANK}:{currency}"
    execute = connection.execute  # type: ignore[attr-defined]
    await execute(
        "insert into ledger.accounts (id, kind, currency, balance) values ($1, 'tests', $3, -$4::bigint),"
        " ($2, 'banks', $3, $4) on conflict (id) do update"
        " set balance = accounts.balance + excluded.balance",
        *(source, target, currency, amount),
    )
    await execute(
        "insert into ledger.transfers (id, source, target, amount, currency, merchant_id, cause,"
        " cause_id, occurred_at) values ($1, $2, $3, $4, $5, 'merchant-123', 'payout_sent', $6, $7)",
        *(uuid4(), source, target, amount, currency, object_id, at),
    )


async def send(
    db: Database,
    *lines: StatementLine,
    opening: int = 1_000_000,
    content: bytes | None = None,
    by: str = "finance-user-1",
) -> Imported:
    """Import a statement of *lines* for the bank."""
    numbered = [_numbered(line, no) for no, line in enumerate(lines, start=1)]
    file = camt053(numbered, opening=opening) if content is None else content
    sent = Sent(bank_profile_id=BANK, content=file, file_name="relevé.xml")
    return await commands.import_statement(db, sent, by=by, now=NOW)


def _numbered(line: StatementLine, no: int) -> StatementLine:
    return a_line(**{name: getattr(line, name) for name in line.__slots__} | {"line_no": no})


async def lines_of(db: Database, done: Imported) -> list[LineRow]:
    return await queries.lines(db, done.ids[0])


async def ledger_balance(db: Database, account: str) -> int:
    rows = await entries(db)
    return sum(amount for name, amount in rows if name == account)


async def entries(db: Database) -> list[tuple[str, int]]:
    async with db.transaction("tests.entries") as tx:
        rows = await tx.connection.fetch("select account_id, amount from ledger.entries")
    return [(row[0], row[1]) for row in rows]


def a_day(offset: int) -> date:
    return DAY + timedelta(days=offset)


def as_json(value: object) -> str:
    return json.dumps(value)
