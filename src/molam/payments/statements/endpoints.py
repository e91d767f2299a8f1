"""Statements and books over HTTP, under /api/ops/statements and /api/ops/books."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.kernel.currency import UnknownCurrency
from molam.kernel.refusals import Refusal
from molam.payments.banks.model import BankAbsent
from molam.payments.statements import books, commands, matching, model, queries, views
from molam.payments.statements.commands import Sent
from molam.payments.statements.formats.columns import Columns
from molam.payments.statements.matching import ByHand
from molam.payments.statements.permissions import RECONCILE, VIEW
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of
from molam.platform.web.uploads import Upload
from molam.platform.web.wire import CurrencyCode, Identifier, PageLimit

routes = Routes()

# The file, and room for the fields and the lines between them.
BODY_BYTES_MAX = model.FILE_BYTES_MAX + 64 * 1024
TIME_LIMIT_S = 60.0

Reason = Annotated[str, Meta(max_length=model.REASON_LENGTH_MAX)]
LineNo = Annotated[int, Meta(ge=1, le=model.LINES_MAX)]
ItemName = Annotated[str, Meta(min_length=1, max_length=300)]

FILE_REFUSALS: tuple[type[Refusal], ...] = (
    BankAbsent,
    UnknownCurrency,
    model.StatementMalformed,
    model.StatementUnbalanced,
    model.StatementTypeRefused,
    model.StatementTooLarge,
    model.FileIsABomb,
    model.MappingRefused,
    model.DayClosed,
)
MATCH_REFUSALS: tuple[type[Refusal], ...] = (
    model.LineAbsent,
    model.LineNotOpen,
    model.ExpectationAbsent,
    model.MatchRefused,
    model.ForceNeedsApproval,
    model.ReasonMissing,
)


class UploadForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier
    currency: CurrencyCode = "XOF"
    dry_run: Literal["yes", "no"] = "no"


class StatementsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier | None = None
    limit: PageLimit = 50


class LinesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: (
        Literal["posted", "matched", "partially_reconciled", "mismatched", "archived", "void"]
        | None
    ) = None
    after: Annotated[int, Meta(ge=0, le=model.LINES_MAX)] = 0
    limit: PageLimit = 100


class MatchBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """*force* accepts a difference, or, without an object, that there is no counterpart."""

    line_no: LineNo
    object_kind: Literal["payout", "refund", "collection"] | None = None
    object_id: Annotated[str, Meta(min_length=1, max_length=511)] | None = None
    force: bool = False
    reason: Reason = ""


class UnmatchBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    line_no: LineNo
    reason: Reason


class DiscardBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class DayQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier
    currency: CurrencyCode
    day: date


class DaysQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier
    currency: CurrencyCode
    limit: PageLimit = 62


class CloseBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier
    currency: CurrencyCode
    day: date


class ExplainBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier
    currency: CurrencyCode
    item: ItemName
    reason: Reason


class RulesBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    mapping: Columns | None = None
    collects: Annotated[list[Identifier], Meta(max_length=16)] = []
    tolerance_minor: Annotated[int, Meta(ge=0, le=10**9)] = 100
    tolerance_basis_points: Annotated[int, Meta(ge=0, le=1000)] = 50
    window_days: Annotated[int, Meta(ge=0, le=30)] = 2
    transit_days: Annotated[int, Meta(ge=0, le=30)] = 3


class RulesAnswer(msgspec.Struct):
    ok: bool
    rules: commands.Rules


class Done(msgspec.Struct):
    ok: bool = True


@routes.post(
    "/api/ops/statements",
    needs=RECONCILE,
    form=True,
    upload=True,
    body=UploadForm,
    body_bytes_max=BODY_BYTES_MAX,
    time_limit_s=TIME_LIMIT_S,
    answers=views.ImportAnswer,
    status=200,
    refuses=FILE_REFUSALS,
)
async def upload_statement(
    request: Request, caller: Caller, form: UploadForm, sent: Upload | None
) -> views.ImportAnswer | views.PreviewAnswer:
    """
    Import a statement (camt.053, MT940, CSV or XLSX); the same file again changes nothing.

    With ``dry_run`` it is read and checked, and nothing is kept.
    """
    if sent is None:
        raise model.StatementMalformed("Send the statement in the field 'file'.")
    file = Sent(
        bank_profile_id=form.bank_profile_id,
        content=sent.content,
        file_name=sent.file_name,
        default_currency=form.currency,
    )
    db = request.app.state.db
    if form.dry_run == "yes":
        found = await commands.preview(db, file)
        return views.PreviewAnswer(True, [views.preview(each) for each in found])
    now = request.app.state.clock.now()
    return views.imported(await commands.import_statement(db, file, by=caller.subject, now=now))


@routes.get(
    "/api/ops/statements", needs=VIEW, query=StatementsQuery, answers=views.StatementsAnswer
)
async def list_statements(
    request: Request, _caller: Caller, query: StatementsQuery
) -> views.StatementsAnswer:
    """List statements, the latest import first."""
    rows = await queries.statements(
        request.app.state.db, bank_profile_id=query.bank_profile_id, limit=query.limit
    )
    return views.StatementsAnswer(True, [views.statement(row) for row in rows])


@routes.get(
    "/api/ops/statements/{id:uuid}",
    needs=VIEW,
    answers=views.StatementAnswer,
    refuses=(model.StatementAbsent,),
)
async def show_statement(request: Request, _caller: Caller) -> views.StatementAnswer:
    """Show a statement: matched and open lines add up to all of it."""
    db, id_ = request.app.state.db, _id(request)
    row = await queries.statement(db, id_)
    return views.StatementAnswer(
        True, views.statement(row), views.sums(await queries.sums(db, id_))
    )


@routes.get(
    "/api/ops/statements/{id:uuid}/lines",
    needs=VIEW,
    query=LinesQuery,
    answers=views.LinesAnswer,
    refuses=(model.StatementAbsent,),
)
async def list_lines(request: Request, caller: Caller, query: LinesQuery) -> views.LinesAnswer:
    """List lines in the bank's order; go on with ``after=next_after``."""
    db, id_ = request.app.state.db, _id(request)
    await queries.statement(db, id_)
    rows = await queries.lines(
        db,
        id_,
        states=() if query.state is None else (query.state,),
        after=query.after,
        limit=query.limit,
    )
    language = language_of(request, caller)
    more = rows[-1].line_no if len(rows) == query.limit else None
    return views.LinesAnswer(True, [views.line(row, (), language) for row in rows], more)


