"""The pages of one dispute: what it is about, the review of an answer, and the forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.currency import currency
from molam.kernel.money import AmountMalformed
from molam.kernel.refusals import Kind, Refusal
from molam.ledger import queries as ledger
from molam.merchant import dispute_commands, dispute_queries, frame, permissions, proofs, queries
from molam.merchant.dispute_endpoints import (
    BODY_BYTES_MAX,
    CLOSED,
    UPLOAD_TIME_LIMIT_S,
    accepted,
    offered_of,
    submitted,
)
from molam.merchant.dispute_list_pages import reason_code
from molam.merchant.dispute_views import EvidenceKind, Sha256, Statement, UploadForm
from molam.payments.disputes import files, model, reasons
from molam.payments.disputes import queries as disputes
from molam.payments.disputes.commands import STATEMENT_LENGTH_MAX, Answer
from molam.payments.disputes.evidence import EvidenceAbsent
from molam.payments.disputes.files import FileRefused
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes, catalogue, idempotency
from molam.platform.web.l10n import parse_amount
from molam.platform.web.templating import language_of
from molam.platform.web.uploads import Upload

routes = Routes()

_SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.FORBIDDEN, Kind.BROKEN_RULE, Kind.MALFORMED})
_PATH = "/disputes/{id:path}"

Word = Annotated[str, Meta(max_length=32)]
Key = Annotated[str, Meta(min_length=1, max_length=64)]


class DisputeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Word | None = None


class FileForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: EvidenceKind = "other"
    description: Annotated[str, Meta(max_length=500)] = ""


class DraftForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    statement: Statement = ""
    then: Literal["stay", "review"] = "stay"


class SubmitForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    idempotency_key: Key
    manifest_sha256: Sha256


class AcceptForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    idempotency_key: Key
    confirmation: Annotated[str, Meta(max_length=64)] = ""


class NoForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


@routes.post(
    f"{_PATH}/evidence",
    needs=permissions.ANSWER_DISPUTES,
    page=True,
    form=True,
    upload=True,
    body=FileForm,
    body_bytes_max=BODY_BYTES_MAX,
    time_limit_s=UPLOAD_TIME_LIMIT_S,
    refuses=(*CLOSED, FileRefused),
)
async def add_file(
    request: Request, caller: Caller, form: FileForm, sent: Upload | None
) -> Response:
    """Add the file that somebody chose."""
    if sent is None:
        return await _show(request, caller, said="file-missing")
    fields = UploadForm(form.kind, form.description)

    async def work() -> str:
        _, is_new = await dispute_commands.add_file(
            request.app.state, caller, id_=_id(request), offered=offered_of(fields, sent)
        )
        return "file-added" if is_new else "file-known"

    return await _done(request, caller, work)


@routes.post(
    f"{_PATH}/evidence/{{file_id:uuid}}/remove",
    needs=permissions.ANSWER_DISPUTES,
    page=True,
    form=True,
    body=NoForm,
    refuses=(*CLOSED, EvidenceAbsent),
)
async def remove_file(request: Request, caller: Caller, _form: NoForm) -> Response:
    """Take a file out of the answer."""

    async def work() -> str:
        await dispute_commands.remove_file(
            request.app.state,
            caller,
            id_=_id(request),
            file_id=request.path_params["file_id"],
        )
        return "file-removed"

    return await _done(request, caller, work)


@routes.post(
    f"{_PATH}/draft",
    needs=permissions.ANSWER_DISPUTES,
    page=True,
    form=True,
    body=DraftForm,
    body_bytes_max=STATEMENT_LENGTH_MAX * 12,
    refuses=CLOSED,
)
async def save_draft(request: Request, caller: Caller, form: DraftForm) -> Response:
    """Keep the text, and go on to the review if that was asked for."""

    async def work() -> str:
        await dispute_commands.save_draft(
            request.app.state, caller, id_=_id(request), statement=form.statement
        )
        return "review" if form.then == "review" else "draft-saved"

    return await _done(request, caller, work)


@routes.get(
    f"{_PATH}/review",
    needs=permissions.ANSWER_DISPUTES,
    page=True,
    refuses=(model.DisputeAbsent,),
)
async def review_page(request: Request, caller: Caller) -> Response:
    """Show exactly what would be sent, before it is."""
    return await _review(request, caller)


@routes.post(
    f"{_PATH}/submit",
    needs=permissions.ANSWER_DISPUTES,
    page=True,
    form=True,
    body=SubmitForm,
    refuses=(*CLOSED, model.AnswerEmpty, model.AnswerChanged, *idempotency.REFUSES),
)
async def submit(request: Request, caller: Caller, form: SubmitForm) -> Response:
    """Send the answer that was reviewed, and no other."""

    async def work(tx: Tx) -> msgspec.Struct:
        answer = Answer(expected_sha256=form.manifest_sha256)
        return submitted(
            await dispute_commands.submit(
                tx, request.app.state, caller, id_=_id(request), answer=answer
            )
        )

    try:
        await idempotency.once_for_form(
            request,
            caller,
            operation="POST /disputes/{id}/submit",
            key=form.idempotency_key,
            asked=form,
            work=work,
        )
    except (model.AnswerChanged, model.AnswerEmpty) as refusal:
        return await _review(request, caller, refusal=refusal)
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return _back(request, "submitted")


@routes.post(
    f"{_PATH}/accept",
    needs=permissions.ACCEPT_DISPUTES,
    page=True,
    form=True,
    body=AcceptForm,
    refuses=(*CLOSED, model.ConfirmationWrong, *idempotency.REFUSES),
)
async def accept(request: Request, caller: Caller, form: AcceptForm) -> Response:
    """Concede the dispute once its amount has been typed."""

    async def work(tx: Tx) -> msgspec.Struct:
        dispute = await disputes.get(tx, merchant_id=caller.merchant, id_=_id(request))
        _confirm(dispute, form.confirmation)
        return accepted(
            await dispute_commands.accept(tx, request.app.state, caller, id_=dispute.id)
        )

    try:
        await idempotency.once_for_form(
            request,
            caller,
            operation="POST /disputes/{id}/accept",
            key=form.idempotency_key,
            asked=form,
            work=work,
        )
    except Refusal as refusal:
        return await _refused(request, caller, refusal, panel="accept")
    return _back(request, "accepted")


# Last: its path would match those above as well.
@routes.get(
    _PATH,
    needs=permissions.VIEW_DISPUTES,
    page=True,
    query=DisputeQuery,
    refuses=(model.DisputeAbsent,),
)
async def dispute_page(request: Request, caller: Caller, query: DisputeQuery) -> Response:
    """Show one dispute: what it is about, what it needs, what was sent, what happened."""
    return await _show(request, caller, said=query.said)


def _confirm(dispute: model.Dispute, typed: str) -> None:
    """
    Raises:
        ConfirmationWrong: it is not the dispute's amount.
    """
    try:
        amount = parse_amount(typed, currency(dispute.currency)).minor
    except AmountMalformed:
        amount = -1
    if amount != dispute.amount:
        raise model.ConfirmationWrong("Type the amount of the dispute as it is shown.")


def _id(request: Request) -> str:
    found: str = request.path_params["id"]
    return found


def _address(request: Request) -> str:
    return f"/disputes/{quote(_id(request), safe='')}"


def _back(request: Request, said: str) -> Response:
    # After a redirect a reload repeats nothing.
    place = "/review" if said == "review" else f"?said={said}"
    return RedirectResponse(_address(request) + place, status_code=HTTPStatus.SEE_OTHER)


async def _done(request: Request, caller: Caller, work: Callable[[], Awaitable[str]]) -> Response:
    """Do what a form asks and lead back to the page, or show there why it was not done."""
    try:
        return _back(request, await work())
    except Refusal as refusal:
        return await _refused(request, caller, refusal)


async def _refused(
    request: Request, caller: Caller, refusal: Refusal, *, panel: str | None = None
) -> Response:
    if refusal.kind not in _SHOWN_ON_PAGE:
        raise refusal
    return await _show(request, caller, refusal=refusal, panel=panel)


async def _show(
    request: Request,
    caller: Caller,
    *,
    said: str | None = None,
    refusal: Refusal | None = None,
    panel: str | None = None,
) -> Response:
    state, merchant_id = request.app.state, caller.merchant
    detail = await dispute_queries.detail(state.db, merchant_id=merchant_id, id_=_id(request))
    now = state.clock.now()
    due = detail.dispute.evidence_due_at
    answerable = detail.dispute.state is model.State.NEEDS_RESPONSE and (due is None or due > now)
    async with state.db.transaction(
        "merchant.dispute_balance", merchant_id=merchant_id, readonly=True
    ) as tx:
        balances = await ledger.balances_of(tx, merchant_id=merchant_id)
    code = detail.dispute.currency
    response = await frame.page(
        request,
        caller,
        "dispute.html",
        place="disputes",
        shop=await queries.settings_of(state.db, merchant_id=merchant_id),
        detail=detail,
        dispute=detail.dispute,
        reason=reason_code(detail.dispute.network_reason_code, detail.dispute.reason),
        address=_address(request),
        answerable=answerable,
        may_answer=answerable and frame.may(caller, permissions.ANSWER_DISPUTES),
        may_accept=answerable and frame.may(caller, permissions.ACCEPT_DISPUTES),
        balance=next((each.available for each in balances if each.currency == code), 0),
        prepared=detail.prepared[language_of(request, caller)],
        accept_types=files.ACCEPT,
        kinds=reasons.KINDS,
        files_max=files.FILES_MAX,
        form_key=proofs.form_key(),
        said=said,
        refused=_words(request, caller, refusal),
        panel=panel,
        now=now,
    )
    if refusal is not None or (said == "file-missing" and request.method == "POST"):
        response.status_code = HTTPStatus.CONFLICT
    return response


async def _review(request: Request, caller: Caller, *, refusal: Refusal | None = None) -> Response:
    state, merchant_id = request.app.state, caller.merchant
    detail = await dispute_queries.detail(state.db, merchant_id=merchant_id, id_=_id(request))
    now = state.clock.now()
    try:
        model.check_answerable(detail.dispute, now=now)
    except Refusal as closed:
        return await _refused(request, caller, closed)
    response = await frame.page(
        request,
        caller,
        "dispute_review.html",
        place="disputes",
        shop=await queries.settings_of(state.db, merchant_id=merchant_id),
        detail=detail,
        dispute=detail.dispute,
        address=_address(request),
        form_key=proofs.form_key(),
        refused=_words(request, caller, refusal),
        now=now,
        moment_of=moment_of,
    )
    if refusal is not None:
        response.status_code = HTTPStatus.CONFLICT
    return response


def moment_of(written: str) -> datetime | None:
    """Read a time as exhibits carry it; None for what is none, since merchants write some."""
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        return None
    return None if at.tzinfo is None else at


def _words(request: Request, caller: Caller, refusal: Refusal | None) -> dict[str, str] | None:
    """Say why something was not done, in the language of the page."""
    if refusal is None:
        return None
    language = language_of(request, caller)
    title = catalogue.sentence(refusal.code, fallback=refusal.title, locale=language)
    return {"title": title, "detail": refusal.detail if language == "en" else ""}
