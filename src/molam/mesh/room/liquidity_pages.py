"""Pools in the control room: what each holds, who gives and owes, and drawing from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args
from urllib.parse import quote
from uuid import uuid4

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.model import Unsatisfiable
from molam.approvals.requests import actor_of
from molam.kernel.currency import UnknownCurrency, currency
from molam.kernel.money import AmountMalformed
from molam.kernel.refusals import Refusal
from molam.mesh.liquidity import model, pool_making, pools, queries
from molam.mesh.liquidity.pool_store import BankRow, MovementRow, PoolRow, ShareRow
from molam.mesh.members import regions
from molam.mesh.members.model import RegionAbsent
from molam.mesh.permissions import DRAW, USE_ROOM
from molam.mesh.room import frame
from molam.mesh.room.asked import names_of, waiting_of
from molam.mesh.room.saying import missing, refused_as, said_as, to, unprocessable
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes, idempotency
from molam.platform.web.framing import Said
from molam.platform.web.l10n import parse_amount
from molam.platform.web.problems import RouteAbsent
from molam.platform.web.wire import Identifier

routes = Routes()

Act = Literal["draw", "contribute", "return"]
_ACTS = frozenset(get_args(Act))
Typed = Annotated[str, Meta(max_length=32)]
Why = Annotated[str, Meta(max_length=model.REASON_LENGTH_MAX)]
_MOVEMENTS_MAX = 50


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class PoolQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With *act* and *amount*, what would happen is shown before anything does."""

    said: Annotated[str, Meta(max_length=32)] | None = None
    act: Act | None = None
    bank: Identifier | None = None
    amount: Typed | None = None
    reason: Why | None = None
    draw: Identifier | None = None


class MoveForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank: Identifier
    amount: Typed
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=64)]
    reason: Why = ""
    draw: Identifier | None = None


class PoolForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pool as it was typed: what does not fit is shown again, with why."""

    region: Identifier = ""
    name: Annotated[str, Meta(max_length=140)] = ""
    currency: Annotated[str, Meta(max_length=3)] = ""
    bank_1: Identifier = ""
    bank_2: Identifier = ""
    bank_3: Identifier = ""
    bank_4: Identifier = ""
    bank_5: Identifier = ""
    bank_6: Identifier = ""
    max_single_draw: Typed = ""
    daily_draw_limit: Typed = ""

    @property
    def banks(self) -> list[str]:
        chosen = (
            self.bank_1,
            self.bank_2,
            self.bank_3,
            self.bank_4,
            self.bank_5,
            self.bank_6,
        )
        return [each for each in dict.fromkeys(chosen) if each]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person is about to do with a pool, and what it would do."""

    act: Act
    bank: str
    typed: str
    reason: str
    draw: str | None
    amount: int
    effect: pools.Effect | None
    key: str


@dataclass(frozen=True, slots=True)
class PoolPage:
    pool: PoolRow
    shares: list[tuple[ShareRow, model.Share]]
    movements: list[MovementRow]
    banks: dict[str, BankRow]
    asked: Asked | None


@routes.get("/liquidity", needs=USE_ROOM, page=True, query=ListQuery)
async def liquidity(request: Request, caller: Caller, query: ListQuery) -> Response:
    """List pools, and offer to make one."""
    return await _list(request, caller, said=said_as(query.said))


@routes.post(
    "/liquidity",
    needs=DRAW,
    page=True,
    form=True,
    body=PoolForm,
    refuses=(model.PoolRefused, RegionAbsent, UnknownCurrency, AmountMalformed),
)
async def make_pool(request: Request, caller: Caller, form: PoolForm) -> Response:
    """Make an empty pool."""
    state = request.app.state
    for field, given in (("name", form.name.strip()), ("bank_1", form.banks)):
        if not given:
            said = missing(request, caller, field)
            return unprocessable(await _list(request, caller, said=said, asked=form))
    try:
        unit = currency(form.currency)
        asked = pool_making.NewPool(
            id=None,
            mesh_region_id=form.region,
            name=form.name.strip(),
            currency=form.currency,
            participants=form.banks,
            max_single_draw=_optional(form.max_single_draw, unit.code),
            daily_draw_limit=_optional(form.daily_draw_limit, unit.code),
        )
        async with state.db.transaction("mesh.make_pool") as tx:
            row = await pool_making.create(tx, asked, now=state.mesh.clock.now())
    except AmountMalformed as mistyped:
        is_first = mistyped.facts.get("value") == form.max_single_draw
        field = "max_single_draw" if is_first else "daily_draw_limit"
        said = refused_as(request, caller, mistyped, field=field)
        return unprocessable(await _list(request, caller, said=said, asked=form))
    except Refusal as refusal:
        said = refused_as(request, caller, refusal, names_others=True)
        return unprocessable(await _list(request, caller, said=said, asked=form))
    return to(_address(row.id), "pool-made")


