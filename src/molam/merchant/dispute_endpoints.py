"""Disputes over the merchant API: what there is, evidence, and the answer."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.merchant import dispute_commands, dispute_queries, permissions, queries
from molam.merchant import dispute_views as views
from molam.merchant.endpoints import DateRangeMalformed, dates
from molam.payments.disputes import evidence, files, model
from molam.payments.disputes import queries as disputes
from molam.payments.disputes.commands import Answer, Submitted
from molam.payments.disputes.evidence import ChecksumDiffers, EvidenceAbsent, Offered, UploadAbsent
from molam.payments.disputes.evidence_store import EvidenceRow
from molam.payments.disputes.files import FileRefused
from molam.payments.disputes.model import Dispute
from molam.platform.db import Tx
from molam.platform.links import FileAbsent, attachment
from molam.platform.web import Caller, CursorRefused, Routes, idempotency
from molam.platform.web.uploads import Upload
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

# The file, and room for the fields and the lines between them.
BODY_BYTES_MAX = files.BYTES_MAX + 64 * 1024
UPLOAD_TIME_LIMIT_S = 120.0
"""Ten megabytes over a slow 3G line."""

CLOSED = (
    MerchantFrozen,
    model.DisputeAbsent,
    model.AnswerFinal,
    model.DeadlinePassed,
    model.DisputeNotOpen,
)
_PATH = "/api/merchant/disputes/{id:path}"


class FileMissing(FileRefused):
    code = "dispute-file-missing"
    title = "No file was sent"


@routes.get(
    "/api/merchant/disputes",
    needs=permissions.VIEW_DISPUTES,
    query=views.DisputesQuery,
    answers=views.DisputesView,
    refuses=(CursorRefused, DateRangeMalformed),
)
async def list_disputes(
    request: Request, caller: Caller, query: views.DisputesQuery
) -> views.DisputesView:
    """List disputes, newest first, or by deadline those that wait for an answer."""
    db, cursors = request.app.state.db, request.app.state.cursors
    merchant_id = caller.merchant
    from_at = to_at = None
    if query.from_ is not None or query.to is not None:
        shop = await queries.settings_of(db, merchant_id=merchant_id)
        from_at, to_at = dates(query.from_, query.to, shop.timezone)
    asked = msgspec.structs.asdict(query) | {"cursor": 0, "limit": 0}
    scope = ("disputes", merchant_id, asked)
    beyond = None
    if query.cursor is not None:
        beyond = cursors.open(query.cursor, disputes.Position, filters=scope)
    filters = disputes.Filters(
        query.state, query.status, query.transaction_id, query.waiting, from_at, to_at
    )
    page, at_risk = await dispute_queries.listed(
        db, merchant_id=merchant_id, filters=filters, beyond=beyond, limit=query.limit
    )
    following = None
    if page.has_more:
        following = cursors.seal(disputes.position_of(page.rows[-1], filters), filters=scope)
    return views.DisputesView(
        ok=True,
        limit=query.limit,
        rows=[views.listed_view(row) for row in page.rows],
        has_more=page.has_more,
        next_cursor=following,
        at_risk=[views.at_risk_view(row) for row in at_risk],
    )


@routes.post(
    f"{_PATH}/evidence",
    needs=permissions.ANSWER_DISPUTES,
    form=True,
    upload=True,
    body=views.UploadForm,
    answers=views.EvidenceAnswer,
    status=201,
    also=(200,),
    body_bytes_max=BODY_BYTES_MAX,
    time_limit_s=UPLOAD_TIME_LIMIT_S,
    refuses=(*CLOSED, FileRefused, FileMissing),
)
async def add_evidence(
    request: Request, caller: Caller, form: views.UploadForm, sent: Upload | None
) -> Response:
    """
    Upload one file that speaks for you: PDF, JPEG, PNG, WebP, HEIC or text, up to 10 MB.

    The same file again is the same evidence, answered with 200.
    """
    if sent is None:
        raise FileMissing("Send it in the field 'file'.")
    row, is_new = await dispute_commands.add_file(
        request.app.state,
        caller,
        id_=request.path_params["id"],
        offered=offered_of(form, sent),
    )
    return _evidence(request, row, is_new=is_new)


@routes.post(
    f"{_PATH}/evidence/link",
    needs=permissions.ANSWER_DISPUTES,
    body=views.LinkBody,
    answers=views.LinkAnswer,
    status=201,
    refuses=(*CLOSED, FileRefused),
)
async def ask_link(request: Request, caller: Caller, body: views.LinkBody) -> views.LinkAnswer:
    """
    Get a signed link to upload one file to, with PUT; confirm it afterwards.

    The link works for 15 minutes, or until the deadline if that is sooner.
    """
    place = await dispute_commands.ask_place(
        request.app.state,
        caller,
        id_=request.path_params["id"],
        kind=body.kind,
        file_name=body.file_name,
    )
    link = await request.app.state.links.sign(place.path, method="PUT", ttl_s=place.ttl_s)
    return views.LinkAnswer(True, place.id, "PUT", link.url, link.expires_at, files.BYTES_MAX)


@routes.post(
    f"{_PATH}/evidence/confirm",
    needs=permissions.ANSWER_DISPUTES,
    body=views.ConfirmBody,
    answers=views.EvidenceAnswer,
    status=201,
    also=(200,),
    time_limit_s=60.0,
    refuses=(*CLOSED, FileRefused, UploadAbsent, ChecksumDiffers),
)
async def confirm_link(request: Request, caller: Caller, body: views.ConfirmBody) -> Response:
    """Make evidence of what was uploaded to a link, if it has the SHA-256 you expect."""
    row, is_new = await dispute_commands.confirm_place(
        request.app.state,
        caller,
        id_=request.path_params["id"],
        upload_id=body.upload_id,
        sha256=body.sha256,
    )
    return _evidence(request, row, is_new=is_new)


@routes.get(
    f"{_PATH}/evidence/{{file_id:uuid}}",
    needs=permissions.VIEW_DISPUTES,
    time_limit_s=60.0,
    refuses=(EvidenceAbsent, FileAbsent),
)
async def download_evidence(request: Request, caller: Caller) -> Response:
    """Download a file of a dispute. It is never shown as a page of ours."""
    state, merchant_id = request.app.state, caller.merchant
    async with state.db.transaction(
        "merchant.dispute_file", merchant_id=merchant_id, readonly=True
    ) as tx:
        row = await evidence.find(
            tx,
            merchant_id=merchant_id,
            id_=request.path_params["id"],
            file_id=request.path_params["file_id"],
        )
    content = await evidence.read(state.files, row.path)
    if content is None:
        raise FileAbsent("Ask support, and quote the file's number.")
    return Response(
        content,
        media_type=row.media_type,
        headers={
            "Content-Disposition": attachment(row.file_name),
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "private, no-store",
        },
    )


@routes.delete(
    f"{_PATH}/evidence/{{file_id:uuid}}",
    needs=permissions.ANSWER_DISPUTES,
    answers=views.EvidenceAnswer,
    refuses=(*CLOSED, EvidenceAbsent),
)
async def remove_evidence(request: Request, caller: Caller) -> views.EvidenceAnswer:
    """Take a file out of what will be sent. It stays on record, marked as removed."""
    file_id: UUID = request.path_params["file_id"]
    id_ = request.path_params["id"]
    await dispute_commands.remove_file(request.app.state, caller, id_=id_, file_id=file_id)
    async with request.app.state.db.transaction(
        "merchant.dispute_file", merchant_id=caller.merchant, readonly=True
    ) as tx:
        row = await evidence.find(tx, merchant_id=caller.merchant, id_=id_, file_id=file_id)
    return views.EvidenceAnswer(True, views.evidence_view(id_, row))


@routes.put(
    f"{_PATH}/draft",
    needs=permissions.ANSWER_DISPUTES,
    body=views.DraftBody,
    answers=views.DisputeDetailView,
    refuses=CLOSED,
)
async def save_draft(
    request: Request, caller: Caller, body: views.DraftBody
) -> views.DisputeDetailView:
    """Keep the text of the answer; nothing is sent."""
    id_ = request.path_params["id"]
    await dispute_commands.save_draft(request.app.state, caller, id_=id_, statement=body.statement)
    return await _detail(request, caller, id_)


@routes.post(
    f"{_PATH}/submit",
    needs=permissions.ANSWER_DISPUTES,
    body=views.SubmitBody,
    answers=views.DisputeAnswer,
    refuses=(*CLOSED, model.AnswerEmpty, model.AnswerChanged, *idempotency.REFUSES),
)
async def submit(request: Request, caller: Caller, body: views.SubmitBody) -> Response:
    """Send the answer and all its files, once. It is final."""
    id_, statement = request.path_params["id"], body.statement
    if statement is None:
        # What the page would have sent: the prepared words, and never an empty answer.
        statement = await dispute_queries.unwritten_answer(
            request.app.state.db, merchant_id=caller.merchant, id_=id_
        )

    async def work(tx: Tx) -> views.DisputeAnswer:
        done = await dispute_commands.submit(
            tx,
            request.app.state,
            caller,
            id_=id_,
            answer=Answer(statement, body.expected_manifest_sha256),
        )
        return submitted(done)

    return await idempotency.once(
        request,
        caller,
        operation="POST /api/merchant/disputes/{id}/submit",
        asked=body,
        work=work,
    )


@routes.post(
    f"{_PATH}/accept",
    needs=permissions.ACCEPT_DISPUTES,
    body=views.AcceptBody,
    answers=views.DisputeAnswer,
    refuses=(*CLOSED, *idempotency.REFUSES),
)
async def accept(request: Request, caller: Caller, body: views.AcceptBody) -> Response:
    """Concede a dispute: the held amount goes to the customer. It is final."""

    async def work(tx: Tx) -> views.DisputeAnswer:
        dispute = await dispute_commands.accept(
            tx, request.app.state, caller, id_=request.path_params["id"]
        )
        return accepted(dispute)

    return await idempotency.once(
        request,
        caller,
        operation="POST /api/merchant/disputes/{id}/accept",
        asked=body,
        work=work,
    )


# Last: its path would match those above as well.
@routes.get(
    _PATH,
    needs=permissions.VIEW_DISPUTES,
    answers=views.DisputeDetailView,
    refuses=(model.DisputeAbsent,),
)
async def get_dispute(request: Request, caller: Caller) -> views.DisputeDetailView:
    """Show one dispute: what it needs, what was added, what was sent, what happened."""
    return await _detail(request, caller, request.path_params["id"])


def offered_of(form: views.UploadForm, sent: Upload) -> Offered:
    """Put together what came in the fields and the file."""
    return Offered(
        kind=form.kind,
        file_name=sent.file_name,
        content=sent.content,
        description=form.description.strip(),
    )


def submitted(done: Submitted) -> views.DisputeAnswer:
    """Write the answer to a submission."""
    manifest_files = done.submission.manifest.get("files")
    count = len(manifest_files) if isinstance(manifest_files, list) else 0
    at = done.submission.submitted_at
    return views.DisputeAnswer(
        True,
        views.dispute_view(done.dispute, files_count=count, updated_at=at),
        views.submission_view(done.submission),
    )


def accepted(dispute: Dispute) -> views.DisputeAnswer:
    """Write the answer to an acceptance."""
    at = dispute.resolved_at or dispute.opened_at
    return views.DisputeAnswer(True, views.dispute_view(dispute, files_count=0, updated_at=at))


async def _detail(request: Request, caller: Caller, id_: str) -> views.DisputeDetailView:
    found = await dispute_queries.detail(request.app.state.db, merchant_id=caller.merchant, id_=id_)
    return views.detail_view(found)


def _evidence(request: Request, row: EvidenceRow, *, is_new: bool) -> Response:
    view = views.EvidenceAnswer(True, views.evidence_view(request.path_params["id"], row))
    status: Literal[200, 201] = 201 if is_new else 200
    return Response(msgspec.json.encode(view), status_code=status, media_type="application/json")
