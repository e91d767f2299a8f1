"""Remediating an alert, and the policies that say what may happen by itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request

from molam.alerts.episodes.model import AlertAbsent, AlertOver
from molam.alerts.permissions import CHANGE_POLICIES, REMEDIATE, VIEW, VIEW_POLICIES
from molam.alerts.remediation import commands, policies, store, views
from molam.alerts.remediation.model import (
    BreakerShut,
    NoRemedy,
    PolicyOutOfBounds,
    PolicyRefused,
    PolicyUnknown,
)
from molam.alerts.remediation.policies import PolicyChange
from molam.approvals.intents import PlanRefused
from molam.approvals.model import TwinOpen, Unsatisfiable
from molam.approvals.requests import actor_of
from molam.kernel import canonical
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import Identifier

routes = Routes()


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to say: what is asked for is the policy's."""


class Remediated(msgspec.Struct, frozen=True):
    action_id: UUID
    success: bool = True
    message: str = "Remediation action created"


class RemediationPolicies(msgspec.Struct, frozen=True):
    """*breakers* are open: nothing is proposed by itself there."""

    policies: list[dict[str, Any]]
    breakers: list[dict[str, Any]]
    success: bool = True


class RemediationPolicyAnswer(msgspec.Struct, frozen=True):
    """*action_id* waits for others, if the change would allow more by itself."""

    policy: dict[str, Any]
    action_id: UUID | None = None
    loosened: tuple[str, ...] = ()
    success: bool = True


class AlertDecisions(msgspec.Struct, frozen=True):
    decisions: list[dict[str, Any]]
    count: int
    success: bool = True


class BreakerNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    action_type: Identifier
    target_type: Identifier
    target_id: Identifier


class BreakerClosed(msgspec.Struct, frozen=True):
    success: bool = True


@routes.post(
    "/api/alerts/{alertId}/remediate",
    needs=REMEDIATE,
    body=NoFields,
    answers=Remediated,
    refuses=(canonical.JsonMalformed, AlertAbsent, AlertOver, NoRemedy, TwinOpen, Unsatisfiable),
)
async def remediate(request: Request, caller: Caller, body: NoFields) -> Remediated:
    """
    Ask for the action that the policy of the alert's type names; others decide it.

    Asking again gives the same action.
    """
    del body
    state = request.app.state
    alert_id = views.read_id(request.path_params["alertId"])
    action = await commands.remediate_by_hand(state.db, state.watch, alert_id, actor_of(caller))
    return Remediated(action.id)


@routes.get(
    "/api/alerts/{alertId}/decisions", needs=VIEW, answers=AlertDecisions, refuses=(AlertAbsent,)
)
async def list_decisions(request: Request, _caller: Caller) -> AlertDecisions:
    """List what was decided about an alert, by whom and why, oldest first."""
    alert_id = views.read_id(request.path_params["alertId"])
    found = await views.decisions_json(request.app.state.db, alert_id)
    return AlertDecisions(found, len(found))


@routes.get("/api/remediation-policies", needs=VIEW_POLICIES, answers=RemediationPolicies)
async def list_policies(request: Request, _caller: Caller) -> RemediationPolicies:
    """List what may be done by itself about each type of alert, and where nothing is any more."""
    db = request.app.state.db
    return RemediationPolicies(
        [views.policy_json(row) for row in await policies.listed(db)],
        [msgspec.to_builtins(row) for row in await db.read(store.LIST_BREAKERS)],
    )


@routes.get(
    "/api/remediation-policies/{alertType}",
    needs=VIEW_POLICIES,
    answers=RemediationPolicyAnswer,
    refuses=(PolicyUnknown,),
)
async def get_policy(request: Request, _caller: Caller) -> RemediationPolicyAnswer:
    """Show what may be done by itself about one type of alert."""
    db = request.app.state.db
    async with db.transaction("remediation.get_policy", readonly=True) as tx:
        found = await commands.policy_of(tx, request.path_params["alertType"])
    return RemediationPolicyAnswer(views.policy_json(found))


@routes.put(
    "/api/remediation-policies/{alertType}",
    needs=CHANGE_POLICIES,
    body=PolicyChange,
    answers=RemediationPolicyAnswer,
    refuses=(
        canonical.JsonMalformed,
        PolicyUnknown,
        PolicyRefused,
        PolicyOutOfBounds,
        TwinOpen,
        PlanRefused,
        Unsatisfiable,
    ),
)
async def put_policy(
    request: Request, caller: Caller, body: PolicyChange
) -> RemediationPolicyAnswer:
    """
    Change a policy. What allows less holds at once; what allows more waits for two people.

    The answer is then the policy as it still holds, and the action that waits.
    """
    state = request.app.state
    done = await policies.change(
        state.db, state.watch, request.path_params["alertType"], body, actor=actor_of(caller)
    )
    return RemediationPolicyAnswer(
        views.policy_json(done.policy),
        None if done.action is None else done.action.id,
        done.loosened,
    )


@routes.post(
    "/api/remediation-policies/breakers/close",
    needs=CHANGE_POLICIES,
    body=BreakerNamed,
    answers=BreakerClosed,
    refuses=(canonical.JsonMalformed, BreakerShut),
)
async def close_breaker(request: Request, caller: Caller, body: BreakerNamed) -> BreakerClosed:
    """Let remedies be proposed again for a target where two were without effect."""
    await policies.close_breaker(
        request.app.state.db, **msgspec.structs.asdict(body), by=caller.subject
    )
    return BreakerClosed()
