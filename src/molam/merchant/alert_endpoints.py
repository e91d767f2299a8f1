"""Settling alerts, by API and from the page."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.merchant import alert_commands, permissions, views
from molam.merchant.commands import AlertAbsent
from molam.platform.web import Caller, Routes

routes = Routes()


class Settle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``resolved``: it was dealt with; ``dismissed``: it needs nothing."""

    status: Literal["resolved", "dismissed"]


@routes.post(
    "/api/merchant/alerts/{id:uuid}/settle",
    needs=permissions.ACKNOWLEDGE_ALERTS,
    body=Settle,
    answers=views.AlertAnswer,
    refuses=(AlertAbsent,),
)
async def settle_alert(request: Request, caller: Caller, body: Settle) -> views.AlertAnswer:
    """Take an alert off the list, with who did and why. Safe to repeat: the first word stays."""
    alert = await alert_commands.settle(
        request.app.state.money, caller, request.path_params["id"], status=body.status
    )
    return views.AlertAnswer(ok=True, alert=views.alert_view(alert))


@routes.post(
    "/alerts/{id:uuid}/settle",
    needs=permissions.ACKNOWLEDGE_ALERTS,
    page=True,
    form=True,
    body=Settle,
    refuses=(AlertAbsent,),
)
async def settle(request: Request, caller: Caller, form: Settle) -> Response:
    """Do the same, and show what is left."""
    await alert_commands.settle(
        request.app.state.money, caller, request.path_params["id"], status=form.status
    )
    return RedirectResponse("/alerts", status_code=HTTPStatus.SEE_OTHER)
