"""Policies under /api/ops/policies, in the specification's paths and envelopes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import views
from molam.approvals.drafts import check_bounds
from molam.approvals.endpoints import answered, etag
from molam.approvals.model import FieldsRefused, StaleVersion, TwinOpen, Unsatisfiable
from molam.approvals.permissions import POLICY_READ, POLICY_WRITE
from molam.approvals.policy import policies
from molam.approvals.policy.document import read_draft
from molam.approvals.policy.fields import CriteriaMalformed
from molam.approvals.policy.lint import lint
from molam.approvals.policy.policies import Changed, PolicyAbsent, PolicyNameTaken, PolicyRefused
from molam.approvals.policy.quorum import PolicyMalformed
from molam.approvals.policy.selection import StoredPolicy
from molam.approvals.policy.templates import TEMPLATES
from molam.approvals.policy.trials import backtest, backtest_json, simulate, trial_json
from molam.approvals.policy.wire import (
    BacktestBody,
    DraftBody,
    PoliciesQuery,
    PolicyBody,
    PolicyChanges,
    SimulateBody,
    finding_json,
    policy_json,
    version_json,
)
from molam.approvals.requests import actor_of, new_action, runtime_of
from molam.approvals.runtime import Runtime
from molam.approvals.store import NOW
from molam.approvals.wire import Answer
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes
from molam.platform.web.rate_limits import OPS_CREATE, OPS_READ, RateLimit, RateLimited, take

routes = Routes()

_WRITING = (
    PolicyMalformed, CriteriaMalformed, PolicyRefused, PolicyNameTaken, StaleVersion,
    TwinOpen, Unsatisfiable, FieldsRefused, RateLimited,
)  # fmt: skip
_DRAFTING = (PolicyMalformed, CriteriaMalformed, PolicyAbsent, RateLimited)


async def _counted(request: Request, limit: RateLimit, caller: Caller) -> dict[str, str]:
    return await take(request.app.state.db, limit, caller)


@routes.post(
    "/api/ops/policies",
    needs=POLICY_WRITE,
    body=PolicyBody,
    answers=Answer,
    status=201,
    also=(202,),
    refuses=_WRITING,
)
async def create_policy(request: Request, caller: Caller, body: PolicyBody) -> Response:
    """Add a policy: 201 if it lets nothing more through, else 202 with the action to vote on."""
    headers = await _counted(request, OPS_CREATE, caller)
    runtime = runtime_of(request)
    changed = await policies.create_policy(runtime, body.fields(), actor_of(caller))
    return _changed(runtime, changed, headers, done=("Policy created", 201))


@routes.get(
    "/api/ops/policies",
    needs=POLICY_READ,
    query=PoliciesQuery,
    answers=Answer,
    refuses=(RateLimited,),
)
async def list_policies(request: Request, caller: Caller, query: PoliciesQuery) -> Response:
    """List policies, the highest priority first."""
    headers = await _counted(request, OPS_READ, caller)
    runtime = runtime_of(request)
    rows = await policies.list_policies(runtime.db, enabled_only=query.enabled_only)
    written = [policy_json(row, runtime.registry) for row in rows]
    return answered({"policies": written, "count": len(written)}, headers)


@routes.get(
    "/api/ops/policies/templates", needs=POLICY_READ, answers=Answer, refuses=(RateLimited,)
)
async def list_templates(request: Request, caller: Caller) -> Response:
    """List policies to start from; one may name action types that are not here yet."""
    headers = await _counted(request, OPS_READ, caller)
    registry = runtime_of(request).registry
    written = [each.as_json(registry) for each in TEMPLATES]
    return answered({"templates": written, "count": len(written)}, headers)


@routes.post(
    "/api/ops/policies/lint",
    needs=POLICY_READ,
    body=DraftBody,
    answers=Answer,
    refuses=_DRAFTING,
)
async def lint_policy(request: Request, caller: Caller, body: DraftBody) -> Response:
    """Say what is wrong or odd about a policy, and change nothing."""
    headers = await _counted(request, OPS_READ, caller)
    runtime = runtime_of(request)
    async with runtime.db.transaction("approvals.lint_policy", readonly=True) as tx:
        before, after = await _sets(tx, runtime, body.policy, body.policy_id)
    findings = lint(after[-1], before, runtime.registry)
    return answered({"findings": [finding_json(each) for each in findings]}, headers)


@routes.post(
    "/api/ops/policies/simulate",
    needs=POLICY_READ,
    body=SimulateBody,
    answers=Answer,
    refuses=(*_DRAFTING, FieldsRefused),
)
async def simulate_policy(request: Request, caller: Caller, body: SimulateBody) -> Response:
    """Decide made-up actions with and without a policy, and store nothing."""
    headers = await _counted(request, OPS_READ, caller)
    runtime = runtime_of(request)
    asked = [new_action(each, caller, key=None) for each in body.intents]
    for each in asked:
        check_bounds(each)
    async with runtime.db.transaction("approvals.simulate_policy", readonly=True) as tx:
        sets = await _sets(tx, runtime, body.policy, body.policy_id)
        now = await tx.one(NOW)
        assert now is not None
        trials = await simulate(tx, runtime.registry, asked, sets, at=now.at)
    return answered({"results": [trial_json(each) for each in trials]}, headers)


@routes.post(
    "/api/ops/policies/backtest",
    needs=POLICY_READ,
    body=BacktestBody,
    answers=Answer,
    refuses=_DRAFTING,
)
async def backtest_policy(request: Request, caller: Caller, body: BacktestBody) -> Response:
    """Say what a policy would have changed for past actions."""
    headers = await _counted(request, OPS_READ, caller)
    runtime = runtime_of(request)
    async with runtime.db.transaction("approvals.backtest_policy", readonly=True) as tx:
        sets = await _sets(tx, runtime, body.policy, body.policy_id)
        tried = await backtest(tx, sets, types=sets[1][-1].criteria.types, limit=body.limit)
    return answered({"backtest": backtest_json(tried)}, headers)


@routes.get(
    "/api/ops/policies/{policy_id}",
    needs=POLICY_READ,
    answers=Answer,
    refuses=(PolicyAbsent, RateLimited),
)
async def get_policy(request: Request, caller: Caller) -> Response:
    """Answer one policy."""
    headers = await _counted(request, OPS_READ, caller)
    runtime = runtime_of(request)
    row = await policies.find_policy(runtime.db, _id(request))
    headers["ETag"] = etag(row.version)
    return answered({"policy": policy_json(row, runtime.registry)}, headers)


@routes.get(
    "/api/ops/policies/{policy_id}/versions",
    needs=POLICY_READ,
    answers=Answer,
    refuses=(PolicyAbsent, RateLimited),
)
async def list_versions(request: Request, caller: Caller) -> Response:
    """List everything a policy has said, the latest first, even after its deletion."""
    headers = await _counted(request, OPS_READ, caller)
    rows = await policies.list_versions(runtime_of(request).db, _id(request))
    if not rows:
        raise PolicyAbsent("Check the policy's id.")
    written = [version_json(row) for row in rows]
    return answered({"versions": written, "count": len(written)}, headers)


@routes.put(
    "/api/ops/policies/{policy_id}",
    needs=POLICY_WRITE,
    body=PolicyChanges,
    answers=Answer,
    also=(202,),
    refuses=(PolicyAbsent, *_WRITING),
)
async def update_policy(request: Request, caller: Caller, body: PolicyChanges) -> Response:
    """Change a policy: 200 if it lets nothing more through, else 202 with the action."""
    headers = await _counted(request, OPS_CREATE, caller)
    runtime = runtime_of(request)
    changed = await policies.update_policy(
        runtime, _id(request), body.fields(), actor_of(caller), version=_wanted_version(request)
    )
    return _changed(runtime, changed, headers, done=("Policy updated", 200))


@routes.delete(
    "/api/ops/policies/{policy_id}",
    needs=POLICY_WRITE,
    answers=Answer,
    also=(202,),
    refuses=(PolicyAbsent, *_WRITING),
)
async def delete_policy(request: Request, caller: Caller) -> Response:
    """End a policy: 200 if that lets nothing more through, else 202 with the action."""
    headers = await _counted(request, OPS_CREATE, caller)
    runtime = runtime_of(request)
    changed = await policies.delete_policy(
        runtime, _id(request), actor_of(caller), version=_wanted_version(request)
    )
    return _changed(runtime, changed, headers, done=("Policy deleted", 200))


def _changed(
    runtime: Runtime, changed: Changed, headers: dict[str, str], *, done: tuple[str, int]
) -> Response:
    findings = [finding_json(each) for each in changed.findings]
    row, action = changed.policy, changed.action
    policy = None if row is None else policy_json(row, runtime.registry)
    if action is not None:
        headers["Location"] = f"/api/ops/actions/{action.id}"
        document: dict[str, Any] = {
            "policy": policy,
            "action": views.action_json(action),
            "findings": findings,
            "message": "This loosens what is in force: others must approve it first",
        }
        return answered(document, headers, status=202)
    if row is not None:
        headers["ETag"] = etag(row.version)
    message, status = done
    return answered(
        {"policy": policy, "findings": findings, "message": message}, headers, status=status
    )


async def _sets(
    tx: Tx, runtime: Runtime, body: PolicyBody, policy_id: str | None
) -> tuple[list[StoredPolicy], list[StoredPolicy]]:
    """Return the policies as they are, and as they would be; the draft comes last."""
    draft = read_draft(body.fields(), runtime.registry)
    before = await policies.load_policies(tx, runtime.registry)
    replaced = None if policy_id is None else _read_id(policy_id)
    old = next((each for each in before if each.id == replaced), None)
    if policy_id is not None and old is None:
        raise PolicyAbsent("Check the policy's id.")
    now = await tx.one(NOW)
    assert now is not None
    created = now.at if old is None else old.created_at
    mine = draft.stored(replaced, version=1 if old is None else old.version + 1, created_at=created)
    return before, [*(each for each in before if each is not old), mine]


def _wanted_version(request: Request) -> int | None:
    """
    Read If-Match, as the ETag gave it.

    Raises:
        StaleVersion: it is no version of ours.
    """
    wanted = request.headers.get("if-match")
    if wanted is None or wanted == "*":
        return None
    digits = wanted.strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):  # noqa: PLR2004
        raise StaleVersion("Read the policy again.")
    return int(digits)


def _id(request: Request) -> UUID:
    return _read_id(request.path_params["policy_id"])


def _read_id(text: str) -> UUID:
    """
    Raises:
        PolicyAbsent: it is no id, so there is no such policy.
    """
    try:
        return UUID(text)
    except ValueError:
        raise PolicyAbsent("Check the policy's id.") from None
