"""The pages of webhooks: the endpoints, one of them with its log, and one delivery."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.clock import Instant
from molam.kernel.refusals import Refusal
from molam.merchant import permissions, webhook_commands
from molam.merchant import webhook_screens as screens
from molam.merchant.proofs import see
from molam.merchant.webhook_forms import EndpointForm, ReplayForm
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.web import Caller, CursorRefused, Routes
from molam.webhooks.model import EventUnknown
from molam.webhooks.subscriptions import DeliveryAbsent, EndpointAbsent

routes = Routes()

_ROOT = screens.ROOT
_NEEDS = permissions.MANAGE_WEBHOOKS


@routes.get(_ROOT, needs=_NEEDS, page=True, query=screens.ListQuery)
async def endpoints(request: Request, caller: Caller, query: screens.ListQuery) -> Response:
    """List the endpoints with how they are doing, and the form that adds one."""
    return await screens.show_list(request, caller, said=query.said)


@routes.post(
    _ROOT,
    needs=_NEEDS,
    page=True,
    form=True,
    body=EndpointForm,
    refuses=webhook_commands.ADD_REFUSES,
)
async def add(request: Request, caller: Caller, form: EndpointForm) -> Response:
    """Add an endpoint and show its secret, this once."""
    state = request.app.state
    try:
        row, secret = await webhook_commands.add(
            state, caller, form.wanted(), now=state.clock.now()
        )
    except StepUpRequired:
        return screens.sign_in_again(_ROOT)
    except Refusal as refusal:
        return await screens.show_list(request, caller, refused=refusal, form=form)
    return await screens.show(request, caller, row.id, extra=screens.Extra(secret=secret))


@routes.get(_ROOT + "/deliveries/{id:uuid}", needs=_NEEDS, page=True, refuses=(DeliveryAbsent,))
async def delivery(request: Request, caller: Caller) -> Response:
    """Show one delivery: what was sent, and every attempt."""
    return await screens.show_delivery(request, caller)


@routes.post(
    _ROOT + "/deliveries/{id:uuid}/replay",
    needs=_NEEDS,
    page=True,
    form=True,
    refuses=webhook_commands.REPLAY_REFUSES,
)
async def replay_delivery(request: Request, caller: Caller) -> Response:
    """Send one delivery again, and show it on its way."""
    state, id_ = request.app.state, request.path_params["id"]
    try:
        await webhook_commands.replay(state, caller, id_, now=state.clock.now())
    except Refusal as refusal:
        return await screens.show_delivery(request, caller, refused=refusal)
    return see(f"{_ROOT}/deliveries/{id_}")


@routes.get(
    _ROOT + "/{id}",
    needs=_NEEDS,
    page=True,
    query=screens.DetailQuery,
    refuses=(EndpointAbsent, DeliveryAbsent, CursorRefused, EventUnknown),
)
async def endpoint(request: Request, caller: Caller, query: screens.DetailQuery) -> Response:
    """Show one endpoint: its health, its log, and what can be done with it."""
    return await screens.show(request, caller, request.path_params["id"], query=query)


@routes.post(
    _ROOT + "/{id}/change",
    needs=_NEEDS,
    page=True,
    form=True,
    body=EndpointForm,
    refuses=webhook_commands.EDIT_REFUSES,
)
async def change(request: Request, caller: Caller, form: EndpointForm) -> Response:
    """Change an endpoint."""
    state, id_ = request.app.state, request.path_params["id"]
    try:
        await webhook_commands.change(state, caller, id_, form.wanted(), now=state.clock.now())
    except Refusal as refusal:
        return await screens.show_refused(request, caller, id_, refusal, form=form)
    return _back(id_, "changed")


@routes.post(
    _ROOT + "/{id}/test",
    needs=_NEEDS,
    page=True,
    form=True,
    refuses=webhook_commands.TEST_REFUSES,
)
async def test(request: Request, caller: Caller) -> Response:
    """Send a test, and show what comes of it."""
    state, id_ = request.app.state, request.path_params["id"]
    try:
        delivery_id = await webhook_commands.test(state, caller, id_, now=state.clock.now())
    except Refusal as refusal:
        return await screens.show_refused(request, caller, id_, refusal)
    return see(f"{_ROOT}/{id_}?{urlencode({'tested': delivery_id})}#test")


@routes.post(
    _ROOT + "/{id}/rotate",
    needs=_NEEDS,
    page=True,
    form=True,
    refuses=(*webhook_commands.CHANGE_REFUSES, EndpointAbsent),
)
async def rotate(request: Request, caller: Caller) -> Response:
    """Make a new secret and show it, this once."""
    state, id_ = request.app.state, request.path_params["id"]
    try:
        _, secret = await webhook_commands.rotate(state, caller, id_, now=state.clock.now())
    except Refusal as refusal:
        return await screens.show_refused(request, caller, id_, refusal)
    return await screens.show(
        request, caller, id_, extra=screens.Extra(secret=secret, rotated=True)
    )


@routes.post(
    _ROOT + "/{id}/enable",
    needs=_NEEDS,
    page=True,
    form=True,
    refuses=(*webhook_commands.CHANGE_REFUSES, EndpointAbsent),
)
async def enable(request: Request, caller: Caller) -> Response:
    """Switch the endpoint on."""
    return await _switched(request, caller, on=True)


@routes.post(
    _ROOT + "/{id}/disable",
    needs=_NEEDS,
    page=True,
    form=True,
    refuses=(*webhook_commands.CHANGE_REFUSES, EndpointAbsent),
)
async def disable(request: Request, caller: Caller) -> Response:
    """Switch the endpoint off."""
    return await _switched(request, caller, on=False)


@routes.post(
    _ROOT + "/{id}/delete",
    needs=_NEEDS,
    page=True,
    form=True,
    refuses=(*webhook_commands.CHANGE_REFUSES, EndpointAbsent),
)
async def delete(request: Request, caller: Caller) -> Response:
    """Delete the endpoint."""
    state, id_ = request.app.state, request.path_params["id"]
    try:
        await webhook_commands.delete(state, caller, id_, now=state.clock.now())
    except Refusal as refusal:
        return await screens.show_refused(request, caller, id_, refusal)
    return see(f"{_ROOT}?said=deleted")


@routes.post(
    _ROOT + "/{id}/replay",
    needs=_NEEDS,
    page=True,
    form=True,
    body=ReplayForm,
    refuses=webhook_commands.REPLAY_REFUSES,
)
async def replay(request: Request, caller: Caller, form: ReplayForm) -> Response:
    """Send again what the endpoint missed."""
    state, id_ = request.app.state, request.path_params["id"]
    now: Instant = state.clock.now()
    try:
        count = await webhook_commands.replay_since(
            state, caller, id_, since=now - form.reach, everything=False, now=now
        )
    except Refusal as refusal:
        return await screens.show_refused(request, caller, id_, refusal)
    return _back(id_, "replayed" if count else "nothing-to-replay")


async def _switched(request: Request, caller: Caller, *, on: bool) -> Response:
    state, id_ = request.app.state, request.path_params["id"]
    try:
        await webhook_commands.switch(state, caller, id_, on=on, now=state.clock.now())
    except Refusal as refusal:
        return await screens.show_refused(request, caller, id_, refusal)
    return _back(id_, "enabled" if on else "disabled")


def _back(id_: str, said: screens.Said) -> Response:
    return see(f"{_ROOT}/{id_}?said={said}")
