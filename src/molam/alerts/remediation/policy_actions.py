"""Changing a remediation policy so that more may happen by itself, once two people agree."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.alerts.remediation import policies
from molam.alerts.remediation.commands import locked_policy, policy_of
from molam.alerts.remediation.model import Policy, PolicyRefused
from molam.alerts.remediation.policies import PolicyChange
from molam.approvals.model import Actor
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx


class ChangeRemediationPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*document* holds the fields that change; shares in it are decimals."""

    alert_type: Annotated[str, Meta(min_length=1, max_length=64)]
    version: int
    document: dict[str, Any]


async def _plan(tx: Tx, params: ChangeRemediationPolicy) -> Plan:
    before = await policy_of(tx, params.alert_type)
    return Plan(
        target_name=params.alert_type,
        changes=tuple(
            Change(f"remediation.{name}", old, new)
            for name, old, new in policies.differences(before, _after(before, params))
        ),
        reversible=True,
        expect={"version": before.version},
        effects=("more_happens_by_itself",),
    )


async def _apply(tx: Tx, execution: Execution[ChangeRemediationPolicy]) -> Outcome:
    params = execution.params
    before = await locked_policy(tx, params.alert_type)
    if before.version != params.version:
        raise PreconditionChanged("The policy was changed since.")
    after = await policies.write(
        tx,
        before,
        _after(before, params),
        by=Actor(execution.executed_by),
        at=execution.at,
    )
    return Outcome({"updated": True, "alert_type": after.alert_type, "version": after.version})


def _after(before: Policy, params: ChangeRemediationPolicy) -> Policy:
    try:
        asked = msgspec.convert(_numbers(params.document), PolicyChange)
        return policies.changed(before, asked.given(), None)
    except msgspec.ValidationError as error:
        raise ParamsRefused(f"{error}.") from None
    except PolicyRefused as refusal:
        raise ParamsRefused(refusal.detail) from refusal


def _numbers(document: dict[str, Any]) -> dict[str, Any]:
    """Read shares that are written as text."""
    return {
        name: float(value)
        if name in {"auto_threshold", "share_of_targets"} and isinstance(value, str)
        else value
        for name, value in document.items()
    }


def _title(params: ChangeRemediationPolicy, locale: str) -> str:
    if locale == "fr":
        return f"Permettre davantage de soi-même aux alertes {params.alert_type}"
    return f"Let more happen by itself about {params.alert_type} alerts"


ACTIONS = (
    ActionType(
        name=policies.CHANGE,
        params=ChangeRemediationPolicy,
        risk="high",
        is_asked_by_code=True,
        title=_title,
        target=lambda params: Target(policies.TARGET, params.alert_type),
        plan=_plan,
        apply=_apply,
    ),
)
