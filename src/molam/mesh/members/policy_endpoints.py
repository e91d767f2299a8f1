"""The API of policies: listed, written, changed, and what they said before."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.model import TwinOpen, Unsatisfiable
from molam.kernel.refusals import Kind, Refusal
from molam.mesh import permissions
from molam.mesh.members import policies, policy_commands, policy_store, regions, views
from molam.mesh.members.endpoints import answered, by_of
from molam.mesh.members.model import MissingFields, RegionAbsent
from molam.mesh.members.policies import PolicyMissing
from molam.mesh.members.policy_commands import Written
from molam.mesh.members.rules import RulesRefused
from molam.mesh.members.writing import PolicyChanged, PolicyNameTaken
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import Identifier

routes = Routes()

_VERSIONS_MAX = 100
_DIGITS_MAX = 9
_COLUMNS = ("mode", "auto_confidence_threshold")


class MissingRules(Refusal):
    code = "missing-rules"
    kind = Kind.MALFORMED
    title = "Send the rules"


class PoliciesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None
    """Its id or its name."""


class PolicyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """*mode* and *auto_confidence_threshold* may stand here or among the rules."""

    mesh_region_id: Identifier | None = None
    name: Annotated[str, Meta(min_length=1, max_length=140, pattern=r"\S[\s\S]*\Z")] | None = None
    description: Annotated[str, Meta(max_length=2000)] | None = None
    rules: dict[str, Any] | None = None
    priority: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """The smallest number decides."""
    active: bool | None = None
    mode: str | None = None
    auto_confidence_threshold: Any = None


_REFUSES = (RulesRefused, PolicyNameTaken, TwinOpen, Unsatisfiable)


@routes.get(
    "/api/mesh/policies",
    needs=permissions.VIEW,
    query=PoliciesQuery,
    answers=views.PoliciesAnswer,
    refuses=(RegionAbsent,),
)
async def list_policies(
    request: Request, _caller: Caller, query: PoliciesQuery
) -> views.PoliciesAnswer:
    """List policies; in each region the first that is active decides."""
    async with request.app.state.db.transaction("mesh.policies", readonly=True) as tx:
        region = query.mesh_region_id
        if region is not None:
            region = (await regions.get(tx, region)).id
        rows = await policies.listed(tx, region=region)
    return views.PoliciesAnswer(ok=True, policies=[views.policy_view(row) for row in rows])


@routes.post(
    "/api/mesh/policies",
    needs=permissions.CHANGE_POLICIES,
    body=PolicyBody,
    answers=views.PolicyAnswer,
    status=201,
    also=(202,),
    refuses=(MissingFields, MissingRules, RegionAbsent, PolicyChanged, *_REFUSES),
)
async def create_policy(request: Request, caller: Caller, body: PolicyBody) -> Response:
    """Write a policy. If it would let the controller do more, others have to agree first (202)."""
    if body.mesh_region_id is None or body.name is None:
        raise MissingFields("Send mesh_region_id and name.")
    if body.rules is None:
        raise MissingRules("Send rules; with an empty object each has its usual value.")
    state = request.app.state
    async with state.db.transaction("mesh.create_policy") as tx:
        written = await policy_commands.create(
            tx, state.mesh, body.mesh_region_id, _given(body), by=by_of(request, caller)
        )
    return _answer(written, status=201)


@routes.get(
    "/api/mesh/policies/{id}",
    needs=permissions.VIEW,
    answers=views.PolicyAnswer,
    refuses=(PolicyMissing,),
)
async def policy(request: Request, _caller: Caller) -> Response:
    """Show one policy with all its rules; its ETag goes into If-Match."""
    async with request.app.state.db.transaction("mesh.policy", readonly=True) as tx:
        row = await policies.get(tx, request.path_params["id"])
    return _answer(Written(row, None), status=200)


@routes.put(
    "/api/mesh/policies/{id}",
    needs=permissions.CHANGE_POLICIES,
    body=PolicyBody,
    answers=views.PolicyAnswer,
    also=(202,),
    refuses=(MissingRules, PolicyMissing, PolicyChanged, RegionAbsent, *_REFUSES),
)
async def change_policy(request: Request, caller: Caller, body: PolicyBody) -> Response:
    """Change a policy; rules left out stay. What loosens waits for others to agree (202)."""
    if body.rules is None:
        raise MissingRules("Send rules; an empty object changes none of them.")
    state = request.app.state
    async with state.db.transaction("mesh.change_policy") as tx:
        written = await policy_commands.change(
            tx,
            state.mesh,
            request.path_params["id"],
            _given(body),
            version=_wanted_version(request),
            by=by_of(request, caller),
        )
    answer = _answer(written, status=200)
    if "if-match" not in request.headers:
        # The weaker form: whatever stood there was changed, seen or not.
        answer.headers["If-Match"] = "absent"
    return answer


@routes.get(
    "/api/mesh/policies/{id}/history",
    needs=permissions.VIEW,
    answers=views.HistoryAnswer,
    refuses=(PolicyMissing,),
)
async def policy_history(request: Request, _caller: Caller) -> views.HistoryAnswer:
    """List what a policy said before, the newest first."""
    async with request.app.state.db.transaction("mesh.policy_history", readonly=True) as tx:
        row = await policies.get(tx, request.path_params["id"])
        rows = await tx.all(policy_store.LIST_VERSIONS, policy_id=row.id, limit=_VERSIONS_MAX)
    return views.HistoryAnswer(ok=True, versions=[views.version_view(each) for each in rows])


def _given(body: PolicyBody) -> dict[str, Any]:
    """Return what was said, with the two columns among the rules."""
    said = {
        name: value for name, value in msgspec.structs.asdict(body).items() if value is not None
    }
    said.pop("mesh_region_id", None)
    rules = dict(said.pop("rules", {}))
    for name in _COLUMNS:
        value = said.pop(name, None)
        if value is None:
            continue
        if str(rules.setdefault(name, value)) != str(value):
            raise RulesRefused(f"{name} stands in the policy and among its rules, and differs.")
    return {**said, "rules": rules}


def _answer(written: Written, *, status: int) -> Response:
    row, action = written.policy, written.action
    view = views.PolicyAnswer(
        ok=True,
        policy=None if row is None else views.policy_view(row),
        action=None if action is None else views.action_view(action),
        loosened=list(written.loosened),
    )
    headers = {} if row is None else {"ETag": f'"{row.version}"'}
    return answered(view, status=status if action is None else 202, headers=headers)


def _wanted_version(request: Request) -> int | None:
    """
    Read If-Match, as the ETag gave it.

    Raises:
        PolicyChanged: it is no version of ours.
    """
    wanted = request.headers.get("if-match")
    if wanted is None or wanted == "*":
        return None
    digits = wanted.strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise PolicyChanged("Read it again.")
    return int(digits)
