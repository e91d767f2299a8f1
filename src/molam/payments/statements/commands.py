"""Taking in statements, discarding them, and the rules of each bank."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.payments.banks.model import BankAbsent
from molam.payments.statements import matching, store
from molam.payments.statements.formats import files
from molam.payments.statements.formats.columns import Columns, check_columns
from molam.payments.statements.model import (
    REASON_LENGTH_MAX,
    REASON_LENGTH_MIN,
    DayClosed,
    Format,
    Parsed,
    ReasonMissing,
    StatementAbsent,
    StatementInUse,
    StatementLine,
    totals,
)
from molam.platform.db import Database, Tx

LINES_AT_ONCE = 2_000
_SAMPLE_LINES = 20

# Our keys as they may stand in the free text of a bank that has no field for them.
_KEY = re.compile(r"\b(?:payout|refund)-[A-Za-z0-9_]{1,60}")
_FEE = re.compile(
    r"\b(FRAIS|COMMISSIONS?|AGIOS|TENUE DE COMPTE|BANK CHARGES?|SERVICE CHARGES?|ACCOUNT FEES?"
    r"|FEES?|TAXE SUR|TVA|TAF)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A file as somebody sent it, and for which bank."""

    bank_profile_id: str
    content: bytes
    file_name: str = ""
    default_currency: str = "XOF"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would bring, before it is kept."""

    format: Format
    account: str
    currency: str
    reference: str
    first_day: str
    last_day: str
    lines: int
    money_in: int
    money_out: int
    fees: int
    opening: int | None
    closing: int | None
    sample: tuple[StatementLine, ...]
    problem: str = ""
    """Why it could not be kept as things stand; empty if it could."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The statements of a file; those that are new, and how many lines found their match."""

    ids: tuple[UUID, ...]
    is_new: bool
    matched: int = 0
    lines: int = 0
    accounts: tuple[tuple[str, str], ...] = field(default=())


async def preview(db: Database, sent: Sent) -> tuple[Preview, ...]:
    """
    Read a file and say what it would bring; nothing is kept.

    Raises:
        BankAbsent: no such bank.
        Whatever `files.read` raises: the file cannot be taken.
    """
    mapping = await _mapping(db, sent.bank_profile_id)
    parsed = await _read(sent, mapping)
    known = await db.read(
        store.FIND_SAME_FILE, bank_profile_id=sent.bank_profile_id, sha256=fingerprint(sent)
    )
    said = "This very file was imported before; nothing would change." if known else ""
    return tuple(_preview(each, said) for each in parsed)


async def import_statement(db: Database, sent: Sent, *, by: str, now: Instant) -> Imported:
    """
    Keep every statement of a file and match its lines. The same file again changes nothing.

    Raises:
        BankAbsent: no such bank.
        DayClosed: it has bookings of a closed day, or from before the books began.
        Whatever `files.read` raises: the file cannot be taken.
    """
    mapping = await _mapping(db, sent.bank_profile_id)
    parsed = await _read(sent, mapping)
    digest = fingerprint(sent)
    # By account, so that two imports lock them in one order; a file is looked for under the
    # first lock, for whoever held it before may have brought the same one.
    ordered = sorted(enumerate(parsed, start=1), key=lambda pair: pair[1].currency)
    async with db.transaction("statements.import") as tx:
        await _begin(tx, sent, ordered[0][1])
        known = await tx.all(
            store.FIND_SAME_FILE, bank_profile_id=sent.bank_profile_id, sha256=digest
        )
        if known:
            return Imported(tuple(row.id for row in known), is_new=False)
        ids = [await _keep(tx, sent, each, part=part, by=by, now=now) for part, each in ordered]
    accounts = tuple(sorted({(sent.bank_profile_id, each.currency) for each in parsed}))
    matched = 0
    for bank, code in accounts:
        matched += await matching.run(db, bank_profile_id=bank, currency=code)
    count = sum(len(each.lines) for each in parsed)
    return Imported(tuple(ids), is_new=True, matched=matched, lines=count, accounts=accounts)


async def has_statements(db: Database, bank_profile_id: str) -> bool:
    """Tell whether any statement of a bank was ever imported."""
    rows = await db.read(
        store.LIST_STATEMENTS,
        bank_profile_id=bank_profile_id,
        before=None,
        before_id=None,
        limit=1,
    )
    return bool(rows)


