"""The policies of the mesh: what the controller may do alone, and changing that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.digests import decimal_text
from molam.kernel.refusals import Refusal
from molam.mesh import permissions
from molam.mesh.control import practice_store
from molam.mesh.members import (
    policies,
    policy_actions,
    policy_commands,
    policy_store,
    regions,
)
from molam.mesh.members.endpoints import by_of
from molam.mesh.members.model import RegionAbsent
from molam.mesh.members.policies import PolicyMissing
from molam.mesh.members.policy_store import PolicyRow
from molam.mesh.members.rules import Rules, RulesRefused
from molam.mesh.members.writing import Terms
from molam.mesh.room import frame
from molam.mesh.room.asked import names_of, waiting_of
from molam.mesh.room.saying import refused_as, said_as, to, whole_number, wrong_number
from molam.mesh.routing import outcomes
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said

routes = Routes()

_VERSIONS_MAX = 20
_PRACTICES_MAX = 10

# How the page puts the rules together; every rule stands in one group.
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alone": (
            "mode",
            "auto_failover_enabled",
            "auto_confidence_threshold",
            "approval_required_threshold",
            "allowed_crossborder",
            "compliance_checks",
            "require_multisig_for_new_member",
        ),
        "leave": (
            "leave_p_down",
            "leave_gap_points",
            "leave_evaluations",
            "direct_p_down",
            "reorder_gap_points",
            "reorder_probability",
            "reorder_every_minutes",
        ),
        "return": (
            "return_p_down",
            "return_hold_minutes",
            "return_probes_ok",
            "return_hold_factor_max",
        ),
        "calm": (
            "cooldown_minutes",
            "applies_per_hour",
            "flap_penalty",
            "flap_half_life_minutes",
            "flap_suppress",
            "flap_reuse",
            "flap_cap_minutes",
            "panic_share_pct",
            "panic_domains",
            "panic_window_minutes",
        ),
        "reach": (
            "max_ejected_members",
            "max_ejected_capacity_pct",
            "value_cap_pct",
            "inflow_p95_factor",
            "max_cost_increase_pct",
            "max_cascading_depth",
            "gradual_steps",
            "step_minutes",
            "step_outcomes_min",
            "enforcing_pct",
            "rollback_window_hours",
        ),
        "practice": (
            "practice",
            "practice_share_pct",
            "practice_minutes",
            "practice_every_days",
            "practice_hour",
        ),
    }
)
assert sorted(name for group in GROUPS.values() for name in group) == sorted(
    Rules.__struct_fields__
)

_WHOLE = frozenset(
    name for name, kind in Rules.__annotations__.items() if "Decimal" not in str(kind)
) - {
    "mode",
    "auto_failover_enabled",
    "allowed_crossborder",
    "require_multisig_for_new_member",
    "practice",
}


_ASKED_FOR = (policy_actions.CHANGE_POLICY, policy_actions.CHANGE_REGION)
_FIELDS = frozenset({"name", "priority", *Rules.__struct_fields__})
_PRIORITIES = (1, 1_000_000)


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


PolicyForm = msgspec.defstruct(
    "PolicyForm",
    [
        ("name", Annotated[str, Meta(max_length=140)], ""),
        ("priority", Annotated[str, Meta(max_length=16)], ""),
        ("active", Literal["yes", "no"], "yes"),
        ("version", Annotated[int, Meta(ge=1)] | None, None),
        *((name, Annotated[str, Meta(max_length=64)], "") for name in Rules.__struct_fields__),
    ],
    frozen=True,
    forbid_unknown_fields=True,
)


class RegionForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    auto: Literal["yes", "no"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A policy on the page, and whether it is the one that decides in its region."""

    row: PolicyRow
    rules: Rules
    decides: bool


@routes.get("/policies", needs=permissions.USE_ROOM, page=True, query=PageQuery)
async def policies_page(request: Request, caller: Caller, query: PageQuery) -> Response:
    """Show in each region what decides there, and what else is written."""
    return await _list(request, caller, said=said_as(query.said))


@routes.get(
    "/policies/{id}",
    needs=permissions.USE_ROOM,
    page=True,
    query=PageQuery,
    refuses=(PolicyMissing,),
)
async def policy_page(request: Request, caller: Caller, query: PageQuery) -> Response:
    """Show one policy with all its rules, and let those who may change them."""
    return await _one(request, caller, said=said_as(query.said))


@routes.post(
    "/policies/{id}",
    needs=permissions.CHANGE_POLICIES,
    page=True,
    form=True,
    body=PolicyForm,
    refuses=(PolicyMissing,),
)
async def change(request: Request, caller: Caller, form: Any) -> Response:
    """Change a policy: at once where it only tightens, else once others agree."""
    state, id_ = request.app.state, request.path_params["id"]
    fields = msgspec.structs.asdict(form)
    priority = whole_number(form.priority, _PRIORITIES)
    if priority is None:
        wrong = wrong_number(request, caller, "priority", _PRIORITIES)
        return await _one(request, caller, said=wrong, typed=fields)
    try:
        async with state.db.transaction("mesh.change_policy") as tx:
            written = await policy_commands.change(
                tx,
                state.mesh,
                id_,
                {
                    "name": form.name,
                    "priority": priority,
                    "active": form.active == "yes",
                    "rules": {
                        name: _read(name, fields[name])
                        for name in Rules.__struct_fields__
                        if fields[name] or name == "compliance_checks"
                    },
                },
                version=form.version,
                by=by_of(request, caller),
            )
    except Refusal as refusal:
        said = refused_as(request, caller, refusal, field=_field_of(refusal))
        return await _one(request, caller, said=said, typed=fields)
    code = "policy-saved" if written.action is None else "policy-asked"
    return to(f"/policies/{quote(id_, safe='')}", code)