@routes.get(
    "/api/ops/statements/{id:uuid}/lines/{line_no:int}",
    needs=VIEW,
    answers=views.LineAnswer,
    refuses=(model.LineAbsent,),
)
async def show_line(request: Request, caller: Caller) -> views.LineAnswer:
    """Show a line: what it was matched with and why, or what it might be."""
    return await _line(request, caller, _line_no(request))


@routes.post(
    "/api/ops/statements/{id:uuid}/match",
    needs=RECONCILE,
    body=MatchBody,
    answers=views.LineAnswer,
    refuses=MATCH_REFUSALS,
)
async def match_line(request: Request, caller: Caller, body: MatchBody) -> views.LineAnswer:
    """Match a line by hand, or write it off by force; repeating it changes nothing."""
    await matching.match(
        request.app.state.db,
        ByHand(
            statement_id=_id(request),
            line_no=body.line_no,
            kind=body.object_kind,
            object_id=body.object_id,
            reason=body.reason,
            by=caller.subject,
            forces=body.force,
        ),
    )
    return await _line(request, caller, body.line_no)


@routes.post(
    "/api/ops/statements/{id:uuid}/unmatch",
    needs=RECONCILE,
    body=UnmatchBody,
    answers=views.LineAnswer,
    refuses=(model.LineAbsent, model.LineNotOpen, model.DayClosed, model.ReasonMissing),
)
async def unmatch_line(request: Request, caller: Caller, body: UnmatchBody) -> views.LineAnswer:
    """Take a match back; who did it and why stays on record."""
    await matching.undo(
        request.app.state.db, _id(request), body.line_no, reason=body.reason, by=caller.subject
    )
    return await _line(request, caller, body.line_no)