@routes.get(
    "/liquidity/{id}",
    needs=USE_ROOM,
    page=True,
    query=PoolQuery,
    refuses=(model.PoolAbsent,),
)
async def pool(request: Request, caller: Caller, query: PoolQuery) -> Response:
    """Show a pool, and what a draw would do before it is asked for."""
    try:
        return await _pool(request, caller, query, said=said_as(query.said))
    except AmountMalformed as refusal:
        said = refused_as(request, caller, refusal)
        return unprocessable(await _pool(request, caller, PoolQuery(), said=said))


@routes.post(
    "/liquidity/{id}/{act}",
    needs=DRAW,
    page=True,
    form=True,
    body=MoveForm,
    refuses=(
        model.PoolAbsent,
        model.DrawAbsent,
        model.DrawRefused,
        Unsatisfiable,
        AmountMalformed,
        *idempotency.REFUSES,
    ),
)
async def move(request: Request, caller: Caller, form: MoveForm) -> Response:
    """Pay in, draw, or give back."""
    pool_id, act = request.path_params["id"], request.path_params["act"]
    try:
        done = await _moved(request, caller, form)
    except Refusal as refusal:
        said = refused_as(request, caller, refusal)
        return unprocessable(await _pool(request, caller, PoolQuery(), said=said))
    if done.row.state == "waiting":
        return to(_address(pool_id), "draw-asked")
    return to(_address(pool_id), {"draw": "drawn", "contribute": "paid-in"}.get(act, "given-back"))


async def _moved(request: Request, caller: Caller, form: MoveForm) -> pools.Done:
    state = request.app.state
    act = request.path_params["act"]
    if act not in _ACTS:
        raise RouteAbsent("A pool is drawn from, paid into, or given back to.")
    async with state.db.transaction("mesh.move_pool") as tx:
        found = await pools.get(tx, request.path_params["id"])
        asked = pools.Asked(
            pool_id=found.id,
            bank_profile_id=form.bank,
            amount=parse_amount(form.amount, currency(found.currency)).minor,
            reason=form.reason.strip() or caller.name[:200],
            key=form.idempotency_key,
            draw_id=form.draw,
        )
        if asked.amount < 1:
            raise pools.refused_for(model.Breach("amount", 0))
        if act == "draw":
            return await pools.draw(tx, state.mesh, asked, actor_of(caller))
        if act == "contribute":
            return await pools.contribute(tx, state.mesh, asked, by=caller.subject)
        if form.draw is None:
            raise model.DrawAbsent("Name the draw that is given back.")
        return await pools.give_back(tx, state.mesh, asked, by=caller.subject)


async def _list(
    request: Request, caller: Caller, *, said: Said | None, asked: PoolForm | None = None
) -> Response:
    db = request.app.state.db
    async with db.transaction("mesh.list_regions", readonly=True) as tx:
        known = await regions.all_of(tx)
    return await frame.page(
        request,
        caller,
        "liquidity.html",
        place="liquidity",
        rows=await queries.pools(db),
        regions=known,
        banks=await queries.banks(db),
        asked=asked or PoolForm(),
        acts=frame.may(caller, DRAW),
        said=said,
    )


async def _pool(
    request: Request, caller: Caller, query: PoolQuery, *, said: Said | None
) -> Response:
    db, id_ = request.app.state.db, request.path_params["id"]
    async with db.transaction("mesh.show_pool", readonly=True) as tx:
        row = await pools.get(tx, id_)
        asked = await _asked(tx, row, query)
    shares = await queries.shares(db, id_)
    page = PoolPage(
        row,
        [(each, pools.share_of(each)) for each in shares],
        await queries.movements(db, id_, limit=_MOVEMENTS_MAX),
        {each.id: each for each in await queries.banks(db)},
        asked,
    )
    return await frame.page(
        request,
        caller,
        "pool.html",
        place="liquidity",
        page=page,
        people=await names_of(db, (each.created_by for each in page.movements)),
        asked_for=await waiting_of(request, caller, pools.DRAW_ACTION),
        ops_url=request.app.state.ops_url,
        acts=frame.may(caller, DRAW),
        said=said,
    )


async def _asked(tx: Tx, row: PoolRow, query: PoolQuery) -> Asked | None:
    if query.act is None or query.bank is None or query.amount is None:
        return None
    amount = parse_amount(query.amount, currency(row.currency)).minor
    effect = None
    if query.act == "draw":
        effect = await pools.rehearse(tx, row.id, query.bank, amount)
    return Asked(
        query.act,
        query.bank,
        query.amount,
        query.reason or "",
        query.draw,
        amount,
        effect,
        uuid4().hex,
    )


def _optional(typed: str, code: str) -> int | None:
    if not typed.strip():
        return None
    minor = parse_amount(typed, currency(code)).minor
    if minor < 1:
        raise AmountMalformed("A limit of nothing would let nothing pass.", value=typed)
    return minor


def _address(pool_id: str) -> str:
    return f"/liquidity/{quote(pool_id, safe='')}"
