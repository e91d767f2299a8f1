"""The API of regions and their members."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.intents import PlanRefused
from molam.approvals.model import TwinOpen, Unsatisfiable
from molam.approvals.requests import actor_of
from molam.mesh import permissions
from molam.mesh.members import commands, model, policy_commands, queries, regions, views
from molam.mesh.members.commands import NewMember
from molam.mesh.members.model import (
    CapabilitiesRefused,
    MemberExists,
    MemberMissing,
    MemberRole,
    MemberStatus,
    MissingFields,
    RegionAbsent,
)
from molam.mesh.members.trail import By
from molam.mesh.members.writing import PolicyChanged, Terms
from molam.payments.banks.model import BankAbsent
from molam.platform.web import Caller, Routes
from molam.platform.web.idempotency import encode
from molam.platform.web.wire import Identifier

routes = Routes()

Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S[\s\S]*\Z")]
_Domain = Annotated[str, Meta(pattern=r"^[a-z]+:[a-z0-9][a-z0-9_.-]*\Z", max_length=64)]
Domains = Annotated[tuple[_Domain, ...], Meta(max_length=20)]


class MembersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None
    """Its id or its name."""
    region: Identifier | None = None
    status: MemberStatus | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class OfRegionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: MemberStatus | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class MemberBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None
    """Its id or its name."""
    bank_profile_id: Identifier | None = None
    role: MemberRole = "member"
    prefer_order: Annotated[int, Meta(ge=0, le=100_000)] = 100
    """The smallest is preferred."""
    capabilities: dict[str, Any] = {}
    """Whatever is left out has its usual value."""
    failure_domains: Domains = ()
    """What it shares with others and may fail together by: ``core:host-a``, ``telecom:sn``."""


class ReasonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Reason


class RegionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    auto_failover_enabled: bool | None = None
    approval_threshold: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None
    """Minor units of the region's approval currency."""
    allowed_crossborder: bool | None = None


@routes.get("/api/mesh/regions", needs=permissions.VIEW, answers=views.RegionsAnswer)
async def list_regions(request: Request, _caller: Caller) -> views.RegionsAnswer:
    """List the regions with their countries and what they allow."""
    async with request.app.state.db.transaction("mesh.regions", readonly=True) as tx:
        rows = await regions.all_of(tx)
    return views.RegionsAnswer(ok=True, regions=[views.region_view(row) for row in rows])


@routes.put(
    "/api/mesh/regions/{region}",
    needs=permissions.CHANGE_POLICIES,
    body=RegionBody,
    answers=views.ActionAnswer,
    also=(202,),
    refuses=(RegionAbsent, PolicyChanged, TwinOpen, Unsatisfiable),
)
async def change_region(request: Request, caller: Caller, body: RegionBody) -> Response:
    """Change what a region allows. Allowing more waits for others, compliance among them (202)."""
    state, by = request.app.state, by_of(request, caller)
    async with state.db.transaction("mesh.change_region") as tx:
        region = await regions.get(tx, request.path_params["region"])
        asked = {
            key: value for key, value in msgspec.structs.asdict(body).items() if value is not None
        }
        after = Terms(**{**Terms.of(region).as_json(), **asked})
        written = await policy_commands.change_region(tx, state.mesh, region.id, after, by=by)
    action = written.action
    return answered(
        views.ActionAnswer(
            ok=True,
            action=None if action is None else views.action_view(action),
            loosened=list(written.loosened),
        ),
        status=200 if action is None else 202,
    )


@routes.get(
    "/api/mesh/regions/{region}/members",
    needs=permissions.VIEW,
    query=OfRegionQuery,
    answers=views.MembersAnswer,
    refuses=(RegionAbsent,),
)
async def list_members_of(
    request: Request, _caller: Caller, query: OfRegionQuery
) -> views.MembersAnswer:
    """List the members of one region, the preferred first."""
    return await _members(
        request, request.path_params["region"], status=query.status, limit=query.limit
    )


@routes.get(
    "/api/mesh/members",
    needs=permissions.VIEW,
    query=MembersQuery,
    answers=views.MembersAnswer,
    refuses=(RegionAbsent,),
)
async def list_members(
    request: Request, _caller: Caller, query: MembersQuery
) -> views.MembersAnswer:
    """List members of all regions, or of one by its id or name."""
    return await _members(
        request, query.mesh_region_id or query.region, status=query.status, limit=query.limit
    )