@routes.post(
    "/api/ops/statements/{id:uuid}/discard",
    needs=RECONCILE,
    body=DiscardBody,
    answers=Done,
    refuses=(
        model.StatementAbsent,
        model.StatementInUse,
        model.DayClosed,
        model.ReasonMissing,
    ),
)
async def discard_statement(request: Request, caller: Caller, body: DiscardBody) -> Done:
    """Take a statement without matches out of the books."""
    await commands.discard(
        request.app.state.db, _id(request), reason=body.reason, by=caller.subject
    )
    return Done()


@routes.get(
    "/api/ops/books",
    needs=VIEW,
    query=DayQuery,
    answers=views.DayAnswer,
    refuses=(model.StatementAbsent,),
)
async def show_day(request: Request, _caller: Caller, query: DayQuery) -> views.DayAnswer:
    """Compare the bank's view of an account with the ledger's at the end of a day."""
    async with request.app.state.db.transaction("statements.show_day", readonly=True) as tx:
        found = await books.control(
            tx, bank_profile_id=query.bank_profile_id, currency=query.currency, day=query.day
        )
    return views.DayAnswer(True, views.day(found))


@routes.get("/api/ops/books/days", needs=VIEW, query=DaysQuery, answers=views.DaysAnswer)
async def list_days(request: Request, _caller: Caller, query: DaysQuery) -> views.DaysAnswer:
    """List the closed days of an account, newest first."""
    rows = await books.days(
        request.app.state.db, (query.bank_profile_id, query.currency), limit=query.limit
    )
    return views.DaysAnswer(True, [views.closed_day(row) for row in rows])


@routes.post(
    "/api/ops/books/close",
    needs=RECONCILE,
    body=CloseBody,
    answers=views.DayAnswer,
    refuses=(model.StatementAbsent, model.BooksOpen, model.DayClosed),
)
async def close_day(request: Request, caller: Caller, body: CloseBody) -> views.DayAnswer:
    """Close a day of an account; closing it again changes nothing."""
    state = request.app.state
    found = await books.close(
        state.db,
        (body.bank_profile_id, body.currency),
        day=body.day,
        by=caller.subject,
        now=state.clock.now(),
    )
    return views.DayAnswer(True, views.day(found))


@routes.post(
    "/api/ops/books/explain",
    needs=RECONCILE,
    body=ExplainBody,
    answers=Done,
    refuses=(model.StatementAbsent, model.ReasonMissing),
)
async def explain_item(request: Request, caller: Caller, body: ExplainBody) -> Done:
    """Write down why an item may stay open."""
    await books.explain(
        request.app.state.db,
        (body.bank_profile_id, body.currency),
        item=body.item,
        reason=body.reason,
        by=caller.subject,
    )
    return Done()


@routes.get("/api/ops/statement-rules/{bank_profile_id}", needs=VIEW, answers=RulesAnswer)
async def show_rules(request: Request, _caller: Caller) -> RulesAnswer:
    """Show how a bank's statements are read and compared."""
    bank = request.path_params["bank_profile_id"]
    return RulesAnswer(True, await commands.rules_of(request.app.state.db, bank))


@routes.put(
    "/api/ops/statement-rules/{bank_profile_id}",
    needs=RECONCILE,
    body=RulesBody,
    answers=RulesAnswer,
    refuses=(BankAbsent, model.MappingRefused),
)
async def put_rules(request: Request, caller: Caller, body: RulesBody) -> RulesAnswer:
    """Change how a bank's statements are read and compared, from the next file on."""
    rules = commands.Rules(**msgspec.structs.asdict(body))
    bank = request.path_params["bank_profile_id"]
    await commands.set_rules(request.app.state.db, bank, rules, by=caller.subject)
    return RulesAnswer(True, rules)


async def _line(request: Request, caller: Caller, line_no: int) -> views.LineAnswer:
    found = await queries.line(request.app.state.db, _id(request), line_no)
    return views.LineAnswer(True, views.open_line(found, language_of(request, caller)))


def _id(request: Request) -> UUID:
    id_: UUID = request.path_params["id"]
    return id_


def _line_no(request: Request) -> int:
    number: int = request.path_params["line_no"]
    return min(number, model.LINES_MAX + 1)
