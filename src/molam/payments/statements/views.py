"""Statements, lines and books as the API shows them."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from molam.payments.statements.books import Control
from molam.payments.statements.books_store import DayRow
from molam.payments.statements.commands import Imported, Preview
from molam.payments.statements.hand_store import CandidateRow
from molam.payments.statements.queries import OpenLine, Sums
from molam.payments.statements.store import LineRow, StatementRow
from molam.payments.statements.words import of_open
from molam.platform.web.l10n import Language


class StatementView(msgspec.Struct, kw_only=True):
    statement_id: str
    bank_profile_id: str
    currency: str
    format: str
    sha256: str
    file_name: str
    account: str
    reference: str
    first_day: date
    last_day: date
    opening: int | None
    closing: int | None
    lines: int
    matched: int
    open: int
    archived: int
    money_in: int
    money_out: int
    fees: int
    imported_by: str
    imported_at: datetime
    discarded_at: datetime | None


class SumView(msgspec.Struct):
    state: str
    lines: int
    amount: int
    fees: int


class CandidateView(msgspec.Struct, kw_only=True):
    kind: str
    object_id: str
    merchant_id: str
    leg: str
    amount: int
    difference: int
    days: int
    name_fits: bool


class MatchView(msgspec.Struct, kw_only=True):
    kind: str
    object_id: str | None
    merchant_id: str | None
    leg: str
    tier: str
    score: float
    difference: int
    explanation: dict[str, str]
    reason: str | None
    matched_by: str
    matched_at: datetime


class LineView(msgspec.Struct, kw_only=True):
    """One line. *status* has facts' words, *state* ours."""

    statement_id: str
    line_no: int
    booked_on: date
    value_on: date
    amount: int
    fee: int
    currency: str
    bank_ref: str
    end_to_end_id: str
    counterparty: str
    text: str
    state: str
    status: str
    mismatch: str | None
    explanation: str
    match: MatchView | None
    candidates: list[CandidateView] = []


class PreviewView(msgspec.Struct, kw_only=True):
    format: str
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
    problem: str


class PreviewAnswer(msgspec.Struct):
    ok: bool
    statements: list[PreviewView]


class ImportAnswer(msgspec.Struct, kw_only=True):
    ok: bool
    statement_ids: list[str]
    new: bool
    lines: int
    matched: int


class StatementsAnswer(msgspec.Struct):
    ok: bool
    statements: list[StatementView]


class StatementAnswer(msgspec.Struct):
    ok: bool
    statement: StatementView
    sums: list[SumView]


class LinesAnswer(msgspec.Struct):
    ok: bool
    lines: list[LineView]
    next_after: int | None


class LineAnswer(msgspec.Struct):
    ok: bool
    line: LineView


class ItemView(msgspec.Struct, kw_only=True):
    item: str
    kind: str
    amount: int
    since: date
    reason: str
    explained_by: str


class DayView(msgspec.Struct, kw_only=True):
    bank_profile_id: str
    currency: str
    day: date
    opening: int
    money_in: int
    money_out: int
    fees: int
    closing: int
    ledger_closing: int
    difference: int
    missing: int
    may_close: bool
    items: list[ItemView]


class DayAnswer(msgspec.Struct):
    ok: bool
    day: DayView


class ClosedDayView(msgspec.Struct, kw_only=True):
    day: date
    closing: int
    ledger_closing: int
    difference: int
    open_items: int
    drift: int
    closed_by: str
    closed_at: datetime


class DaysAnswer(msgspec.Struct):
    ok: bool
    days: list[ClosedDayView]


def statement(row: StatementRow) -> StatementView:
    return StatementView(
        statement_id=str(row.id),
        sha256=row.sha256.hex(),
        **{
            name: getattr(row, name)
            for name in StatementView.__struct_fields__
            if name not in {"statement_id", "sha256"}
        },
    )


def sums(found: Sums) -> list[SumView]:
    return [SumView(each.state, each.lines, each.amount, each.fees) for each in found.rows]


def line(row: LineRow, candidates: tuple[CandidateRow, ...], language: Language) -> LineView:
    match = None
    if row.match_id is not None:
        match = MatchView(**{name: getattr(row, name) for name in MatchView.__struct_fields__})
    said = row.explanation or {}
    return LineView(
        statement_id=str(row.statement_id),
        explanation=said.get(language) or of_open(row.state, row.mismatch, language),
        match=match,
        candidates=[
            CandidateView(**{name: getattr(each, name) for name in CandidateView.__struct_fields__})
            for each in candidates
        ],
        **{
            name: getattr(row, name)
            for name in LineView.__struct_fields__
            if name not in {"statement_id", "explanation", "match", "candidates"}
        },
    )


def open_line(found: OpenLine, language: Language) -> LineView:
    return line(found.line, found.candidates, language)


def preview(found: Preview) -> PreviewView:
    return PreviewView(**{name: getattr(found, name) for name in PreviewView.__struct_fields__})


def imported(done: Imported) -> ImportAnswer:
    return ImportAnswer(
        ok=True,
        statement_ids=[str(each) for each in done.ids],
        new=done.is_new,
        lines=done.lines,
        matched=done.matched,
    )


def day(found: Control) -> DayView:
    return DayView(
        items=[
            ItemView(**{name: getattr(each, name) for name in ItemView.__struct_fields__})
            for each in found.items
        ],
        **{name: getattr(found, name) for name in DayView.__struct_fields__ if name != "items"},
    )


def closed_day(row: DayRow) -> ClosedDayView:
    return ClosedDayView(**{name: getattr(row, name) for name in ClosedDayView.__struct_fields__})
