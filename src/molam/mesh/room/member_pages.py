"""The members of the mesh: which banks stand in for one another, and asking for changes."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.requests import actor_of
from molam.kernel.currency import Currency, currency
from molam.kernel.money import AmountMalformed
from molam.kernel.refusals import Refusal
from molam.mesh import permissions
from molam.mesh.members import commands, member_actions, queries
from molam.mesh.members.commands import NewMember
from molam.mesh.members.endpoints import Domains, by_of
from molam.mesh.members.model import (
    Capabilities,
    CapabilitiesRefused,
    MemberMissing,
    MemberRole,
    read_capabilities,
)
from molam.mesh.members.store import MemberRecord
from molam.mesh.room import frame, proposal_store
from molam.mesh.room.asked import waiting_of
from molam.mesh.room.saying import refused_as, said_as, to, whole_number, wrong_number
from molam.payments.banks.queries import get_bank
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said
from molam.platform.web.l10n import parse_amount

routes = Routes()

_LISTED_MAX = 100
_OTHERS_MAX = 500
_ORDERS = (0, 100_000)

Word = Annotated[str, Meta(max_length=255)]
_Amount = Annotated[str, Meta(max_length=32)]


class MembersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    region: Word = ""
    said: Annotated[str, Meta(max_length=32)] | None = None


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bank that somebody would like to let in."""

    region: Word = ""
    bank: Word = ""
    role: MemberRole = "member"
    prefer_order: Annotated[str, Meta(max_length=16)] = ""
    largest: _Amount = ""
    daily: _Amount = ""
    domains: Annotated[str, Meta(max_length=500)] = ""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=500)] = ""


@routes.get("/members", needs=permissions.USE_ROOM, page=True, query=MembersQuery)
async def members(request: Request, caller: Caller, query: MembersQuery) -> Response:
    """Show who is a member where, in the order of preference."""
    return await _list(request, caller, query.region, said=said_as(query.said))


@routes.get("/members/new", needs=permissions.ADD_MEMBERS, page=True)
async def form(request: Request, caller: Caller) -> Response:
    """Ask which bank is to be let in."""
    return await _form(request, caller, Asked(prefer_order="100"))


@routes.post("/members", needs=permissions.ADD_MEMBERS, page=True, form=True, body=Asked)
async def ask(request: Request, caller: Caller, form: Asked) -> Response:
    """Put a bank before compliance and operations."""
    state = request.app.state
    order = whole_number(form.prefer_order, _ORDERS)
    if order is None:
        wrong = wrong_number(request, caller, "prefer_order", _ORDERS)
        return await _form(request, caller, form, said=wrong, status=422)
    try:
        async with state.db.transaction("mesh.add_member") as tx:
            wanted = await _wanted(tx, form, order)
            await commands.ask_to_add(tx, state.mesh, wanted, by=by_of(request, caller))
    except AmountMalformed as mistyped:
        field = "largest" if mistyped.facts.get("value") == form.largest else "daily"
        refused = refused_as(request, caller, mistyped, field=field)
    except CapabilitiesRefused as refusal:
        refused = refused_as(request, caller, refusal, field="domains")
    except Refusal as refusal:
        refused = refused_as(request, caller, refusal, names_others=True)
    else:
        return to("/members", "member-asked")
    return await _form(request, caller, form, said=refused, status=422)


@routes.post(
    "/members/{id}/suspend",
    needs=permissions.ADD_MEMBERS,
    page=True,
    form=True,
    body=Why,
    refuses=(MemberMissing,),
)
async def suspend(request: Request, caller: Caller, form: Why) -> Response:
    """Ask for a member to be suspended; others decide."""
    return await _ask(request, caller, form, is_back=False)


@routes.post(
    "/members/{id}/reinstate",
    needs=permissions.ADD_MEMBERS,
    page=True,
    form=True,
    body=Why,
    refuses=(MemberMissing,),
)
async def reinstate(request: Request, caller: Caller, form: Why) -> Response:
    """Ask for a member to be let back in; compliance and operations decide."""
    return await _ask(request, caller, form, is_back=True)


