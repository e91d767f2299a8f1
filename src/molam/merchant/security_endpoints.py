"""The merchant API's security: how the caller signed in, where else, and what asks for more."""

from __future__ import annotations

from datetime import datetime

import msgspec
from starlette.requests import Request

from molam.merchant import permissions, trail
from molam.platform.auth import sessions
from molam.platform.auth.sessions import OpenSessionRow
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S
from molam.platform.auth.tokens import AAL2
from molam.platform.web import Caller, Routes

routes = Routes()

APP = "merchant"

SECOND_FACTOR = (
    "refund_above_threshold",
    "vote_on_money",
    "payout_schedule",
    "webhook_endpoints",
    "team",
    "looser_refund_rules",
)
"""What is only done right after a second factor was proved."""


class SessionView(msgspec.Struct):
    began_at: datetime
    seen_at: datetime
    ends_at: datetime
    ip: str | None
    user_agent: str | None
    second_factor: bool
    is_this: bool


class SecurityAnswer(msgspec.Struct):
    ok: bool
    second_factor: bool
    """Whether the caller proved two factors when they signed in."""
    signed_in_at: datetime | None
    second_factor_required_for: tuple[str, ...]
    second_factor_lasts_s: int
    sessions: list[SessionView]


class RevokedAnswer(msgspec.Struct):
    ok: bool
    ended: int


@routes.get("/api/merchant/security", needs=permissions.OWN_SECURITY, answers=SecurityAnswer)
async def security(request: Request, caller: Caller) -> SecurityAnswer:
    """Show how the caller signed in, and every browser they are signed in with."""
    return SecurityAnswer(
        ok=True,
        second_factor=caller.acr == AAL2,
        signed_in_at=caller.auth_time,
        second_factor_required_for=SECOND_FACTOR,
        second_factor_lasts_s=STEP_UP_MAX_AGE_S,
        sessions=[
            SessionView(
                each.created_at,
                each.seen_at,
                each.expires_at,
                each.ip,
                each.user_agent,
                second_factor=each.acr == AAL2,
                is_this=each.is_this,
            )
            for each in await sessions_of(request, caller)
        ],
    )


@routes.post(
    "/api/merchant/security/sessions/revoke",
    needs=permissions.OWN_SECURITY,
    answers=RevokedAnswer,
)
async def revoke_sessions(request: Request, caller: Caller) -> RevokedAnswer:
    """End the caller's other sessions; with a token, all of them. Tokens themselves run out."""
    return RevokedAnswer(ok=True, ended=await end_others(request, caller))


async def sessions_of(request: Request, caller: Caller) -> list[OpenSessionRow]:
    """List the caller's open sessions, this one first."""
    return await sessions.open_sessions(
        request.app.state.db, app=APP, subject=caller.subject, csrf=caller.csrf
    )


async def end_others(request: Request, caller: Caller) -> int:
    """Sign the caller out everywhere else, with a line in the trail."""
    db = request.app.state.money
    async with db.transaction("merchant.end_sessions", merchant_id=caller.merchant) as tx:
        ended = await sessions.end_other_sessions(
            tx, app=APP, subject=caller.subject, csrf=caller.csrf
        )
        if ended:
            await trail.record(
                tx,
                caller,
                action_type="sessions_ended",
                resource_type="person",
                resource_id=caller.subject,
                before={"other_sessions": ended},
                after={"other_sessions": 0},
            )
    return ended
