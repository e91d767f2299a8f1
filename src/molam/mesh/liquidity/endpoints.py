"""Positions, forecasts, plans and transfers over HTTP, under /api/mesh/liquidity."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.approvals import commands as engine
from molam.approvals.model import NewAction, TwinOpen, Unsatisfiable
from molam.approvals.requests import actor_of, runtime_of
from molam.kernel.money import MINOR_MAX
from molam.mesh.liquidity import flows, model, planning, plans, position_store, queries, views
from molam.mesh.liquidity import transfers as moving
from molam.mesh.members import regions
from molam.mesh.members.model import RegionAbsent
from molam.mesh.permissions import DRAW, VIEW
from molam.platform.actions import UnknownActionType
from molam.platform.web import Caller, Routes
from molam.platform.web.rate_limits import MESH_PLAN, RateLimited, take
from molam.platform.web.wire import CurrencyCode, Identifier

routes = Routes()

PLAN_ACTION = "EXECUTE_PLAN"
BODY_BYTES_MAX = 1024 * 1024
TIME_LIMIT_S = 75.0

Days = Annotated[int, Meta(ge=1, le=model.FORECAST_DAYS_MAX)]
Limit = Annotated[int, Meta(ge=1, le=100)]


class PositionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None


class ForecastsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier | None = None
    currency: CurrencyCode | None = None
    measure: Literal["net_outflow", "peak_outflow"] = "net_outflow"
    days: Days = model.FORECAST_DAYS_MAX


class FloorBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    bank_profile_id: Identifier
    currency: CurrencyCode
    minimum_float: Annotated[int, Meta(ge=0, le=MINOR_MAX)]


class HistoryBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """*csv*: day,net_outflow[,peak_outflow], one line a day, whole minor units."""

    bank_profile_id: Identifier
    currency: CurrencyCode
    csv: Annotated[str, Meta(max_length=512 * 1024)]


class PlanBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None
    days: Days = planning.DAYS


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Limit = 20


class Done(msgspec.Struct):
    ok: bool = True


@routes.get(
    "/api/mesh/liquidity/positions",
    needs=VIEW,
    query=PositionsQuery,
    answers=views.PositionsAnswer,
    refuses=(RegionAbsent,),
)
async def list_positions(
    request: Request, _caller: Caller, query: PositionsQuery
) -> views.PositionsAnswer:
    """List what we have at each bank in each currency, and what is on its way."""
    region = query.mesh_region_id
    async with request.app.state.db.transaction("mesh.positions", readonly=True) as tx:
        if region is not None:
            region = (await regions.get(tx, region)).id
        found = await queries.positions_in(tx, region=region)
    return views.PositionsAnswer(True, [views.position(each) for each in found])


@routes.post(
    "/api/mesh/liquidity/floors",
    needs=DRAW,
    body=FloorBody,
    answers=Done,
    refuses=(model.BankAccountAbsent,),
)
async def set_floor(request: Request, caller: Caller, body: FloorBody) -> Done:
    """Say what must stay at a bank in a currency."""
    async with request.app.state.db.transaction("mesh.set_floor") as tx:
        account = {"bank_profile_id": body.bank_profile_id, "currency": body.currency}
        if not await tx.all(position_store.HAS_ACCOUNT, **account):
            raise model.BankAccountAbsent("Accounts are listed among the positions.")
        await tx.run(
            position_store.PUT_FLOOR,
            **account,
            minimum_float=body.minimum_float,
            by=caller.subject,
        )
    return Done()


@routes.get(
    "/api/mesh/liquidity/forecasts",
    needs=VIEW,
    query=ForecastsQuery,
    answers=views.ForecastsAnswer,
)
async def list_forecasts(
    request: Request, _caller: Caller, query: ForecastsQuery
) -> views.ForecastsAnswer:
    """List what each day to come may take: half, nine in ten and 97.5 % of days take less."""
    rows = await queries.forecasts(
        request.app.state.db,
        bank_profile_id=query.bank_profile_id,
        currency=query.currency,
        measure=query.measure,
        days=query.days,
    )
    return views.ForecastsAnswer(True, [views.forecast(row) for row in rows])


@routes.post(
    "/api/mesh/liquidity/forecasts/generate",
    needs=DRAW,
    answers=views.MadeAnswer,
    refuses=(RateLimited,),
    time_limit_s=TIME_LIMIT_S,
)
async def make_forecasts(request: Request, caller: Caller) -> views.MadeAnswer:
    """Add the last days up and forecast every account anew, as each night does."""
    db = request.app.state.db
    await take(db, MESH_PLAN, caller)
    await flows.roll_up(db)
    return views.MadeAnswer(True, await flows.forecast(db))


@routes.post(
    "/api/mesh/liquidity/history",
    needs=DRAW,
    body=HistoryBody,
    answers=views.MadeAnswer,
    body_bytes_max=BODY_BYTES_MAX,
    refuses=(model.BankAccountAbsent, model.HistoryRefused),
)
async def import_history(request: Request, _caller: Caller, body: HistoryBody) -> views.MadeAnswer:
    """Take in days of an account from before the ledger's; what the ledger knows stays."""
    async with request.app.state.db.transaction("mesh.import_history") as tx:
        days = await flows.import_history(tx, body.bank_profile_id, body.currency, body.csv)
    return views.MadeAnswer(True, days)