async def _ask(request: Request, caller: Caller, form: Why, *, is_back: bool) -> Response:
    state, id_ = request.app.state, request.path_params["id"]
    asks = commands.ask_to_reinstate if is_back else commands.ask_to_suspend
    if not form.reason.strip():
        return await _list(request, caller, "", said=said_as("reason-missing"), status=422)
    try:
        async with state.db.transaction("mesh.ask_about_member") as tx:
            await asks(tx, state.mesh, id_, actor_of(caller), reason=form.reason.strip())
    except Refusal as refusal:
        refused = refused_as(request, caller, refusal)
        return await _list(request, caller, "", said=refused, status=409)
    return to("/members", "reinstatement-asked" if is_back else "suspension-asked")


async def _wanted(tx: Tx, form: Asked, order: int) -> NewMember:
    """Read the form; amounts are written in the bank's own currency."""
    bank = await get_bank(tx, form.bank)
    unit = currency(bank.currency_codes[0])
    usual = Capabilities()
    largest, daily = _limit(form.largest, unit), _limit(form.daily, unit)
    return NewMember(
        region=form.region,
        bank_profile_id=bank.id,
        role=form.role,
        prefer_order=order,
        capabilities=Capabilities(
            max_amount_per_txn=largest or usual.max_amount_per_txn,
            daily_volume_limit=daily or usual.daily_volume_limit,
            supported_currencies=tuple(bank.currency_codes),
        ),
        failure_domains=_domains(form.domains),
    )


def _domains(typed: str) -> tuple[str, ...]:
    """
    Read what a bank shares with others.

    Raises:
        CapabilitiesRefused: one is not written as such a thing is.
    """
    try:
        return msgspec.convert(list(dict.fromkeys(typed.split())), Domains)
    except msgspec.ValidationError:
        raise CapabilitiesRefused("What it shares is written like core:host-a.") from None


def _limit(typed: str, unit: Currency) -> int | None:
    """
    Read a limit; None: nothing was written, and it has its usual value.

    Raises:
        AmountMalformed: no amount, or nothing at all.
    """
    if not typed.strip():
        return None
    minor = parse_amount(typed, unit).minor
    if minor < 1:
        raise AmountMalformed("A limit of nothing would let nothing pass.", value=typed)
    return minor


async def _list(
    request: Request, caller: Caller, region: str, *, said: Said | None, status: int = 200
) -> Response:
    state = request.app.state
    async with state.db.transaction("mesh.members_page", readonly=True) as tx:
        rows = await queries.members_of(tx, region=region or None, limit=_OTHERS_MAX)
    response = await frame.page(
        request,
        caller,
        "members.html",
        place="members",
        rows=[(row, _able(row)) for row in rows],
        regions=await state.db.read(proposal_store.LIST_REGION_NAMES, limit=_LISTED_MAX),
        asked_region=region,
        acts=frame.may(caller, permissions.ADD_MEMBERS),
        asked_for=await waiting_of(
            request, caller, member_actions.ADD, member_actions.SUSPEND, member_actions.REINSTATE
        ),
        ops_url=state.ops_url,
        said=said,
    )
    response.status_code = status
    return response


def _able(row: MemberRecord) -> Capabilities | None:
    try:
        return read_capabilities(row.capabilities)
    except CapabilitiesRefused:
        return None


async def _form(
    request: Request, caller: Caller, asked: Asked, *, said: Said | None = None, status: int = 200
) -> Response:
    db = request.app.state.db
    regions, banks = await asyncio.gather(
        db.read(proposal_store.LIST_REGION_NAMES, limit=_LISTED_MAX),
        db.read(proposal_store.LIST_ALL_BANKS, limit=_OTHERS_MAX),
    )
    response = await frame.page(
        request,
        caller,
        "member_new.html",
        place="members",
        regions=regions,
        banks=banks,
        asked=asked,
        own_region=request.app.state.mesh.region,
        said=said,
    )
    response.status_code = status
    return response
