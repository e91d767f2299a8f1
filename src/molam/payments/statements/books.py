"""The books of our accounts at banks: what a day's control account says, and closing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import msgspec
import structlog

from molam.kernel.clock import Instant
from molam.kernel.currency import currency as unit_of
from molam.kernel.ids import uuid8
from molam.kernel.money import Money
from molam.ledger import commands as ledger
from molam.payments.statements import books_store as store
from molam.payments.statements import store as statements
from molam.payments.statements.books_store import BooksRow, DayRow, ItemRow
from molam.payments.statements.commands import check_reason
from molam.payments.statements.model import BooksOpen, DayClosed, StatementAbsent
from molam.platform.db import Database, Tx

log = structlog.get_logger()

ITEMS_MAX = 1_000
DAYS_AT_ONCE_MAX = 92
SYSTEM_REASON = "on its way"
_TIMING = frozenset({"in_transit", "not_in_ledger"})


@dataclass(frozen=True, slots=True)
class Item:
    """An open item. *reason* is empty while nobody has explained it."""

    item: str
    kind: str
    amount: int
    since: date
    what: str
    reason: str
    explained_by: str


@dataclass(frozen=True, slots=True)
class Control:
    """
    An account at the end of a day, as the bank and as our ledger see it.

    *difference* is the bank's closing balance less ours; *missing* is what the bank
    declares beyond the lines that we were given: a statement that has not come.
    """

    bank_profile_id: str
    currency: str
    day: date
    opening: int
    money_in: int
    money_out: int
    fees: int
    closing: int
    ledger_closing: int
    missing: int
    items: tuple[Item, ...]

    @property
    def difference(self) -> int:
        return self.closing - self.ledger_closing

    @property
    def unexplained(self) -> tuple[Item, ...]:
        return tuple(each for each in self.items if not each.reason)

    @property
    def may_close(self) -> bool:
        return not self.missing and not self.unexplained


async def control(tx: Tx, *, bank_profile_id: str, currency: str, day: date) -> Control:
    """
    Compare both sides of an account at the end of *day*.

    Raises:
        StatementAbsent: no statement of this account was ever imported.
    """
    account = {"bank_profile_id": bank_profile_id, "currency": currency}
    book = await tx.one(store.FIND_BOOKS, **account)
    if book is None:
        raise StatementAbsent("This account has no books yet: import a statement first.")
    before = await tx.one(
        store.SUM_LINES, first=book.begins_on, last=day - timedelta(days=1), **account
    )
    of_day = await tx.one(store.SUM_LINES, first=day, last=day, **account)
    ours = f"{ledger.at_bank(bank_profile_id)}:{currency}"
    moved = await tx.one(store.SUM_LEDGER, account=ours, first=book.begins_on, last=day)
    assert before is not None
    assert of_day is not None
    assert moved is not None
    opening = book.opening + before.money_in - before.money_out - before.fees
    closing = opening + of_day.money_in - of_day.money_out - of_day.fees
    declared = await tx.one(store.FIND_DECLARED, day=day, **account)
    items = await tx.all(
        store.LIST_ITEMS,
        account=ours,
        first=book.begins_on,
        last=day,
        limit=ITEMS_MAX,
        **account,
    )
    return Control(
        bank_profile_id=bank_profile_id,
        currency=currency,
        day=day,
        opening=opening,
        money_in=of_day.money_in,
        money_out=of_day.money_out,
        fees=of_day.fees,
        closing=closing,
        ledger_closing=book.opening + moved.moved,
        missing=0 if declared is None else declared.closing - closing,
        items=tuple(_item(each, book, day) for each in items),
    )


def _item(row: ItemRow, book: BooksRow, day: date) -> Item:
    reason, by = row.reason or "", row.explained_by or ""
    # One side books a day or so after the other; for as long as that may take, it explains itself.
    if not reason and row.kind in _TIMING and (day - row.since).days <= book.transit_days:
        reason, by = SYSTEM_REASON, "system"
    return Item(
        item=row.item,
        kind=row.kind,
        amount=row.amount,
        since=row.since,
        what=row.what,
        reason=reason,
        explained_by=by,
    )


async def explain(
    db: Database, account: tuple[str, str], *, item: str, reason: str, by: str
) -> None:
    """
    Write down why an item may stay open. The newest reason counts.

    Raises:
        StatementAbsent: the account has no books.
        ReasonMissing: nothing says why.
    """
    said = check_reason(reason)
    bank_profile_id, currency = account
    async with db.transaction("statements.explain") as tx:
        found = await tx.one(
            statements.LOCK_BOOKS, bank_profile_id=bank_profile_id, currency=currency
        )
        if found is None:
            raise StatementAbsent("This account has no books yet.")
        await tx.run(
            store.PUT_EXPLANATION,
            bank_profile_id=bank_profile_id,
            currency=currency,
            item=item,
            reason=said,
            by=by,
        )


async def close(
    db: Database, account: tuple[str, str], *, day: date, by: str, now: Instant
) -> Control:
    """
    Close an account's day. A day that is closed already is given as it is now.

    Raises:
        StatementAbsent: the account has no books.
        BooksOpen: the control account is not explained, or earlier days are open.
        DayClosed: the day lies before the books.
    """
    bank_profile_id, currency = account
    keys = {"bank_profile_id": bank_profile_id, "currency": currency}
    async with db.transaction("statements.close_day", isolation="read_committed") as tx:
        book = await tx.one(statements.LOCK_BOOKS, **keys)
        if book is None:
            raise StatementAbsent("This account has no books yet: import a statement first.")
        found = await control(tx, day=day, **keys)
        if book.closed_through is not None and day <= book.closed_through:
            return found
        _check_next(book.closed_through, book.begins_on, day, now)
        _check_explained(found)
        await tx.run(
            store.INSERT_DAY,
            day=day,
            opening=found.opening,
            money_in=found.money_in,
            money_out=found.money_out,
            fees=found.fees,
            closing=found.closing,
            ledger_closing=found.ledger_closing,
            open_items=len(found.items),
            open_amount=sum(each.amount for each in found.items),
            items=msgspec.to_builtins([_kept(each) for each in found.items]),
            by=by,
            **keys,
        )
        await tx.run(store.SET_CLOSED, day=day, **keys)
        if book.closed_through is None:
            await _post_opening(tx, account, opening=book.opening, at=now)
    log.info(
        "statements.day.closed",
        bank=bank_profile_id,
        currency=currency,
        day=day.isoformat(),
        open_items=len(found.items),
        by=by,
    )
    return found


async def close_through(
    db: Database, account: tuple[str, str], *, day: date, by: str, now: Instant
) -> list[Control]:
    """
    Close every open day up to *day*, each in its own transaction, and stop where one cannot be.

    Raises:
        As `close`; the days before that one stay closed.
    """
    bank_profile_id, currency = account
    rows = await db.read(store.FIND_BOOKS, bank_profile_id=bank_profile_id, currency=currency)
    if not rows:
        raise StatementAbsent("This account has no books yet: import a statement first.")
    book = rows[0]
    first = book.begins_on if book.closed_through is None else _after(book.closed_through)
    if (day - first).days >= DAYS_AT_ONCE_MAX:
        raise BooksOpen(f"Close at most {DAYS_AT_ONCE_MAX} days at once.")
    days = [first + timedelta(days=at) for at in range((day - first).days + 1)] or [day]
    return [await close(db, account, day=each, by=by, now=now) for each in days]


async def days(db: Database, account: tuple[str, str], *, limit: int = 62) -> list[DayRow]:
    """List the closed days of an account, newest first."""
    bank_profile_id, currency = account
    return await db.read(
        store.LIST_DAYS, bank_profile_id=bank_profile_id, currency=currency, limit=limit
    )


async def accounts(db: Database) -> list[BooksRow]:
    """List the accounts that have books."""
    return await db.read(store.LIST_BOOKS)


def _after(day: date) -> date:
    return day + timedelta(days=1)


def _check_next(closed_through: date | None, begins_on: date, day: date, now: Instant) -> None:
    first = begins_on if closed_through is None else _after(closed_through)
    if day < first:
        raise DayClosed(f"The books of this account begin on {begins_on.isoformat()}.")
    if day > first:
        raise BooksOpen(f"Close {first.isoformat()} first.")
    if day >= now.date():
        raise BooksOpen("A day can be closed when it is over.")


def _check_explained(found: Control) -> None:
    unit = unit_of(found.currency)
    if found.missing:
        raise BooksOpen(
            f"The bank declares {Money(found.closing + found.missing, unit)} at the end of the day,"
            f" and the lines that we have make {Money(found.closing, unit)}: a statement"
            " is missing.",
            difference=found.missing,
        )
    if found.unexplained:
        raise BooksOpen(
            f"The control account differs by {Money(found.difference, unit)}, and"
            f" {len(found.unexplained)} open items are not explained.",
            difference=found.difference,
            items=len(found.unexplained),
        )


def _kept(item: Item) -> dict[str, object]:
    return {
        "item": item.item,
        "kind": item.kind,
        "amount": item.amount,
        "since": item.since.isoformat(),
        "reason": item.reason,
        "explained_by": item.explained_by,
    }


async def _post_opening(tx: Tx, account: tuple[str, str], *, opening: int, at: Instant) -> None:
    """
    Let the ledger begin where the bank's statement did.

    What earlier payments had moved through the account is part of that balance, so the
    entry brings the ledger to it from wherever they had left it.
    """
    bank_profile_id, currency = account
    bank = ledger.at_bank(bank_profile_id)
    balance = await tx.one(store.BALANCE_BEFORE, account=f"{bank}:{currency}", **_keys(account))
    assert balance is not None
    amount = opening - balance.moved
    if not amount:
        return
    other = f"treasury:opening:{bank_profile_id}"
    source, target = (bank, other) if amount > 0 else (other, bank)
    transfer = {
        "id": str(uuid8(f"bank/{bank_profile_id}/{currency}/opening")),
        "source": source,
        "target": target,
        "amount": abs(amount),
        "currency": currency,
        "cause": "bank_opening",
        "cause_id": f"{bank_profile_id}:{currency}",
        "occurred_at": at.isoformat(),
    }
    await ledger.post_transfers(tx, msgspec.json.encode([transfer]).decode())


def _keys(account: tuple[str, str]) -> dict[str, str]:
    return {"bank_profile_id": account[0], "currency": account[1]}
