"""The merchant API of webhooks: endpoints, their secrets, the log, tests and sending again."""

from __future__ import annotations

from starlette.requests import Request

from molam.merchant import permissions, webhook_commands
from molam.merchant import webhook_views as views
from molam.platform.web import Caller, CursorRefused, Routes
from molam.webhooks import queries
from molam.webhooks.model import EVENTS, TEST_EVENT, EventUnknown, canonical_event
from molam.webhooks.store import EndpointRow
from molam.webhooks.subscriptions import (
    OVERLAP_HOURS,
    DeliveryAbsent,
    EndpointAbsent,
    Wanted,
)

routes = Routes()

_ROOT = "/api/merchant/webhooks"
_NEEDS = permissions.MANAGE_WEBHOOKS


@routes.get(_ROOT, needs=_NEEDS, answers=views.WebhooksAnswer)
async def webhooks(request: Request, caller: Caller) -> views.WebhooksAnswer:
    """List the endpoints, and what they may subscribe to."""
    rows = await queries.endpoints(request.app.state.db, caller.merchant)
    return views.WebhooksAnswer(True, [views.webhook_view(row) for row in rows], list(EVENTS))


@routes.post(
    _ROOT,
    needs=_NEEDS,
    body=views.NewWebhook,
    answers=views.WebhookSecretAnswer,
    status=201,
    refuses=webhook_commands.ADD_REFUSES,
)
async def add_webhook(
    request: Request, caller: Caller, body: views.NewWebhook
) -> views.WebhookSecretAnswer:
    """Add an endpoint. Its secret is in this answer and never shown again. Second factor."""
    wanted = Wanted(body.url, body.events, body.description, body.retry_schedule)
    state = request.app.state
    row, secret = await webhook_commands.add(state, caller, wanted, now=state.clock.now())
    return views.WebhookSecretAnswer(True, views.webhook_view(row), secret.reveal())


@routes.get(
    _ROOT + "/deliveries/{id:uuid}",
    needs=_NEEDS,
    answers=views.DeliveryAnswer,
    refuses=(DeliveryAbsent,),
)
async def delivery(request: Request, caller: Caller) -> views.DeliveryAnswer:
    """Show one delivery with its attempts. What the receiver answered is not kept."""
    row, attempts = await queries.delivery(
        request.app.state.db, caller.merchant, request.path_params["id"]
    )
    return views.DeliveryAnswer(
        True, views.delivery_view(row), [views.attempt_view(each) for each in attempts]
    )


@routes.post(
    _ROOT + "/deliveries/{id:uuid}/replay",
    needs=_NEEDS,
    answers=views.DeliveryAnswer,
    status=202,
    refuses=webhook_commands.REPLAY_REFUSES,
)
async def replay_delivery(request: Request, caller: Caller) -> views.DeliveryAnswer:
    """Send one delivery again, under the same webhook-id and with all its retries."""
    state = request.app.state
    row = await webhook_commands.replay(
        state, caller, request.path_params["id"], now=state.clock.now()
    )
    return views.DeliveryAnswer(True, views.delivery_view(row), [])


@routes.get(_ROOT + "/{id}", needs=_NEEDS, answers=views.WebhookAnswer, refuses=(EndpointAbsent,))
async def webhook(request: Request, caller: Caller) -> views.WebhookAnswer:
    """Show one endpoint."""
    row = await queries.endpoint(request.app.state.db, caller.merchant, request.path_params["id"])
    return views.WebhookAnswer(True, views.webhook_view(row))


@routes.put(
    _ROOT + "/{id}",
    needs=_NEEDS,
    body=views.WebhookChange,
    answers=views.WebhookAnswer,
    refuses=webhook_commands.EDIT_REFUSES,
)
async def change_webhook(
    request: Request, caller: Caller, body: views.WebhookChange
) -> views.WebhookAnswer:
    """Change an endpoint; what is left out stays. Second factor."""
    state, id_ = request.app.state, request.path_params["id"]
    before = await queries.endpoint(state.db, caller.merchant, id_)
    row = await webhook_commands.change(
        state, caller, id_, changed(before, body), now=state.clock.now()
    )
    return views.WebhookAnswer(True, views.webhook_view(row))


@routes.delete(
    _ROOT + "/{id}",
    needs=_NEEDS,
    answers=views.WebhookAnswer,
    refuses=(*webhook_commands.CHANGE_REFUSES, EndpointAbsent),
)
async def delete_webhook(request: Request, caller: Caller) -> views.WebhookAnswer:
    """Delete an endpoint and its secrets; answers what it was. Second factor."""
    state = request.app.state
    row = await webhook_commands.delete(
        state, caller, request.path_params["id"], now=state.clock.now()
    )
    return views.WebhookAnswer(True, views.webhook_view(row))


