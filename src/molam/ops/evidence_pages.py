"""Adding evidence to a risk-aware approval by a form, with scripts or without."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.model import ActionAbsent
from molam.approvals.risk import evidence, queries
from molam.approvals.risk.model import EvidenceRefused
from molam.kernel.refusals import Kind, Refusal
from molam.ops import permissions
from molam.ops.action_pages import back, id_of, show
from molam.ops.shell import Said
from molam.platform.web import Caller, Routes, catalogue
from molam.platform.web.templating import language_of
from molam.platform.web.uploads import Upload

routes = Routes()

# The file, and room for the fields and the lines between them.
BODY_BYTES_MAX = evidence.BYTES_MAX + 64 * 1024
_SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.BROKEN_RULE})


class EvidenceForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    description: Annotated[str, Meta(max_length=evidence.DESCRIPTION_LENGTH_MAX)] = ""


@routes.post(
    "/ops/actions/{id:uuid}/evidence",
    needs=permissions.ADD_EVIDENCE,
    page=True,
    form=True,
    upload=True,
    body=EvidenceForm,
    body_bytes_max=BODY_BYTES_MAX,
    refuses=(ActionAbsent, EvidenceRefused),
)
async def add_evidence(
    request: Request, caller: Caller, form: EvidenceForm, sent: Upload | None
) -> Response:
    """Keep a file that speaks for or against what is asked for."""
    state = request.app.state
    found = await queries.of_action(state.db, id_of(request))
    if found is None:
        raise ActionAbsent("No evidence can be added to it.")
    if sent is None:
        return await show(request, caller, message=Said("file-missing", "orange"))
    file = evidence.Evidence(
        file_name=sent.file_name,
        file_type=sent.media_type,
        content=sent.content,
        description=form.description.strip(),
    )
    try:
        await evidence.upload(state.db, state.desk.files, found.row.id, file, by=caller.subject)
    except Refusal as refusal:
        if refusal.kind not in _SHOWN_ON_PAGE:
            raise
        language = language_of(request, caller)
        name = catalogue.sentence(refusal.code, fallback=refusal.title, locale=language)
        detail = refusal.detail if language == "en" else ""
        message = Said(refusal.code, "orange", name, detail)
        return await show(request, caller, message=message)
    return back(request, "evidence-added")
