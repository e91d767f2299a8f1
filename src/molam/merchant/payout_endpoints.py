"""The merchant API of payouts: what is coming, what came, when and where to."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.clock import Instant
from molam.kernel.currency import UnknownCurrency, currency
from molam.merchant import payout_commands, permissions, queries, views
from molam.merchant import payout_views as shapes
from molam.merchant.queries import MerchantSettings
from molam.payments.payouts import model, settings
from molam.payments.payouts import queries as payouts
from molam.payments.payouts.calendar import Place, Schedule
from molam.payments.payouts.queries import EntryPosition, Position
from molam.platform.auth.step_up import StepUpRequired, require_step_up
from molam.platform.db import Database, Tx
from molam.platform.web import Caller, CursorRefused, Routes, idempotency
from molam.tenancy.queries import MerchantAbsent
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

_LIST = "/api/merchant/payouts"
_ONE = "/api/merchant/payouts/{id:path}"
_CANCEL = "/api/merchant/payouts/{id}/cancel"
_SCHEDULE = "/api/merchant/settings/payout-schedule"
_DESTINATION = "/api/merchant/settings/payout-destination"


@routes.get(
    _LIST,
    needs=permissions.VIEW_PAYOUTS,
    query=shapes.PayoutsQuery,
    answers=shapes.PayoutsView,
    refuses=(CursorRefused,),
)
async def list_payouts(request: Request, caller: Caller, query: shapes.PayoutsQuery) -> Response:
    """List what is paid next and when, the payouts under way, and those that have ended."""
    db, cursors, merchant_id = request.app.state.db, request.app.state.cursors, caller.merchant
    wanted = list(model.State) if query.status is None else list(shapes.STATUSES[query.status])
    states = [state.value for state in wanted]
    scope = (merchant_id, {"payouts": query.status})
    beyond = None
    if query.cursor is not None:
        beyond = cursors.open(query.cursor, Position, filters=scope)
    async with db.transaction("merchant.payouts", merchant_id=merchant_id, readonly=True) as tx:
        forecast = await payouts.forecasts(tx, merchant_id=merchant_id)
        upcoming = await payouts.upcoming(tx, merchant_id=merchant_id, states=states)
        page = await payouts.history(
            tx,
            merchant_id=merchant_id,
            states=[state.value for state in wanted if state in model.ENDED],
            beyond=beyond,
            limit=query.limit,
            offset=0 if beyond else (query.page - 1) * query.limit,
        )
    last = page.rows[-1] if page.rows and page.has_more else None
    view = shapes.PayoutsView(
        ok=True,
        forecast=[shapes.forecast_view(each) for each in forecast],
        upcoming=[shapes.payout_view(row) for row in upcoming],
        history=[shapes.payout_view(row) for row in page.rows],
        page=query.page,
        limit=query.limit,
        has_more=page.has_more,
        next_cursor=None
        if last is None
        else cursors.seal(Position(last.occurred_at, last.id), filters=scope),
    )
    return Response(views.encode(view), media_type="application/json")


@routes.post(
    _LIST,
    needs=permissions.CHANGE_PAYOUTS,
    body=shapes.PayoutRequest,
    answers=shapes.PayoutAnswer,
    status=201,
    refuses=(
        *idempotency.REFUSES,
        MerchantFrozen,
        MerchantAbsent,
        UnknownCurrency,
        model.NoDestination,
        model.NothingToPay,
        model.PayoutAmountChanged,
    ),
)
async def request_payout(request: Request, caller: Caller, body: shapes.PayoutRequest) -> Response:
    """Pay out now what can be paid, whatever the schedule. Safe to repeat with a key."""
    state = request.app.state
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)

    async def work(tx: Tx) -> shapes.PayoutAnswer:
        made = await payout_commands.request(
            tx, caller, body, default=shop.default_currency, now=state.clock.now()
        )
        return shapes.PayoutAnswer(ok=True, payout=shapes.payout_view(made))

    return await idempotency.once(
        request, caller, operation=f"POST {_LIST}", asked=body, work=work, status=201
    )


@routes.post(
    _CANCEL,
    needs=permissions.CHANGE_PAYOUTS,
    answers=shapes.PayoutAnswer,
    refuses=(
        *idempotency.REFUSES,
        MerchantFrozen,
        MerchantAbsent,
        model.PayoutAbsent,
        model.PayoutNotInState,
    ),
)
async def cancel_payout(request: Request, caller: Caller) -> Response:
    """Put the money of a payout that was not sent yet back into the balance."""
    now, id_ = request.app.state.clock.now(), request.path_params["id"]

    async def work(tx: Tx) -> shapes.PayoutAnswer:
        row = await payout_commands.cancel(tx, caller, id_, now=now)
        return shapes.PayoutAnswer(ok=True, payout=shapes.payout_view(row))

    return await idempotency.once(
        request, caller, operation=f"POST {_CANCEL}", asked=None, work=work
    )


# After its own sub-paths: an id from outside may hold slashes.
@routes.get(
    _ONE,
    needs=permissions.VIEW_PAYOUTS,
    query=shapes.PayoutQuery,
    answers=shapes.PayoutDetailView,
    refuses=(model.PayoutAbsent, CursorRefused),
)
async def payout(
    request: Request, caller: Caller, query: shapes.PayoutQuery
) -> shapes.PayoutDetailView:
    """Show one payout: what it pays, line by line, its timeline, and why it waits."""
    cursors, merchant_id = request.app.state.cursors, caller.merchant
    id_ = request.path_params["id"]
    scope = (merchant_id, {"payout": id_})
    beyond = None
    if query.cursor is not None:
        beyond = cursors.open(query.cursor, EntryPosition, filters=scope)
    found = await read_detail(
        request.app.state.db, merchant_id, id_, beyond=beyond, limit=query.limit
    )
    next_cursor = None
    if found.entries.has_more:
        last = found.entries.rows[-1]
        next_cursor = cursors.seal(EntryPosition(last.occurred_at, last.transfer_id), filters=scope)
    return shapes.detail_view(found, next_cursor=next_cursor)


async def read_detail(
    db: Database, merchant_id: str, id_: str, *, beyond: EntryPosition | None, limit: int
) -> payouts.Detail:
    """
    Raises:
        model.PayoutAbsent: the merchant has no such payout.
    """
    async with db.transaction("merchant.payout", merchant_id=merchant_id, readonly=True) as tx:
        return await payouts.detail(
            tx, merchant_id=merchant_id, payout_id=id_, beyond=beyond, limit=limit
        )


@routes.get(
    _SCHEDULE,
    needs=permissions.VIEW_PAYOUTS,
    answers=shapes.SchedulesView,
    refuses=(MerchantAbsent,),
)
async def read_schedules(request: Request, caller: Caller) -> shapes.SchedulesView:
    """Show when the merchant is paid, in each of its currencies, and the next dates."""
    state, merchant_id = request.app.state, caller.merchant
    shop = await queries.settings_of(state.db, merchant_id=merchant_id)
    async with state.db.transaction(
        "merchant.payout_schedules", merchant_id=merchant_id, readonly=True
    ) as tx:
        forecasts = await payouts.schedules_of(tx, merchant_id=merchant_id)
    place, now = place_of(shop), state.clock.now()
    return shapes.SchedulesView(
        ok=True,
        schedules=[
            shapes.schedule_view(code, each, place, settings.preview(each, place, now))
            for code, each in forecasts.items()
        ],
    )


@routes.put(
    _SCHEDULE,
    needs=permissions.CHANGE_PAYOUTS,
    body=shapes.ScheduleRequest,
    answers=shapes.ScheduleAnswer,
    refuses=(
        *idempotency.REFUSES,
        StepUpRequired,
        MerchantFrozen,
        MerchantAbsent,
        UnknownCurrency,
        model.ScheduleMissing,
        model.ScheduleInvalid,
    ),
)
async def change_schedule(
    request: Request, caller: Caller, body: shapes.ScheduleRequest
) -> Response:
    """Change when the merchant is paid. It takes a fresh second factor."""
    state, now = request.app.state, request.app.state.clock.now()
    require_step_up(caller, now=now)
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)
    place = place_of(shop)

    async def work(tx: Tx) -> shapes.ScheduleAnswer:
        code, schedule = await payout_commands.set_schedule(
            tx, caller, body, place=place, default=shop.default_currency, now=now
        )
        return shapes.ScheduleAnswer(ok=True, schedule=_shown(code, schedule, place, now=now))

    return await idempotency.once(
        request, caller, operation=f"PUT {_SCHEDULE}", asked=body, work=work
    )


@routes.get(
    _DESTINATION,
    needs=permissions.VIEW_PAYOUTS,
    answers=shapes.DestinationsView,
)
async def read_destinations(request: Request, caller: Caller) -> shapes.DestinationsView:
    """Show where the merchant is paid; of account numbers, the last four characters."""
    state, merchant_id = request.app.state, caller.merchant
    async with state.db.transaction(
        "merchant.payout_destinations", merchant_id=merchant_id, readonly=True
    ) as tx:
        rows = await settings.destinations_of(tx, merchant_id)
    now = state.clock.now()
    return shapes.DestinationsView(
        ok=True, destinations=[shapes.setting_view(row, now) for row in rows]
    )


@routes.put(
    _DESTINATION,
    needs=permissions.CHANGE_PAYOUTS,
    body=shapes.DestinationRequest,
    answers=shapes.DestinationAnswer,
    refuses=(
        *idempotency.REFUSES,
        StepUpRequired,
        MerchantFrozen,
        MerchantAbsent,
        UnknownCurrency,
        model.DestinationRefused,
    ),
)
async def change_destination(
    request: Request, caller: Caller, body: shapes.DestinationRequest
) -> Response:
    """
    Change where the merchant is paid. It takes a fresh second factor.

    All administrators are told, and payouts to the new account wait for a day.
    """
    state, now = request.app.state, request.app.state.clock.now()
    require_step_up(caller, now=now)
    shop = await queries.settings_of(state.db, merchant_id=caller.merchant)
    code = currency(body.currency or shop.default_currency).code

    async def work(tx: Tx) -> shapes.DestinationAnswer:
        await payout_commands.set_destination(tx, caller, body.destination, code=code, now=now)
        rows = await settings.destinations_of(tx, caller.merchant)
        (row,) = (each for each in rows if each.currency == code)
        return shapes.DestinationAnswer(ok=True, destination=shapes.setting_view(row, now))

    return await idempotency.once(
        request, caller, operation=f"PUT {_DESTINATION}", asked=body, work=work
    )


def place_of(shop: MerchantSettings) -> Place:
    """Tell where a merchant is, as far as its days and its banks are concerned."""
    return Place(shop.timezone, shop.country)


def _shown(code: str, schedule: Schedule, place: Place, *, now: Instant) -> shapes.ScheduleView:
    return shapes.schedule_view(code, schedule, place, settings.preview(schedule, place, now))
