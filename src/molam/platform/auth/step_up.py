"""Asking a signed-in person to prove it is still them (RFC 9470)."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

from starlette.requests import Request

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.platform.auth.tokens import AAL2
from molam.platform.web.caller import Caller

STEP_UP_MAX_AGE_S = 300
NEXT_LENGTH_MAX = 4800
"""Of an address to come back to, with what was written there."""


class StepUpRequired(Refusal):
    code = "step-up-required"
    kind = Kind.STEP_UP
    title = "A stronger or fresher sign-in is required"


def require_step_up(caller: Caller, *, now: Instant, max_age_s: int = STEP_UP_MAX_AGE_S) -> None:
    """
    Demand two factors, proved less than *max_age_s* ago.

    Raises:
        StepUpRequired: one factor only, or too long ago; signing in again with
            the acr_values and max_age it carries is the remedy.
    """
    require_proof(acr=caller.acr, auth_time=caller.auth_time, now=now, max_age_s=max_age_s)


def require_proof(*, acr: str, auth_time: Instant | None, now: Instant, max_age_s: int) -> None:
    """
    Demand of a proof what `require_step_up` demands of a caller.

    Raises:
        StepUpRequired: as there.
    """
    fresh = auth_time is not None and now - auth_time <= timedelta(seconds=max_age_s)
    if acr != AAL2 or not fresh:
        raise StepUpRequired(
            "Confirm with your one-time code, then repeat the request.",
            acr_values=AAL2,
            max_age=max_age_s,
        )


def sign_in_address(following: str) -> str:
    """Where to prove once more who one is, to come back to *following*, less its query if long."""
    if len(following) > NEXT_LENGTH_MAX:
        following = following.partition("?")[0]
    asked = {"next": following, "acr_values": AAL2, "max_age": STEP_UP_MAX_AGE_S}
    return f"/sign-in?{urlencode(asked)}"


def step_up_address(request: Request, caller: Caller, following: str) -> str | None:
    """The same, unless the caller has just proved it."""
    try:
        require_step_up(caller, now=request.app.state.clock.now())
    except StepUpRequired:
        return sign_in_address(following)
    return None
