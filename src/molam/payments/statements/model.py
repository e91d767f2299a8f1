"""What a statement says, and whether it adds up; decided without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from types import MappingProxyType
from typing import Literal, Protocol

from molam.kernel.currency import currency
from molam.kernel.money import MINOR_MAX, Money
from molam.kernel.refusals import Kind, Refusal

FILE_BYTES_MAX = 20 * 1024 * 1024
LINES_MAX = 200_000
STATEMENTS_PER_FILE_MAX = 400
TEXT_LENGTH_MAX = 500
NAME_LENGTH_MAX = 140
REF_LENGTH_MAX = 64
REASON_LENGTH_MIN, REASON_LENGTH_MAX = 3, 500

EARLIEST = date(2000, 1, 1)
LATEST = date(2199, 12, 31)

Format = Literal["camt053", "mt940", "csv", "xlsx"]


class StatementMalformed(Refusal):
    code = "statement-malformed"
    kind = Kind.BROKEN_RULE
    title = "This statement cannot be read"


class StatementUnbalanced(Refusal):
    code = "statement-unbalanced"
    kind = Kind.BROKEN_RULE
    title = "The statement does not add up"


class StatementTypeRefused(Refusal):
    code = "statement-type-refused"
    kind = Kind.UNSUPPORTED_MEDIA
    title = "This is not a statement file"


class StatementTooLarge(Refusal):
    code = "statement-too-large"
    kind = Kind.TOO_LARGE
    title = "The statement is too large"


class FileIsABomb(Refusal):
    code = "file-is-a-bomb"
    kind = Kind.BROKEN_RULE
    title = "The file would unpack into far too much"


class MappingRefused(Refusal):
    code = "statement-mapping-refused"
    kind = Kind.BROKEN_RULE
    title = "The file's columns are not known"


class StatementAbsent(Refusal):
    code = "statement-absent"
    kind = Kind.ABSENT
    title = "There is no such statement"


class LineAbsent(Refusal):
    code = "statement-line-absent"
    kind = Kind.ABSENT
    title = "There is no such line"


class ExpectationAbsent(Refusal):
    code = "expectation-absent"
    kind = Kind.ABSENT
    title = "There is nothing of ours that this line could be"


class LineNotOpen(Refusal):
    code = "statement-line-not-open"
    kind = Kind.CONFLICT
    title = "The line is not open"


class MatchRefused(Refusal):
    code = "match-refused"
    kind = Kind.BROKEN_RULE
    title = "These two cannot be matched"


class ForceNeedsApproval(Refusal):
    code = "force-needs-approval"
    kind = Kind.BROKEN_RULE
    title = "Others must agree to this match"


class ReasonMissing(Refusal):
    code = "statement-reason-missing"
    kind = Kind.BROKEN_RULE
    title = "Say why"


class DayClosed(Refusal):
    code = "books-day-closed"
    kind = Kind.CONFLICT
    title = "The day is closed"


class BooksOpen(Refusal):
    code = "books-not-balanced"
    kind = Kind.CONFLICT
    title = "The day cannot be closed yet"


class StatementInUse(Refusal):
    code = "statement-in-use"
    kind = Kind.CONFLICT
    title = "Lines of this statement are matched"


class State(Enum):
    """Where a statement line stands."""

    POSTED = "posted"
    """The bank booked it; nothing of ours answers for it yet."""
    MATCHED = "matched"
    PARTIALLY_RECONCILED = "partially_reconciled"
    """Its counterpart is known, and a difference remains that nobody has explained."""
    MISMATCHED = "mismatched"
    """It names something of ours and says something else about it."""
    ARCHIVED = "archived"
    """Written off with a reason, without a counterpart of ours."""
    VOID = "void"
    """Its statement was discarded."""


# The same pairs are what the trigger on payments.statement_lines lets pass.
MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.POSTED: frozenset(
            {
                State.MATCHED,
                State.PARTIALLY_RECONCILED,
                State.MISMATCHED,
                State.ARCHIVED,
                State.VOID,
            }
        ),
        State.MISMATCHED: frozenset(
            {
                State.POSTED,
                State.MATCHED,
                State.PARTIALLY_RECONCILED,
                State.ARCHIVED,
                State.VOID,
            }
        ),
        State.PARTIALLY_RECONCILED: frozenset({State.POSTED, State.MATCHED}),
        State.MATCHED: frozenset({State.POSTED}),
        State.ARCHIVED: frozenset({State.POSTED}),
        State.VOID: frozenset(),
    }
)
assert MOVES.keys() == set(State)

OPEN = frozenset({State.POSTED, State.MISMATCHED})

STATUSES: Mapping[State, str] = MappingProxyType(
    {
        State.POSTED: "unmatched",
        State.MATCHED: "matched",
        State.PARTIALLY_RECONCILED: "suspicious",
        State.MISMATCHED: "suspicious",
        State.ARCHIVED: "manual_review",
        State.VOID: "unmatched",
    }
)
assert STATUSES.keys() == set(State)

# Beyond these a forced match or a write-off is an action that others vote on.
FORCE_LIMIT_UNITS = 10_000
FORCE_LIMIT_FRANCS = 1_000_000


def force_limit(code: str) -> int:
    """Return the most, in minor units, that one person may force."""
    exponent = currency(code).exponent
    return FORCE_LIMIT_FRANCS if exponent == 0 else FORCE_LIMIT_UNITS * 10**exponent


@dataclass(frozen=True, slots=True)
class StatementLine:
    """
    One booking. *amount* is signed as the account's holder sees it: money in is above zero.

    *fee* is what the bank kept on top, zero or more; the balance moves by the amount
    less the fee.
    """

    line_no: int
    booked_on: date
    value_on: date
    amount: int
    currency: str
    bank_ref: str = ""
    end_to_end_id: str = ""
    counterparty: str = ""
    text: str = ""
    fee: int = 0
    is_return: bool = False
    """The bank says that it brings back an earlier payment."""

    @property
    def net(self) -> int:
        return self.amount - self.fee


@dataclass(frozen=True, slots=True)
class Declared:
    """What the statement says of itself; None where it says nothing."""

    opening: int | None = None
    closing: int | None = None
    count: int | None = None
    money_in: int | None = None
    money_out: int | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """One account's statement as a file has it."""

    format: Format
    account: str
    currency: str
    reference: str
    lines: tuple[StatementLine, ...]
    declared: Declared = field(default_factory=Declared)
    first_day: date | None = None
    last_day: date | None = None

    @property
    def net(self) -> int:
        return sum(line.net for line in self.lines)

    @property
    def fees(self) -> int:
        return sum(line.fee for line in self.lines)

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day it covers."""
        booked = [line.booked_on for line in self.lines]
        first = self.first_day or min(booked)
        last = self.last_day or max(booked)
        return min([first, *booked]), max([last, *booked])


class _Shown(Protocol):
    def __call__(self, minor: int, /) -> str: ...


def check(parsed: Parsed) -> Parsed:
    """
    Insist that a statement is about something and adds up.

    Raises:
        StatementMalformed: nothing in it, a currency or a day out of range.
        StatementUnbalanced: the difference is in the sentence.
        StatementTooLarge: too many lines.
    """
    where = f"Statement {parsed.reference}" if parsed.reference else "The statement"
    if len(parsed.lines) > LINES_MAX:
        raise StatementTooLarge(f"One file has at most {LINES_MAX:,} lines.")
    if not parsed.lines and (parsed.first_day is None or parsed.declared.closing is None):
        raise StatementMalformed(f"{where} holds no booking and no balance.")
    unit = currency(parsed.currency)
    for line in parsed.lines:
        if line.currency != parsed.currency:
            raise StatementMalformed(
                f"Line {line.line_no} is in {line.currency}, the account in {parsed.currency}.",
                line=line.line_no,
            )
        if not EARLIEST <= line.booked_on <= LATEST:
            raise StatementMalformed(
                f"Line {line.line_no} is dated {line.booked_on}.", line=line.line_no
            )
        if max(abs(line.amount), line.fee, abs(line.net)) > MINOR_MAX or line.fee < 0:
            raise StatementMalformed(
                f"The amount of line {line.line_no} is out of range.", line=line.line_no
            )
    _check_sums(parsed, lambda minor: str(Money(minor, unit)), where)
    return parsed


def _check_sums(parsed: Parsed, shown: _Shown, where: str) -> None:
    told = parsed.declared
    if told.count is not None and told.count != len(parsed.lines):
        raise StatementUnbalanced(
            f"{where} announces {told.count:,} bookings and holds {len(parsed.lines):,}.",
            announced=told.count,
            found=len(parsed.lines),
        )
    if told.opening is not None and told.closing is not None:
        difference = told.opening + parsed.net - told.closing
        if difference:
            raise StatementUnbalanced(
                f"{where}: {shown(told.opening)} at first and bookings of {shown(parsed.net)} make"
                f" {shown(told.opening + parsed.net)}, but it closes at {shown(told.closing)}:"
                f" a difference of {shown(difference)}.",
                difference=difference,
            )
    sides = (
        ("credits", told.money_in, sum(each.amount for each in parsed.lines if each.amount > 0)),
        ("debits", told.money_out, -sum(each.amount for each in parsed.lines if each.amount < 0)),
    )
    for name, announced, found in sides:
        if announced is not None and announced != found:
            raise StatementUnbalanced(
                f"{where} announces {name} of {shown(announced)} and holds {shown(found)}:"
                f" a difference of {shown(announced - found)}.",
                difference=announced - found,
            )


def check_together(statements: Sequence[Parsed]) -> tuple[Parsed, ...]:
    """
    Check each statement of one file, and that the file is not too much altogether.

    Raises:
        StatementMalformed, StatementUnbalanced, StatementTooLarge: as `check`.
    """
    if not statements:
        raise StatementMalformed("The file holds no statement.")
    if len(statements) > STATEMENTS_PER_FILE_MAX:
        raise StatementTooLarge(f"One file has at most {STATEMENTS_PER_FILE_MAX} statements.")
    if sum(len(each.lines) for each in statements) > LINES_MAX:
        raise StatementTooLarge(f"One file has at most {LINES_MAX:,} lines.")
    return tuple(check(each) for each in statements)


def tidy(text: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Keep of a bank's text what can be stored and shown: printable, one line, bounded."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words[:length_max].rstrip()


def totals(lines: Iterable[StatementLine]) -> tuple[int, int]:
    """Return what came in and what went out, both in minor units and not below zero."""
    came = went = 0
    for line in lines:
        came += max(line.amount, 0)
        went += max(-line.amount, 0)
    return came, went