@routes.get("/api/mesh/liquidity/plans", needs=VIEW, query=ListQuery, answers=views.PlansAnswer)
async def list_plans(request: Request, _caller: Caller, query: ListQuery) -> views.PlansAnswer:
    """List plans of moving money between banks, newest first."""
    rows = await queries.plans(request.app.state.db, limit=query.limit)
    return views.PlansAnswer(True, [views.plan(row) for row in rows])


@routes.post(
    "/api/mesh/liquidity/plans",
    needs=DRAW,
    body=PlanBody,
    answers=views.PlanAnswer,
    status=201,
    time_limit_s=TIME_LIMIT_S,
    refuses=(RegionAbsent, RateLimited),
)
async def make_plan(request: Request, caller: Caller, body: PlanBody) -> views.PlanAnswer:
    """Plan anew from what is known now; nothing moves until the plan is carried out."""
    await take(request.app.state.db, MESH_PLAN, caller)
    id_ = await planning.make(
        request.app.state.db,
        region=body.mesh_region_id,
        days=body.days,
        by=caller.subject,
        now=request.app.state.mesh.clock.now(),
    )
    return await _plan(request, id_)


@routes.get(
    "/api/mesh/liquidity/plans/{id}",
    needs=VIEW,
    answers=views.PlanAnswer,
    refuses=(model.PlanAbsent,),
)
async def show_plan(request: Request, _caller: Caller) -> views.PlanAnswer:
    """Show a plan: its steps, why each, and what every account holds before and after."""
    return await _plan(request, request.path_params["id"])


@routes.post(
    "/api/mesh/liquidity/plans/{id}/execute",
    needs=DRAW,
    answers=views.AskedAnswer,
    status=202,
    refuses=(*plans.REFUSES, Unsatisfiable, TwinOpen, UnknownActionType),
)
async def ask_for_plan(request: Request, caller: Caller) -> views.AskedAnswer:
    """Ask for a plan to be carried out; others must agree to it first."""
    return await ask(request, caller, request.path_params["id"])


@routes.get(
    "/api/mesh/liquidity/transfers", needs=VIEW, query=ListQuery, answers=views.TransfersAnswer
)
async def list_transfers(
    request: Request, _caller: Caller, query: ListQuery
) -> views.TransfersAnswer:
    """List transfers between our banks, those on their way first."""
    rows = await queries.transfers(request.app.state.db, limit=query.limit)
    return views.TransfersAnswer(True, [views.transfer(row) for row in rows])


@routes.post(
    "/api/mesh/liquidity/transfers/{id}/receive",
    needs=DRAW,
    answers=views.TransferAnswer,
    refuses=(model.TransferAbsent,),
)
async def receive_transfer(request: Request, caller: Caller) -> views.TransferAnswer:
    """Say that a transfer has arrived, where no statement says so; again changes nothing."""
    state = request.app.state
    async with state.db.transaction("mesh.receive_transfer") as tx:
        row = await moving.receive(
            tx, request.path_params["id"], by=caller.subject, at=state.mesh.clock.now()
        )
    return views.TransferAnswer(True, views.transfer(row))


async def ask(request: Request, caller: Caller, plan_id: str) -> views.AskedAnswer:
    """
    Put a plan to those who must agree.

    Raises:
        PlanAbsent, PlanNotReady: it cannot be carried out.
        Unsatisfiable: nobody could agree.
    """
    db = request.app.state.db
    async with db.transaction("mesh.check_plan", readonly=True) as tx:
        await plans.summary(tx, plan_id)
    created = await engine.create(
        runtime_of(request),
        NewAction(
            origin="module",
            origin_id=plan_id,
            action_type=PLAN_ACTION,
            params={"plan_id": plan_id},
            idempotency_key=f"execute-plan-{plan_id}",
        ),
        actor_of(caller),
    )
    action_id = str(created.row.id)
    async with db.transaction("mesh.plan_waits") as tx:
        await plans.mark_waiting(tx, plan_id, action_id=action_id)
    return views.AskedAnswer(True, plan_id, action_id, created.row.state)


async def _plan(request: Request, plan_id: str) -> views.PlanAnswer:
    db = request.app.state.db
    async with db.transaction("mesh.show_plan", readonly=True) as tx:
        row = await plans.get(tx, plan_id)
    rows = await queries.steps(db, plan_id)
    return views.PlanAnswer(True, views.plan(row), views.steps(rows), row.effects)
