"""Arranging the home: each step a form, so that it works without a mouse and without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.ops.dashboard import layouts, permissions, widgets
from molam.ops.dashboard.layouts import Place, Step
from molam.ops.dashboard.model import WidgetAbsent
from molam.ops.dashboard.pages import ScopeForm, back_to_arranging, scope_of
from molam.ops.dashboard.widgets import Placed
from molam.platform.web import Caller, Routes

routes = Routes()

_WIDGETS_MAX = 60
_ID_LENGTH = 36


class StepForm(ScopeForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    widget_id: UUID
    step: Step


class OrderForm(ScopeForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    order: Annotated[str, Meta(max_length=(_ID_LENGTH + 1) * _WIDGETS_MAX)]
    """The widgets' ids as they were dropped, with commas between."""
    at: Annotated[str, Meta(max_length=_ID_LENGTH)] = ""


@routes.post(
    "/dashboard/arrange",
    needs=permissions.ARRANGE,
    page=True,
    form=True,
    body=StepForm,
    refuses=(WidgetAbsent,),
)
async def step(request: Request, caller: Caller, form: StepForm) -> Response:
    """Move one widget a step, change its size, hide it or show it again."""
    async with request.app.state.db.transaction("dashboard.arrange") as tx:
        await layouts.move(
            tx, caller.subject, caller.roles, widget_id=form.widget_id, step=form.step
        )
    return back_to_arranging(form, at=str(form.widget_id))


@routes.post(
    "/dashboard/order",
    needs=permissions.ARRANGE,
    page=True,
    form=True,
    body=OrderForm,
    refuses=(WidgetAbsent,),
)
async def order(request: Request, caller: Caller, form: OrderForm) -> Response:
    """Put the widgets in the order in which they were dropped."""
    wanted = form.order.split(",")
    async with request.app.state.db.transaction("dashboard.order") as tx:
        placed = await widgets.shown_to(
            tx, caller.subject, caller.roles, tenant=scope_of(form).tenant
        )
        await layouts.save(tx, caller.subject, ordered(placed, wanted))
    return back_to_arranging(form, at=form.at)


@routes.post("/dashboard/reset", needs=permissions.ARRANGE, page=True, form=True, body=ScopeForm)
async def reset(request: Request, caller: Caller, form: ScopeForm) -> Response:
    """Give the reader the usual page again."""
    async with request.app.state.db.transaction("dashboard.reset") as tx:
        await layouts.reset(tx, caller.subject)
    return back_to_arranging(form)


def ordered(placed: Sequence[Placed], wanted: Sequence[str]) -> list[Place]:
    """
    Lay widgets out from left to right in the order *wanted*, row after row.

    Sizes stay as they are. Names that are nobody's widget are passed over, and
    widgets that are not named come last: nothing can be lost by a page that is old.
    """
    ranks = {id_: rank for rank, id_ in enumerate(wanted)}
    shown = [each.place for each in placed if not each.hidden]
    shown.sort(key=lambda each: ranks.get(str(each.widget_id), len(ranks)))
    return [*layouts.flowed(shown), *(each.place for each in placed if each.hidden)]