@routes.post(
    _ROOT + "/{id}/enable",
    needs=_NEEDS,
    answers=views.WebhookAnswer,
    refuses=(*webhook_commands.CHANGE_REFUSES, EndpointAbsent),
)
async def enable_webhook(request: Request, caller: Caller) -> views.WebhookAnswer:
    """Switch an endpoint on. What was skipped is sent only when asked for. Second factor."""
    return await _switched(request, caller, on=True)


@routes.post(
    _ROOT + "/{id}/disable",
    needs=_NEEDS,
    answers=views.WebhookAnswer,
    refuses=(*webhook_commands.CHANGE_REFUSES, EndpointAbsent),
)
async def disable_webhook(request: Request, caller: Caller) -> views.WebhookAnswer:
    """Switch an endpoint off; what waits for it is skipped. Second factor."""
    return await _switched(request, caller, on=False)


@routes.post(
    _ROOT + "/{id}/secret/rotate",
    needs=_NEEDS,
    answers=views.WebhookSecretAnswer,
    refuses=(*webhook_commands.CHANGE_REFUSES, EndpointAbsent),
)
async def rotate_secret(request: Request, caller: Caller) -> views.WebhookSecretAnswer:
    """Make a new secret; the one before signs as well for a day. Second factor."""
    state = request.app.state
    row, secret = await webhook_commands.rotate(
        state, caller, request.path_params["id"], now=state.clock.now()
    )
    return views.WebhookSecretAnswer(
        True, views.webhook_view(row), secret.reveal(), previous_valid_hours=OVERLAP_HOURS
    )


@routes.post(
    _ROOT + "/{id}/test",
    needs=_NEEDS,
    answers=views.TestAnswer,
    status=202,
    refuses=webhook_commands.TEST_REFUSES,
)
async def test_webhook(request: Request, caller: Caller) -> views.TestAnswer:
    """Send one `webhook.test` to the endpoint, active or not."""
    state = request.app.state
    delivery_id = await webhook_commands.test(
        state, caller, request.path_params["id"], now=state.clock.now()
    )
    return views.TestAnswer(True, delivery_id, f"{_ROOT}/deliveries/{delivery_id}")


@routes.get(
    _ROOT + "/{id}/deliveries",
    needs=_NEEDS,
    query=views.DeliveriesQuery,
    answers=views.DeliveriesAnswer,
    refuses=(EndpointAbsent, CursorRefused, EventUnknown),
)
async def deliveries(
    request: Request, caller: Caller, query: views.DeliveriesQuery
) -> views.DeliveriesAnswer:
    """List what the endpoint got, newest first, for 90 days."""
    state, id_ = request.app.state, request.path_params["id"]
    await queries.endpoint(state.db, caller.merchant, id_)
    narrowing = queries.Narrowing(query.state, named(query.event))
    scope = ("webhooks", caller.merchant, id_, narrowing.state, narrowing.event)
    beyond = None
    if query.cursor is not None:
        beyond = state.cursors.open(query.cursor, int, filters=scope)
    log = await queries.deliveries(
        state.db, caller.merchant, id_, narrowing, beyond=beyond, limit=query.limit
    )
    cursor = None
    if log.has_more:
        cursor = state.cursors.seal(log.rows[-1].sequence, filters=scope)
    return views.DeliveriesAnswer(
        True, [views.delivery_view(row) for row in log.rows], log.has_more, cursor
    )


@routes.post(
    _ROOT + "/{id}/replay",
    needs=_NEEDS,
    body=views.ReplaySince,
    answers=views.ReplayAnswer,
    status=202,
    refuses=webhook_commands.REPLAY_REFUSES,
)
async def replay_since(
    request: Request, caller: Caller, body: views.ReplaySince
) -> views.ReplayAnswer:
    """Send again what the endpoint missed since then, or all of it."""
    state = request.app.state
    count = await webhook_commands.replay_since(
        state,
        caller,
        request.path_params["id"],
        since=body.since,
        everything=body.what == "all",
        now=state.clock.now(),
    )
    return views.ReplayAnswer(True, count)


def named(event: str | None) -> str | None:
    """Read an event's name in a filter; tests may be looked for as well."""
    return event if event in {None, TEST_EVENT} else canonical_event(event or "")


def changed(before: EndpointRow, body: views.WebhookChange) -> Wanted:
    """Say what an endpoint is to be after a change that may leave things out."""
    return Wanted(
        url=before.url if body.url is None else body.url,
        events=before.events if body.events is None else body.events,
        description=before.description if body.description is None else body.description,
        retry_schedule=body.retry_schedule or before.retry_schedule,
    )


async def _switched(request: Request, caller: Caller, *, on: bool) -> views.WebhookAnswer:
    state = request.app.state
    row = await webhook_commands.switch(
        state, caller, request.path_params["id"], on=on, now=state.clock.now()
    )
    return views.WebhookAnswer(True, views.webhook_view(row))
