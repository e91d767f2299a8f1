"""Statements in the console: taking one in after a look at it, and what became of its lines."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from uuid import UUID

import msgspec
import obstore
from msgspec import Meta
from obstore.exceptions import BaseError
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Outage, Refusal
from molam.ops.propose_pages import Refused
from molam.ops.shell import framed, may, said
from molam.ops.statement_parts import shown, to, unprocessable
from molam.payments.statements import commands, model, queries
from molam.payments.statements.commands import Sent
from molam.payments.statements.endpoints import BODY_BYTES_MAX, FILE_REFUSALS, TIME_LIMIT_S
from molam.payments.statements.formats.files import clean_name
from molam.payments.statements.permissions import RECONCILE, VIEW
from molam.payments.statements.words import of_open
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of
from molam.platform.web.uploads import Upload
from molam.platform.web.wire import CurrencyCode, Identifier

routes = Routes()

_LINES_MAX = 100
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STATES = {
    "open": ("posted", "mismatched"),
    "matched": ("matched", "partially_reconciled"),
    "archived": ("archived",),
}


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None
    bank: Annotated[str, Meta(max_length=64)] | None = None


class ChosenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank: Identifier
    currency: CurrencyCode = "XOF"


class KeptFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank: Identifier
    file: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", max_length=64)]
    name: Annotated[str, Meta(max_length=120)] = "statement"
    currency: CurrencyCode = "XOF"


class LinesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None
    show: Literal["all", "open", "matched", "archived"] = "all"
    after: Annotated[int, Meta(ge=0, le=model.LINES_MAX)] = 0


class Discarded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=model.REASON_LENGTH_MAX)] = ""


@routes.get("/ops/statements", needs=VIEW, page=True, query=ListQuery)
async def show_statements(request: Request, caller: Caller, query: ListQuery) -> Response:
    """Show the statements that were imported, and where another one goes in."""
    return await _list(request, caller, bank=query.bank, code=query.said)


@routes.post(
    "/ops/statements/preview",
    needs=RECONCILE,
    page=True,
    form=True,
    upload=True,
    body=ChosenFile,
    body_bytes_max=BODY_BYTES_MAX,
    time_limit_s=TIME_LIMIT_S,
    refuses=FILE_REFUSALS,
)
async def preview_statement(
    request: Request, caller: Caller, form: ChosenFile, sent: Upload | None
) -> Response:
    """Read a file and show what it would bring; nothing is in the books yet."""
    try:
        if sent is None:
            raise model.StatementMalformed("Choose a file.")
        file = Sent(
            bank_profile_id=form.bank,
            content=sent.content,
            file_name=clean_name(sent.file_name),
            default_currency=form.currency,
        )
        found = await commands.preview(request.app.state.db, file)
    except Refusal as refusal:
        problem = shown(request, caller, refusal)
        return unprocessable(await _list(request, caller, bank=form.bank, refused=problem))
    digest = commands.fingerprint(file).hex()
    await _keep(request, digest, sent.content)
    return await framed(
        request,
        caller,
        "statement_preview.html",
        place="statements",
        found=found,
        file=file,
        digest=digest,
        refused=None,
    )


@routes.post(
    "/ops/statements",
    needs=RECONCILE,
    page=True,
    form=True,
    body=KeptFile,
    time_limit_s=TIME_LIMIT_S,
    refuses=FILE_REFUSALS,
)
async def import_statement(request: Request, caller: Caller, form: KeptFile) -> Response:
    """Take the statement in that was just looked at."""
    state = request.app.state
    try:
        file = Sent(
            bank_profile_id=form.bank,
            content=await _kept(request, form.file),
            file_name=form.name,
            default_currency=form.currency,
        )
        done = await commands.import_statement(
            state.db, file, by=caller.subject, now=state.clock.now()
        )
    except Refusal as refusal:
        problem = shown(request, caller, refusal)
        return unprocessable(await _list(request, caller, bank=form.bank, refused=problem))
    code = "statement-imported" if done.is_new else "statement-known"
    return to(f"/ops/statements/{done.ids[0]}", code)


@routes.get(
    "/ops/statements/{id:uuid}",
    needs=VIEW,
    page=True,
    query=LinesQuery,
    refuses=(model.StatementAbsent,),
)
async def show_statement(request: Request, caller: Caller, query: LinesQuery) -> Response:
    """Show a statement's lines, what each was matched with, and why."""
    return await _statement(request, caller, query)


@routes.post(
    "/ops/statements/{id:uuid}/discard",
    needs=RECONCILE,
    page=True,
    form=True,
    body=Discarded,
    refuses=(model.StatementAbsent, model.StatementInUse, model.DayClosed, model.ReasonMissing),
)
async def discard_statement(request: Request, caller: Caller, form: Discarded) -> Response:
    """Take a statement out of the books again."""
    id_ = _id(request)
    try:
        await commands.discard(request.app.state.db, id_, reason=form.reason, by=caller.subject)
    except Refusal as refusal:
        problem = shown(request, caller, refusal)
        return unprocessable(await _statement(request, caller, LinesQuery(), refused=problem))
    return to(f"/ops/statements/{id_}", "statement-discarded")


async def _list(
    request: Request,
    caller: Caller,
    *,
    bank: str | None = None,
    code: str | None = None,
    refused: Refused | None = None,
) -> Response:
    db = request.app.state.db
    return await framed(
        request,
        caller,
        "statements.html",
        place="statements",
        rows=await queries.statements(db, bank_profile_id=bank or None),
        banks=await queries.banks(db),
        bank=bank,
        reconciles=may(caller, RECONCILE),
        said=said(code),
        refused=refused,
        megabytes=model.FILE_BYTES_MAX // 1024**2,
    )


async def _statement(
    request: Request, caller: Caller, query: LinesQuery, *, refused: Refused | None = None
) -> Response:
    db, id_ = request.app.state.db, _id(request)
    row = await queries.statement(db, id_)
    lines = await queries.lines(
        db, id_, states=_STATES.get(query.show, ()), after=query.after, limit=_LINES_MAX
    )
    language = language_of(request, caller)
    return await framed(
        request,
        caller,
        "statement.html",
        place="statements",
        row=row,
        lines=lines,
        why={each.line_no: of_open(each.state, each.mismatch, language) for each in lines},
        show=query.show,
        older=lines[-1].line_no if len(lines) == _LINES_MAX else None,
        reconciles=may(caller, RECONCILE),
        said=said(query.said),
        refused=refused,
    )


async def _keep(request: Request, digest: str, content: bytes) -> None:
    """Keep the file under its hash, so that what is imported is what was looked at."""
    try:
        await obstore.put_async(request.app.state.desk.files, f"statements/{digest}", content)
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error


async def _kept(request: Request, digest: str) -> bytes:
    assert _SHA256.fullmatch(digest)
    try:
        found = await obstore.get_async(request.app.state.desk.files, f"statements/{digest}")
        return bytes(await found.bytes_async())
    except FileNotFoundError:
        raise model.StatementMalformed("The file is gone; choose it again.") from None
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error


def _id(request: Request) -> UUID:
    id_: UUID = request.path_params["id"]
    return id_
