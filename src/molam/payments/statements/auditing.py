"""Looks every night whether books still say what they said, and what in them is unexplained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import structlog
from prometheus_client import Gauge

from molam.ledger import commands as ledger
from molam.payments.statements import books
from molam.payments.statements import books_store as store
from molam.payments.statements.books_store import BooksRow
from molam.platform.db import Database, Tx

log = structlog.get_logger()

UNEXPLAINED = Gauge(
    "molam_payments_books_unexplained",
    "Open items of bank accounts that nobody has explained, at the last check.",
)
DRIFTED = Gauge(
    "molam_payments_books_drifted", "Closed days whose ledger balance is not what it was."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the nightly check found wrong with one account."""

    bank_profile_id: str
    bank_name: str
    currency: str
    day: date
    difference: int
    unexplained: int
    missing: int
    drifted: tuple[date, ...] = ()


async def check(db: Database) -> list[Finding]:
    """Compare every account as of its last statement, and its closed days with what they were."""
    findings = []
    for book in await db.read(store.LIST_BOOKS):
        day = max(filter(None, [book.last_day, book.closed_through, book.begins_on]))
        async with db.transaction("statements.check_books") as tx:
            drifted = await _drifted(tx, book)
            found = await books.control(
                tx, bank_profile_id=book.bank_profile_id, currency=book.currency, day=day
            )
        finding = Finding(
            bank_profile_id=book.bank_profile_id,
            bank_name=book.bank_name,
            currency=book.currency,
            day=day,
            difference=found.difference,
            unexplained=len(found.unexplained),
            missing=found.missing,
            drifted=drifted,
        )
        if finding.unexplained or finding.missing or drifted:
            findings.append(finding)
            log.warning(
                "statements.books.differ",
                bank=book.bank_profile_id,
                currency=book.currency,
                day=day.isoformat(),
                difference=found.difference,
                unexplained=finding.unexplained,
                missing=found.missing,
                drifted=len(drifted),
            )
    UNEXPLAINED.set(sum(each.unexplained + bool(each.missing) for each in findings))
    DRIFTED.set(sum(len(each.drifted) for each in findings))
    return findings


async def _drifted(tx: Tx, book: BooksRow) -> tuple[date, ...]:
    """Compare the last closed day's ledger balance with the one it was closed with."""
    if book.closed_through is None:
        return ()
    account = {"bank_profile_id": book.bank_profile_id, "currency": book.currency}
    closed = await tx.one(store.FIND_DAY, day=book.closed_through, **account)
    assert closed is not None
    ours = f"{ledger.at_bank(book.bank_profile_id)}:{book.currency}"
    moved = await tx.one(
        store.SUM_LEDGER, account=ours, first=book.begins_on, last=book.closed_through
    )
    assert moved is not None
    drift = book.opening + moved.moved - closed.ledger_closing
    await tx.run(store.SET_CHECKED, day=closed.day, drift=drift, **account)
    return (closed.day,) if drift else ()