async def discard(db: Database, statement_id: UUID, *, reason: str, by: str) -> None:
    """
    Take a statement out of the books, as if it had not come. Repeating it changes nothing.

    Raises:
        StatementAbsent: no such statement.
        StatementInUse: some of its lines are matched; undo those first.
        DayClosed: it has bookings of a closed day.
        ReasonMissing: nothing says why.
    """
    said = check_reason(reason)
    async with db.transaction("statements.discard") as tx:
        row = await tx.one(store.FIND_STATEMENT, id=statement_id)
        if row is None:
            raise StatementAbsent("Check its number.")
        book = await tx.one(
            store.LOCK_BOOKS, bank_profile_id=row.bank_profile_id, currency=row.currency
        )
        assert book is not None, "a statement has books"
        row = await tx.one(store.FIND_STATEMENT, id=statement_id)
        assert row is not None
        if row.discarded_at is not None:
            return
        if row.matched or row.archived:
            raise StatementInUse(
                f"{row.matched + row.archived} of its lines are matched or written off;"
                " undo those first.",
                lines=row.matched + row.archived,
            )
        if book.closed_through is not None and row.first_day <= book.closed_through:
            raise DayClosed(f"The books are closed through {book.closed_through.isoformat()}.")
        await tx.run(store.SET_LINES_VOID, statement_id=statement_id)
        await tx.run(store.SET_DISCARDED, id=statement_id, by=by, reason=said)


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a bank's statements are read and compared."""

    mapping: Columns | None = None
    collects: list[str] = []
    tolerance_minor: int = 100
    tolerance_basis_points: int = 50
    window_days: int = 2
    transit_days: int = 3


async def rules_of(db: Database, bank_profile_id: str) -> Rules:
    """Read the rules of a bank; those nobody has set are the defaults."""
    rows = await db.read(store.FIND_RULES, bank_profile_id=bank_profile_id)
    if not rows:
        return Rules()
    row = rows[0]
    return Rules(
        mapping=None if row.mapping is None else msgspec.convert(row.mapping, Columns),
        collects=row.collects,
        tolerance_minor=row.tolerance_minor,
        tolerance_basis_points=row.tolerance_basis_points,
        window_days=row.window_days,
        transit_days=row.transit_days,
    )


async def set_rules(db: Database, bank_profile_id: str, rules: Rules, *, by: str) -> None:
    """
    Change how a bank's statements are read and compared, from the next file on.

    Raises:
        BankAbsent: no such bank.
        MappingRefused: the mapping cannot be used.
    """
    if rules.mapping is not None:
        check_columns(rules.mapping)
    async with db.transaction("statements.set_rules") as tx:
        if await tx.one(store.FIND_BANK, id=bank_profile_id) is None:
            raise BankAbsent("Check the bank's number.")
        await tx.run(
            store.PUT_RULES,
            bank_profile_id=bank_profile_id,
            mapping=None if rules.mapping is None else msgspec.to_builtins(rules.mapping),
            collects=rules.collects,
            tolerance_minor=rules.tolerance_minor,
            tolerance_basis_points=rules.tolerance_basis_points,
            window_days=rules.window_days,
            transit_days=rules.transit_days,
            by=by,
        )


def check_reason(reason: str) -> str:
    """
    Raises:
        ReasonMissing: fewer than three characters, or too many.
    """
    said = " ".join(reason.split())
    if not REASON_LENGTH_MIN <= len(said) <= REASON_LENGTH_MAX:
        raise ReasonMissing(
            f"Write a reason of {REASON_LENGTH_MIN} to {REASON_LENGTH_MAX} characters."
        )
    return said


async def _mapping(db: Database, bank_profile_id: str) -> Columns | None:
    if not await db.read(store.FIND_BANK, id=bank_profile_id):
        raise BankAbsent("Check the bank's number.")
    return (await rules_of(db, bank_profile_id)).mapping


async def _read(sent: Sent, mapping: Columns | None) -> tuple[Parsed, ...]:
    # Twenty megabytes of XML take seconds, which nobody else should wait for.
    return await asyncio.to_thread(
        files.read, sent.content, mapping=mapping, default_currency=sent.default_currency
    )