@routes.post(
    "/api/mesh/members",
    needs=permissions.ADD_MEMBERS,
    body=MemberBody,
    answers=views.MemberAnswer,
    status=202,
    refuses=(
        MissingFields, RegionAbsent, BankAbsent, MemberExists, CapabilitiesRefused,
        PlanRefused, TwinOpen, Unsatisfiable,
    ),
)  # fmt: skip
async def add_member(request: Request, caller: Caller, body: MemberBody) -> Response:
    """Ask for a bank to be let in. It carries nothing until compliance and operations agree."""
    if body.mesh_region_id is None or body.bank_profile_id is None:
        raise MissingFields("Send mesh_region_id and bank_profile_id.")
    state = request.app.state
    wanted = NewMember(
        region=body.mesh_region_id,
        bank_profile_id=body.bank_profile_id,
        role=body.role,
        prefer_order=body.prefer_order,
        capabilities=model.read_capabilities(body.capabilities),
        failure_domains=body.failure_domains,
    )
    async with state.db.transaction("mesh.add_member") as tx:
        asked = await commands.ask_to_add(tx, state.mesh, wanted, by=by_of(request, caller))
    return answered(
        views.MemberAnswer(
            ok=True,
            member=views.member_view(asked.member),
            action=views.action_view(asked.action),
        ),
        status=202,
    )


@routes.get(
    "/api/mesh/members/{id}",
    needs=permissions.VIEW,
    answers=views.MemberAnswer,
    refuses=(MemberMissing,),
)
async def member(request: Request, _caller: Caller) -> views.MemberAnswer:
    """Show one member."""
    async with request.app.state.db.transaction("mesh.member", readonly=True) as tx:
        row = await queries.get_member(tx, request.path_params["id"])
    return views.MemberAnswer(ok=True, member=views.member_view(row))


@routes.post(
    "/api/mesh/members/{id}/suspend",
    needs=permissions.ADD_MEMBERS,
    body=ReasonBody,
    answers=views.ActionAnswer,
    status=202,
    refuses=(MemberMissing, PlanRefused, TwinOpen, Unsatisfiable),
)
async def suspend_member(request: Request, caller: Caller, body: ReasonBody) -> views.ActionAnswer:
    """Ask for a member to be suspended. The action says if no healthy one would be left."""
    state = request.app.state
    async with state.db.transaction("mesh.suspend_member") as tx:
        action = await commands.ask_to_suspend(
            tx, state.mesh, request.path_params["id"], actor_of(caller), reason=body.reason
        )
    return views.ActionAnswer(ok=True, action=views.action_view(action))


@routes.post(
    "/api/mesh/members/{id}/reinstate",
    needs=permissions.ADD_MEMBERS,
    body=ReasonBody,
    answers=views.ActionAnswer,
    status=202,
    refuses=(MemberMissing, PlanRefused, TwinOpen, Unsatisfiable),
)
async def reinstate_member(
    request: Request, caller: Caller, body: ReasonBody
) -> views.ActionAnswer:
    """Ask for a suspended member to be let back in, by whoever lets members in."""
    state = request.app.state
    async with state.db.transaction("mesh.reinstate_member") as tx:
        action = await commands.ask_to_reinstate(
            tx, state.mesh, request.path_params["id"], actor_of(caller), reason=body.reason
        )
    return views.ActionAnswer(ok=True, action=views.action_view(action))


async def _members(
    request: Request, region: str | None, *, status: str | None, limit: int
) -> views.MembersAnswer:
    async with request.app.state.db.transaction("mesh.members", readonly=True) as tx:
        if region is not None:
            region = (await regions.get(tx, region)).id
        rows = await queries.members_of(tx, region=region, status=status, limit=limit)
    return views.MembersAnswer(ok=True, members=[views.member_view(row) for row in rows])


def by_of(request: Request, caller: Caller) -> By:
    return By(actor_of(caller), request.app.state.mesh.clock.now())


def answered(
    view: msgspec.Struct, *, status: int, headers: dict[str, str] | None = None
) -> Response:
    return Response(encode(view), status, headers, media_type="application/json")
