"""A corridor in the control room: what it carries, and what the regions have settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import currency
from molam.kernel.money import AmountMalformed
from molam.kernel.refusals import Refusal
from molam.mesh.federation import corridor_store as store
from molam.mesh.federation import corridors, model, settlements
from molam.mesh.federation.corridor_store import CorridorRow, SettlementRow, UnroutedRow
from molam.mesh.members import regions
from molam.mesh.permissions import FEDERATE, USE_ROOM
from molam.mesh.room import frame
from molam.mesh.room.asked import names_of
from molam.mesh.room.saying import missing, refused_as, said_as, to, unprocessable
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said
from molam.platform.web.l10n import parse_amount

routes = Routes()

Typed = Annotated[str, Meta(max_length=32)]
Reference = Annotated[str, Meta(max_length=140)]


class CorridorQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With *amount*, what the settlement would do is shown before anything is noted."""

    said: Annotated[str, Meta(max_length=32)] | None = None
    amount: Typed | None = None
    reference: Reference = ""


class SettlementForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reference is its key: the same reference and amount again is the same settlement."""

    amount: Typed = ""
    reference: Reference = ""


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


@dataclass(frozen=True, slots=True)
class Asked:
    """A settlement that somebody is about to note; *amount* is None until it can be read."""

    typed: str
    reference: str
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class CorridorPage:
    row: CorridorRow
    settled: list[SettlementRow]
    unrouted: UnroutedRow | None
    names: dict[str, str]

    @property
    def title(self) -> str:
        return " → ".join(self.names.get(each, each) for each in self.row.path)

    def free(self, settled: int = 0) -> int:
        """Say what it can take, once *settled* of what it has carried is settled."""
        row = self.row
        position = row.position - settled
        return max(model.Room(row.cover, row.net_debit_cap, position, row.reserved).free, 0)


@routes.get(
    "/federation/corridors/{id}",
    needs=USE_ROOM,
    page=True,
    query=CorridorQuery,
    refuses=(model.CorridorAbsent,),
)
async def corridor(request: Request, caller: Caller, query: CorridorQuery) -> Response:
    """Show a corridor, and what a settlement would do before it is noted."""
    if query.amount is None:
        return await _page(request, caller, said=said_as(query.said))
    asked = Asked(query.amount, query.reference.strip())
    return await _tried(request, caller, asked)


@routes.post(
    "/federation/corridors/{id}/settlements",
    needs=FEDERATE,
    page=True,
    form=True,
    body=SettlementForm,
    refuses=(model.CorridorAbsent, model.SettlementRefused, AmountMalformed),
)
async def note(request: Request, caller: Caller, form: SettlementForm) -> Response:
    """Note what was paid for what a corridor carried; somebody else confirms it."""
    state, id_ = request.app.state, request.path_params["id"]
    asked = Asked(form.amount, form.reference.strip())
    if not asked.reference:
        return await _tried(request, caller, asked)
    try:
        async with state.db.transaction("federation.record_settlement") as tx:
            row = await corridors.get(tx, id_)
            await settlements.record(
                tx,
                id_,
                amount=_amount(asked.typed, row),
                reference=asked.reference,
                by=caller.subject,
                now=state.mesh.clock.now(),
            )
    except AmountMalformed:
        return await _tried(request, caller, asked)
    except Refusal as refusal:
        said = refused_as(request, caller, refusal, field="reference")
        return unprocessable(await _page(request, caller, said=said, asked=asked))
    return to(_address(id_), "settlement-noted")


@routes.post(
    "/federation/corridors/{id}/settlements/{settlement_id}/confirm",
    needs=FEDERATE,
    page=True,
    form=True,
    body=NoFields,
    refuses=(model.CorridorAbsent, model.SettlementAbsent, model.SettlementRefused),
)
async def confirm(request: Request, caller: Caller, _form: NoFields) -> Response:
    """Let a settlement count: the corridor can take that much again."""
    id_ = request.path_params["id"]
    try:
        async with request.app.state.db.transaction("federation.confirm_settlement") as tx:
            await settlements.confirm(
                tx, id_, request.path_params["settlement_id"], by=caller.subject
            )
    except Refusal as refusal:
        said = refused_as(request, caller, refusal)
        return unprocessable(await _page(request, caller, said=said))
    return to(_address(id_), "settlement-confirmed")


async def _tried(request: Request, caller: Caller, asked: Asked) -> Response:
    """Show what a settlement would do, or what of it does not fit."""
    async with request.app.state.db.transaction("mesh.try_settlement", readonly=True) as tx:
        row = await corridors.get(tx, request.path_params["id"])
    try:
        amount = _amount(asked.typed, row)
    except AmountMalformed as mistyped:
        said = refused_as(request, caller, mistyped, field="amount")
        return unprocessable(await _page(request, caller, said=said, asked=asked))
    if not asked.reference:
        said = missing(request, caller, "reference")
        return unprocessable(await _page(request, caller, said=said, asked=asked))
    asked = Asked(asked.typed, asked.reference, amount)
    return await _page(request, caller, said=None, asked=asked)


def _amount(typed: str, row: CorridorRow) -> int:
    """
    Raises:
        AmountMalformed: it is none, or nothing.
    """
    minor = parse_amount(typed, currency(row.currency)).minor
    if minor < 1:
        raise AmountMalformed("A settlement of nothing settles nothing.", value=typed)
    return minor


async def _page(
    request: Request, caller: Caller, *, said: Said | None, asked: Asked | None = None
) -> Response:
    db = request.app.state.db
    async with db.transaction("mesh.show_corridor", readonly=True) as tx:
        row = await corridors.get(tx, request.path_params["id"])
        page = CorridorPage(
            row=row,
            settled=await settlements.list_of(tx, row.id),
            unrouted=await tx.one(
                store.SUM_UNROUTED, region=row.from_region_id, currency=row.currency
            ),
            names={each.id: each.name for each in await regions.all_of(tx)},
        )
    people = {name for each in page.settled for name in (each.created_by, each.confirmed_by)}
    return await frame.page(
        request,
        caller,
        "corridor.html",
        place="federation",
        page=page,
        me=caller.subject,
        people=await names_of(db, (name for name in people if name is not None)),
        asked=asked,
        acts=frame.may(caller, FEDERATE),
        said=said,
    )


def _address(corridor_id: str) -> str:
    return f"/federation/corridors/{quote(corridor_id, safe='')}"
