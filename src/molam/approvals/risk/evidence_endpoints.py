"""Evidence over HTTP: files that speak for or against an approval."""

from __future__ import annotations

from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.risk import evidence as risk_evidence
from molam.approvals.risk import model
from molam.approvals.risk import queries as risk_queries
from molam.approvals.risk import views as risk_views
from molam.approvals.risk.endpoints import VIEW, desk_of
from molam.kernel.refusals import Outage
from molam.platform.web import Caller, Permission, Routes
from molam.platform.web.wire import MediaTypeRefused

routes = Routes()

ADD_EVIDENCE = Permission("approvals.add_evidence", VIEW.roles - {"auditor"})

FILE_NAME_HEADER = "x-file-name"
DESCRIPTION_HEADER = "x-description"


@routes.post(
    "/api/approvals/{id:uuid}/evidence",
    needs=ADD_EVIDENCE,
    answers=risk_views.EvidenceAnswer,
    status=201,
    body_bytes_max=risk_evidence.BYTES_MAX,
    refuses=(
        MediaTypeRefused,
        model.EvidenceRefused,
        model.ApprovalNotFound,
        model.ApprovalDecided,
    ),
)
async def add_evidence(request: Request, caller: Caller) -> risk_views.EvidenceAnswer:
    """
    Upload a file that speaks for or against: PDF, PNG, JPEG or plain text, up to 5 MB.

    The body is the file; X-File-Name names it and X-Description says what it is.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in risk_evidence.TYPES:
        accepted = ", ".join(risk_evidence.TYPES)
        raise MediaTypeRefused(f"Send one of {accepted}.", accepted=accepted)
    evidence = risk_evidence.Evidence(
        file_name=request.headers.get(FILE_NAME_HEADER, "evidence"),
        file_type=kind,
        content=await request.body(),
        description=request.headers.get(DESCRIPTION_HEADER, ""),
    )
    desk = desk_of(request)
    row = await risk_evidence.upload(
        desk.runtime.db,
        desk.files,
        request.path_params["id"],
        evidence,
        by=caller.subject,
    )
    return risk_views.EvidenceAnswer(True, risk_views.evidence(row))


@routes.get(
    "/api/approvals/{id:uuid}/evidence/{checksum}", needs=VIEW, refuses=(model.ApprovalNotFound,)
)
async def download_evidence(request: Request, _caller: Caller) -> Response:
    """Download a piece of evidence."""
    desk, approval_id = desk_of(request), request.path_params["id"]
    found = await risk_queries.detail(desk.runtime.db, approval_id)
    wanted = request.path_params["checksum"]
    row = next((each for each in found.evidence if each.checksum == wanted), None)
    if row is None:
        raise model.ApprovalNotFound("It has no such evidence.")
    try:
        content = await (await obstore.get_async(desk.files, row.storage_url)).bytes_async()
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    name = quote(row.file_name, safe="")
    return Response(
        bytes(content),
        media_type=row.file_type,
        # Never shown as a page of ours, whatever is in it.
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{name}"},
    )