def fingerprint(sent: Sent) -> bytes:
    """Return the SHA-256 by which a file is known again."""
    return sha256(sent.content).digest()


async def _begin(tx: Tx, sent: Sent, parsed: Parsed) -> store.BookRow:
    """Lock the books of an account, which begin with its first statement."""
    opening = parsed.declared.opening
    if opening is None and parsed.declared.closing is not None:
        opening = parsed.declared.closing - parsed.net
    account = {"bank_profile_id": sent.bank_profile_id, "currency": parsed.currency}
    await tx.run(store.BEGIN_BOOKS, begins_on=parsed.days[0], opening=opening, **account)
    book = await tx.one(store.LOCK_BOOKS, **account)
    assert book is not None
    return book


async def _keep(tx: Tx, sent: Sent, parsed: Parsed, *, part: int, by: str, now: Instant) -> UUID:
    first, last = parsed.days
    account = {"bank_profile_id": sent.bank_profile_id, "currency": parsed.currency}
    book = await _begin(tx, sent, parsed)
    if first < book.begins_on:
        raise DayClosed(
            f"The books of this account begin on {book.begins_on.isoformat()},"
            f" and the statement on {first.isoformat()}."
        )
    if book.closed_through is not None and parsed.lines:
        earliest = min(line.booked_on for line in parsed.lines)
        if earliest <= book.closed_through:
            raise DayClosed(
                f"It has bookings of {earliest.isoformat()}, and the books are closed through"
                f" {book.closed_through.isoformat()}. A correction is booked on an open day."
            )
    id_ = uuid7(now)
    came, went = totals(parsed.lines)
    statement = account | {
        "id": str(id_),
        "format": parsed.format,
        "sha256": fingerprint(sent).hex(),
        "part": part,
        "file_name": files.clean_name(sent.file_name),
        "account": parsed.account,
        "reference": parsed.reference,
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "opening": parsed.declared.opening,
        "closing": parsed.declared.closing,
        "lines": len(parsed.lines),
        "money_in": came,
        "money_out": went,
        "fees": parsed.fees,
        "imported_by": by,
    }
    await tx.run(store.INSERT_STATEMENT, statement=msgspec.json.encode(statement).decode())
    for at in range(0, len(parsed.lines), LINES_AT_ONCE):
        await tx.run(
            store.INSERT_LINES,
            statement_id=id_,
            lines=_as_json(parsed.lines[at : at + LINES_AT_ONCE]),
            **account,
        )
    return id_


def _as_json(lines: Sequence[StatementLine]) -> str:
    rows = [
        {
            "line_no": line.line_no,
            "booked_on": line.booked_on,
            "value_on": line.value_on,
            "amount": line.amount,
            "fee": line.fee,
            "bank_ref": line.bank_ref,
            "end_to_end_id": line.end_to_end_id,
            "named_key": _named_key(line),
            "counterparty": line.counterparty,
            "text": line.text,
            "is_return": line.is_return,
            "is_fee": _is_fee(line),
        }
        for line in lines
    ]
    return msgspec.json.encode(rows).decode()


def _named_key(line: StatementLine) -> str:
    found = _KEY.search(f"{line.bank_ref} {line.text}")
    return "" if found is None or found[0] == line.end_to_end_id else found[0]


def _is_fee(line: StatementLine) -> bool:
    """A charge names itself, and nobody else: what carries a reference of ours is no charge."""
    is_bare = not (line.end_to_end_id or line.counterparty)
    return line.amount < 0 and is_bare and _FEE.search(line.text) is not None


def _preview(parsed: Parsed, problem: str) -> Preview:
    first, last = parsed.days
    came, went = totals(parsed.lines)
    return Preview(
        format=parsed.format,
        account=parsed.account,
        currency=parsed.currency,
        reference=parsed.reference,
        first_day=first.isoformat(),
        last_day=last.isoformat(),
        lines=len(parsed.lines),
        money_in=came,
        money_out=went,
        fees=parsed.fees,
        opening=parsed.declared.opening,
        closing=parsed.declared.closing,
        sample=parsed.lines[:_SAMPLE_LINES],
        problem=problem,
    )
