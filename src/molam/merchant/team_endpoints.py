"""The merchant API's team: who works here, as what, and since when."""

from __future__ import annotations

from datetime import datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.merchant import permissions, team_commands
from molam.merchant.team_model import (
    LastAdmin,
    Member,
    MemberAbsent,
    MemberRefused,
    NewMember,
    Roles,
    TeamFull,
)
from molam.platform.auth.step_up import StepUpRequired, require_step_up
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes, idempotency
from molam.tenancy.standing import MerchantFrozen

routes = Routes()


class GrantView(msgspec.Struct):
    role: str
    since: datetime
    granted_by: str


class MemberView(msgspec.Struct):
    person_id: str
    name: str
    email: str
    roles: list[GrantView]
    is_active: bool
    is_you: bool


class TeamAnswer(msgspec.Struct):
    ok: bool
    rows: list[MemberView]


class MemberAnswer(msgspec.Struct):
    ok: bool
    member: MemberView | None
    """Null: they are no longer in the team. A change is in force at once."""


@routes.get("/api/merchant/team", needs=permissions.MANAGE_TEAM, answers=TeamAnswer)
async def team(request: Request, caller: Caller) -> TeamAnswer:
    """List everybody who has a role at the merchant."""
    db, merchant_id = request.app.state.db, caller.merchant
    async with db.transaction("merchant.team", merchant_id=merchant_id, readonly=True) as tx:
        members = await team_commands.team_of(tx, merchant_id)
    return TeamAnswer(ok=True, rows=[member_view(each, caller) for each in members])


@routes.post(
    "/api/merchant/team",
    needs=permissions.MANAGE_TEAM,
    body=NewMember,
    answers=MemberAnswer,
    status=201,
    refuses=(*idempotency.REFUSES, MerchantFrozen, MemberRefused, TeamFull, StepUpRequired),
)
async def add_member(request: Request, caller: Caller, body: NewMember) -> Response:
    """
    Give somebody a role here, by e-mail address or id; takes a fresh second factor.

    Whoever is new is registered under the name given, and signs in with that address.
    """
    now = request.app.state.clock.now()
    require_step_up(caller, now=now)

    async def work(tx: Tx) -> MemberAnswer:
        member = await team_commands.add(tx, caller, body, now=now)
        return MemberAnswer(ok=True, member=member_view(member, caller))

    return await idempotency.once(
        request, caller, operation="POST /api/merchant/team", asked=body, work=work, status=201
    )


@routes.put(
    "/api/merchant/team/{person_id}",
    needs=permissions.MANAGE_TEAM,
    body=Roles,
    answers=MemberAnswer,
    refuses=(*idempotency.REFUSES, MerchantFrozen, MemberAbsent, LastAdmin, StepUpRequired),
)
async def set_roles(request: Request, caller: Caller, body: Roles) -> Response:
    """Say all that somebody is here; the rest is taken away. Takes a fresh second factor."""
    return await _set(request, caller, body)


@routes.delete(
    "/api/merchant/team/{person_id}",
    needs=permissions.MANAGE_TEAM,
    answers=MemberAnswer,
    refuses=(*idempotency.REFUSES, MerchantFrozen, MemberAbsent, LastAdmin, StepUpRequired),
)
async def remove_member(request: Request, caller: Caller) -> Response:
    """Take all of somebody's roles here away, at once. Takes a fresh second factor."""
    return await _set(request, caller, None)


async def _set(request: Request, caller: Caller, body: Roles | None) -> Response:
    now = request.app.state.clock.now()
    require_step_up(caller, now=now)
    roles = frozenset[str](body.roles if body else ())

    async def work(tx: Tx) -> MemberAnswer:
        member = await team_commands.set_roles(
            tx, caller, request.path_params["person_id"], roles, now=now
        )
        shown = None if member is None else member_view(member, caller)
        return MemberAnswer(ok=True, member=shown)

    operation = f"{'PUT' if body else 'DELETE'} /api/merchant/team/{{person_id}}"
    return await idempotency.once(request, caller, operation=operation, asked=body, work=work)


def member_view(member: Member, caller: Caller) -> MemberView:
    return MemberView(
        person_id=member.person_id,
        name=member.name,
        email=member.email,
        roles=[GrantView(each.role, each.since, each.granted_by) for each in member.grants],
        is_active=member.is_active,
        is_you=member.person_id == caller.subject,
    )
