"""Passkeys under /api/ops: registering them, and the challenge for one vote."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import passkey_votes, passkeys, permissions
from molam.approvals.drafts import read_id
from molam.approvals.endpoints import answered
from molam.approvals.model import ActionAbsent, FieldsRefused, StaleView, VoteRequest
from molam.approvals.passkey_wire import LABEL_LENGTH_MAX, Attestation
from molam.approvals.passkeys import (
    CHALLENGE_S,
    PasskeyAbsent,
    PasskeyMalformed,
    passkey_json,
)
from molam.approvals.requests import actor_of
from molam.approvals.wire import Answer, Hash
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, StepUpRequired, require_step_up
from molam.platform.web import Caller, Routes
from molam.platform.web.rate_limits import OPS_READ, OPS_VOTE, RateLimited, take

routes = Routes()


class PasskeyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    label: Annotated[str, Meta(min_length=1, max_length=LABEL_LENGTH_MAX)]
    credential: Attestation


class ConfirmBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is about to be voted, and what the voter was shown."""

    vote: Literal["approve", "reject", "abstain", "withdrawn"]
    intent_hash: Hash | None = None
    view_hash: Hash | None = None


@routes.get("/api/ops/passkeys", needs=permissions.PASSKEYS, answers=Answer, refuses=(RateLimited,))
async def list_passkeys(request: Request, caller: Caller) -> Response:
    """List the caller's passkeys."""
    headers = await take(request.app.state.db, OPS_READ, caller)
    rows = await passkeys.listed(request.app.state.db, caller.subject)
    return answered({"passkeys": [passkey_json(row) for row in rows], "count": len(rows)}, headers)


@routes.post(
    "/api/ops/passkeys/challenge",
    needs=permissions.PASSKEYS,
    answers=Answer,
    refuses=(StepUpRequired, RateLimited),
)
async def begin(request: Request, caller: Caller) -> Response:
    """Answer the options for a new passkey; right after a sign-in with a second factor."""
    state = request.app.state
    headers = await take(state.db, OPS_VOTE, caller)
    require_step_up(caller, now=state.clock.now())
    options = await passkeys.begin_registration(
        state.db, state.passkeys, person=caller.subject, name=caller.name
    )
    return answered({"options": options}, headers)


@routes.post(
    "/api/ops/passkeys",
    needs=permissions.PASSKEYS,
    body=PasskeyBody,
    answers=Answer,
    status=201,
    refuses=(PasskeyMalformed, StepUpRequired, RateLimited),
)
async def register(request: Request, caller: Caller, body: PasskeyBody) -> Response:
    """Keep the passkey that a browser has made from the options."""
    state = request.app.state
    headers = await take(state.db, OPS_VOTE, caller)
    # The challenge was given for a fresh proof, and may be answered until it is over.
    require_step_up(caller, now=state.clock.now(), max_age_s=STEP_UP_MAX_AGE_S + CHALLENGE_S)
    row = await passkeys.register(
        state.db, state.passkeys, actor_of(caller), given=body.credential, label=body.label
    )
    return answered({"passkey": passkey_json(row)}, headers, status=201)


@routes.delete(
    "/api/ops/passkeys/{credential_id}",
    needs=permissions.PASSKEYS,
    answers=Answer,
    refuses=(PasskeyAbsent, StepUpRequired, RateLimited),
)
async def remove(request: Request, caller: Caller) -> Response:
    """Forget one of the caller's passkeys."""
    state = request.app.state
    headers = await take(state.db, OPS_VOTE, caller)
    now = state.clock.now()
    require_step_up(caller, now=now)
    await passkeys.remove(state.db, actor_of(caller), request.path_params["credential_id"], now=now)
    return answered({}, headers)


@routes.post(
    "/api/ops/actions/{action_id}/passkey/challenge",
    needs=permissions.VOTE,
    body=ConfirmBody,
    answers=Answer,
    refuses=(ActionAbsent, StaleView, PasskeyAbsent, FieldsRefused, RateLimited),
)
async def confirm(request: Request, caller: Caller, body: ConfirmBody) -> Response:
    """Answer the options with which a passkey confirms one vote, and the hashes to send with it."""
    state = request.app.state
    headers = await take(state.db, OPS_VOTE, caller)
    asked = await passkey_votes.begin_vote(
        state.db,
        state.passkeys,
        actor_of(caller),
        read_id(request.path_params["action_id"]),
        asked=VoteRequest(**msgspec.structs.asdict(body)),
        locale=caller.locale,
    )
    return answered(
        {
            "options": asked.options,
            "intent_hash": asked.intent_hash,
            "view_hash": asked.view_hash,
        },
        headers,
    )
