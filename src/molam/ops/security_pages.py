"""How somebody proves who they are: their passkeys, and their one-time code."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from webauthn.helpers import bytes_to_base64url

from molam.approvals import passkeys
from molam.approvals import permissions as engine
from molam.approvals.passkey_wire import CredentialId, read_attestation
from molam.approvals.passkeys import (
    CHALLENGE_S,
    PASSKEYS_MAX,
    PasskeyAbsent,
    PasskeyMalformed,
)
from molam.ops import permissions, propose_pages
from molam.ops.propose_pages import Refused, actor_of
from molam.ops.shell import Said, framed, said
from molam.platform.auth.step_up import (
    STEP_UP_MAX_AGE_S,
    StepUpRequired,
    require_step_up,
    step_up_address,
)
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of

routes = Routes()

_HERE = "/ops/security"


class SecurityQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class Added(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page's script fills in once the browser has made the passkey."""

    label: Annotated[str, Meta(max_length=255)] = ""
    credential: Annotated[str, Meta(max_length=48_000)] = ""


class Removed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    credential_id: CredentialId


@routes.get(_HERE, needs=permissions.USE_CONSOLE, page=True, query=SecurityQuery)
async def show(request: Request, caller: Caller, query: SecurityQuery) -> Response:
    """Show the caller's passkeys, and how to add one."""
    return await _page(request, caller, message=said(query.said))


@routes.post(
    "/ops/security/passkeys",
    needs=engine.PASSKEYS,
    page=True,
    form=True,
    body=Added,
    refuses=(PasskeyMalformed, StepUpRequired),
)
async def add(request: Request, caller: Caller, form: Added) -> Response:
    """Keep a passkey that the browser has made."""
    state = request.app.state
    # The challenge was given for a fresh proof, and may be answered until it is over.
    require_step_up(caller, now=state.clock.now(), max_age_s=STEP_UP_MAX_AGE_S + CHALLENGE_S)
    try:
        given = read_attestation(form.credential)
        await passkeys.register(
            state.db, state.passkeys, actor_of(caller), given=given, label=form.label
        )
    except PasskeyMalformed as refusal:
        response = await _page(
            request, caller, refused=propose_pages.refused(refusal, language_of(request, caller))
        )
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
        return response
    return _back("passkey-added")


@routes.post(
    "/ops/security/passkeys/remove",
    needs=engine.PASSKEYS,
    page=True,
    form=True,
    body=Removed,
    refuses=(PasskeyAbsent, StepUpRequired),
)
async def remove(request: Request, caller: Caller, form: Removed) -> Response:
    """Forget a passkey."""
    state = request.app.state
    now = state.clock.now()
    require_step_up(caller, now=now)
    await passkeys.remove(state.db, actor_of(caller), form.credential_id, now=now)
    return _back("passkey-removed")


def _back(code: str) -> Response:
    return RedirectResponse(f"{_HERE}?said={code}", status_code=HTTPStatus.SEE_OTHER)


async def _page(
    request: Request,
    caller: Caller,
    *,
    message: Said | None = None,
    refused: Refused | None = None,
) -> Response:
    known = await passkeys.listed(request.app.state.db, caller.subject)
    return await framed(
        request,
        caller,
        "security.html",
        place="security",
        passkeys=[(bytes_to_base64url(row.credential_id), row) for row in known],
        may_add=len(known) < PASSKEYS_MAX,
        step_up=step_up_address(request, caller, _HERE),
        said=message,
        refused=refused,
    )
