"""Stopping the mesh: one person does, at once; others let it act again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.requests import actor_of
from molam.kernel.refusals import Refusal
from molam.mesh import permissions
from molam.mesh.members import policies, queries, switch_actions, switch_commands, switches
from molam.mesh.members.endpoints import by_of
from molam.mesh.members.policy_store import PolicyRow
from molam.mesh.members.store import MemberRecord
from molam.mesh.room import frame, proposal_store
from molam.mesh.room.asked import names_of, waiting_of
from molam.mesh.room.saying import refused_as, said_as, to, unsaid
from molam.payments.banks import gates
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said

routes = Routes()

_LISTED_MAX = 100
_WORDS = frozenset({"STOP", "ARRÊT", "ARRET"})

Scope = Annotated[str, Meta(max_length=265)]


class SwitchesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scope: Scope = switches.GLOBAL
    reason: Annotated[str, Meta(max_length=500)] = ""
    confirmation: Annotated[str, Meta(max_length=40)] = ""


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scope: Scope
    reason: Annotated[str, Meta(max_length=500)] = ""


@routes.get("/switches", needs=permissions.USE_ROOM, page=True, query=SwitchesQuery)
async def switches_page(request: Request, caller: Caller, query: SwitchesQuery) -> Response:
    """Show what is stopped, and offer to stop more."""
    return await _page(request, caller, Stop(), said=said_as(query.said))


@routes.post("/switches/stop", needs=permissions.STOP, page=True, form=True, body=Stop)
async def stop(request: Request, caller: Caller, form: Stop) -> Response:
    """Stop the mesh in one place, at once."""
    if form.confirmation.strip().upper() not in _WORDS:
        return await _page(
            request, caller, form, said=unsaid("confirmation-wrong", "confirmation"), status=422
        )
    if not form.reason.strip():
        return await _page(
            request, caller, form, said=unsaid("reason-missing", "reason"), status=422
        )
    try:
        async with request.app.state.db.transaction("mesh.stop") as tx:
            await switch_commands.engage(
                tx, form.scope, reason=form.reason.strip(), by=by_of(request, caller)
            )
    except Refusal as refusal:
        refused = refused_as(request, caller, refusal)
        return await _page(request, caller, form, said=refused, status=422)
    return to("/switches", "stopped")


@routes.post("/switches/release", needs=permissions.STOP, page=True, form=True, body=Release)
async def release(request: Request, caller: Caller, form: Release) -> Response:
    """Ask for the mesh to act again; two others decide."""
    state = request.app.state
    if not form.reason.strip():
        return await _page(request, caller, Stop(), said=said_as("reason-missing"), status=422)
    try:
        async with state.db.transaction("mesh.ask_to_release") as tx:
            await switch_commands.ask_to_release(
                tx, state.mesh, form.scope, actor_of(caller), reason=form.reason.strip()
            )
    except Refusal as refusal:
        refused = refused_as(request, caller, refusal)
        return await _page(request, caller, Stop(), said=refused, status=409)
    return to("/switches", "release-asked")


async def _page(
    request: Request, caller: Caller, asked: Stop, *, said: Said | None, status: int = 200
) -> Response:
    state = request.app.state
    async with state.db.transaction("mesh.switches_page", readonly=True) as tx:
        rows = await switches.listed(tx)
        members = await queries.members_of(tx, status="active", limit=queries.MEMBERS_MAX)
        written = await policies.listed(tx)
        shut = [row for row in await gates.gates_of(tx) if not row.is_open]
        ids = [row.bank_profile_id for row in shut]
        banks = await tx.all(proposal_store.LIST_BANK_NAMES, ids=ids)
        regions = await tx.all(proposal_store.LIST_REGION_NAMES, limit=_LISTED_MAX)
        names = _names(regions, members, written)
        # What is stopped may be suspended by now, and is called by its name all the same.
        names |= {
            row.scope: await switches.name_of(tx, row.scope)
            for row in rows
            if row.is_engaged and row.scope not in {switches.GLOBAL, *names}
        }
    response = await frame.page(
        request,
        caller,
        "switches.html",
        place="switches",
        rows=rows,
        shut=shut,
        members=members,
        policies=written,
        regions=regions,
        names=names,
        banks={row.id: row.name for row in banks},
        people=await names_of(state.db, (row.changed_by for row in rows)),
        asked_for=await waiting_of(request, caller, switch_actions.RELEASE),
        asked=asked,
        acts=frame.may(caller, permissions.STOP),
        ops_url=state.ops_url,
        said=said,
    )
    response.status_code = status
    return response


def _names(
    regions: Sequence[proposal_store.NameRow],
    members: Sequence[MemberRecord],
    written: Sequence[PolicyRow],
) -> dict[str, str]:
    """Say what can be stopped, each by its scope, by its name."""
    found = {f"region:{row.id}": row.name for row in regions}
    found |= {f"member:{row.id}": row.bank_name for row in members}
    return found | {f"policy:{row.id}": row.name for row in written}
