"""The security page: how the reader signed in, where else, and what asks for more."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.shown import plain
from molam.merchant import frame, permissions, proofs, queries
from molam.merchant.security_endpoints import SECOND_FACTOR, end_others, sessions_of
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, step_up_address
from molam.platform.auth.tokens import AAL2
from molam.platform.web import Caller, Routes

routes = Routes()

_HERE = "/settings/security"
_AGENT_SHOWN_MAX = 40
# In the order in which they must be looked for: most browsers claim to be Safari too.
_SIGNS = (
    (
        ("Firefox", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
    ),
    (
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ),
)


class SecurityQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ended: Annotated[int, Meta(ge=0, le=1000)] | None = None


@routes.get(_HERE, needs=permissions.OWN_SECURITY, page=True, query=SecurityQuery)
async def show(request: Request, caller: Caller, query: SecurityQuery) -> Response:
    """Show the caller's sign-in and open sessions."""
    return await frame.page(
        request,
        caller,
        "security.html",
        place="settings",
        shop=await queries.settings_of(request.app.state.db, merchant_id=caller.merchant),
        ended=query.ended,
        sessions=await sessions_of(request, caller),
        has_second_factor=caller.acr == AAL2,
        step_up=step_up_address(request, caller, _HERE),
        needs_second_factor=SECOND_FACTOR,
        lasts_minutes=STEP_UP_MAX_AGE_S // 60,
        aal2=AAL2,
        browser_of=browser_of,
    )


def browser_of(agent: str | None) -> str:
    """Name a browser and its system as people know them; nothing where nothing was said."""
    if not agent:
        return ""
    names = [next((name for sign, name in signs if sign in agent), "") for signs in _SIGNS]
    return " · ".join(filter(None, names)) or plain(agent)[:_AGENT_SHOWN_MAX]


@routes.post("/settings/security/sign-out", needs=permissions.OWN_SECURITY, page=True, form=True)
async def sign_out_elsewhere(request: Request, caller: Caller) -> Response:
    """End the caller's other sessions."""
    ended = await end_others(request, caller)
    return proofs.see(f"{_HERE}?ended={min(ended, 1000)}")
