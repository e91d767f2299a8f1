"""The frame around every page of the merchant app: who is here, where, and what waits."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from molam.merchant import permissions, queries
from molam.platform.web import Caller, Permission
from molam.platform.web.templating import Templates

TEMPLATES = Templates("molam.merchant")
SIGN_OUT_PATH = "/auth/sign-out"
_COUNTED_MAX = 10

# The sections of the app, in the order of its menu, and what it takes to open each.
_PLACES: dict[str, Permission] = {
    "overview": permissions.VIEW_KPIS,
    "transactions": permissions.VIEW_TRANSACTIONS,
    "refunds": permissions.VIEW_REFUNDS,
    "disputes": permissions.VIEW_DISPUTES,
    "payouts": permissions.VIEW_PAYOUTS,
    "reports": permissions.VIEW_REPORTS,
    "alerts": permissions.VIEW_ALERTS,
    "settings": permissions.VIEW_SETTINGS,
}


def may(caller: Caller, permission: Permission) -> bool:
    """Tell whether *caller* may do what *permission* is about."""
    return bool(caller.roles & permission.roles)


async def page(
    request: Request,
    caller: Caller,
    name: str,
    *,
    place: str,
    shop: queries.MerchantSettings,
    live: bool | None = None,
    **context: object,
) -> Response:
    """Put the template *name* into the frame. *live* is None where nothing could move."""
    nav = {each: 0 for each, needs in _PLACES.items() if may(caller, needs)}
    if "alerts" in nav:
        waiting = await queries.alerts(
            request.app.state.db, merchant_id=caller.merchant, status="active", limit=_COUNTED_MAX
        )
        nav["alerts"] = len(waiting)
    return TEMPLATES.page(
        request,
        caller,
        name,
        shop=shop,
        live=live,
        nav=nav,
        place=place,
        sign_out_path=SIGN_OUT_PATH,
        **context,
    )