@routes.post(
    "/policies/regions/{region}",
    needs=permissions.CHANGE_POLICIES,
    page=True,
    form=True,
    body=RegionForm,
    refuses=(RegionAbsent,),
)
async def change_region(request: Request, caller: Caller, form: RegionForm) -> Response:
    """Let a region's controller act alone, or stop letting it."""
    state = request.app.state
    try:
        async with state.db.transaction("mesh.change_region") as tx:
            found = await regions.get(tx, request.path_params["region"])
            before = Terms.of(found)
            after = Terms(form.auto == "yes", before.approval_threshold, before.allowed_crossborder)
            written = await policy_commands.change_region(
                tx, state.mesh, found.id, after, by=by_of(request, caller)
            )
    except Refusal as refusal:
        response = await _list(request, caller, said=refused_as(request, caller, refusal))
        response.status_code = 409
        return response
    return to("/policies", "region-saved" if written.action is None else "region-asked")


def text_of(value: object) -> str:
    """Write a rule's value as a field shows it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return decimal_text(value)
        case tuple():
            return " ".join(map(str, value))
    return str(value)


def _read(name: str, text: str) -> object:
    """Read a field back; what cannot be read is passed on, and refused with a sentence."""
    if name == "gradual_steps":
        return [int(part) if _is_whole(part) else part for part in text.replace(",", " ").split()]
    if name == "compliance_checks":
        return text.replace(",", " ").split()
    if text in {"yes", "no"}:
        return text == "yes"
    if name in _WHOLE and _is_whole(text):
        return int(text)
    return text.replace(",", ".")


def _field_of(refusal: Refusal) -> str:
    """Find the field that a refusal of the rules speaks of first."""
    words = re.findall(r"\w+", refusal.detail) if isinstance(refusal, RulesRefused) else []
    # A sentence that ends with where it was is about that; others begin with what they are about.
    order = reversed(words) if " - at " in refusal.detail else words
    return next((word for word in order if word in _FIELDS), "")


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


async def _list(request: Request, caller: Caller, *, said: Said | None) -> Response:
    state = request.app.state
    async with state.db.transaction("mesh.policies_page", readonly=True) as tx:
        found = await regions.all_of(tx)
        rows = await policies.listed(tx)
        record = await outcomes.track_record(tx)
    shown: dict[str, list[Shown]] = {region.id: [] for region in found}
    for row in rows:
        group = shown[row.mesh_region_id]
        decides = row.active and not any(each.decides for each in group)
        group.append(Shown(row, policies.rules_of(row), decides))
    return await frame.page(
        request,
        caller,
        "policies.html",
        place="policies",
        regions=[(region, shown[region.id]) for region in found],
        default_mode=state.mesh.default_mode,
        record=record,
        asked_for=await waiting_of(request, caller, *_ASKED_FOR),
        ops_url=state.ops_url,
        acts=frame.may(caller, permissions.CHANGE_POLICIES),
        said=said,
    )


async def _one(
    request: Request,
    caller: Caller,
    *,
    said: Said | None,
    typed: Mapping[str, object] | None = None,
) -> Response:
    state = request.app.state
    async with state.db.transaction("mesh.policy_page", readonly=True) as tx:
        row = await policies.get(tx, request.path_params["id"])
        region = await regions.get(tx, row.mesh_region_id)
        deciding = await policies.effective(tx, region.id, state.mesh)
        past = await tx.all(policy_store.LIST_VERSIONS, policy_id=row.id, limit=_VERSIONS_MAX)
        practices = await tx.all(
            practice_store.LIST_RUNS, region=region.id, bank=None, limit=_PRACTICES_MAX
        )
    rules = policies.rules_of(row)
    values = {name: text_of(getattr(rules, name)) for name in Rules.__struct_fields__}
    usual = {name: text_of(getattr(Rules(), name)) for name in Rules.__struct_fields__}
    response = await frame.page(
        request,
        caller,
        "policy.html",
        place="policies",
        policy=row,
        region=region,
        decides=deciding.id == row.id,
        values=values if typed is None else {**values, **{k: str(v) for k, v in typed.items()}},
        usual=usual,
        groups=GROUPS,
        past=past,
        practices=practices,
        people=await names_of(state.db, (each.changed_by for each in past)),
        acts=frame.may(caller, permissions.CHANGE_POLICIES),
        ops_url=state.ops_url,
        said=said,
    )
    if typed is not None:
        response.status_code = 422
    return response
