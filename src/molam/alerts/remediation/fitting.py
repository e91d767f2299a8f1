"""Whether what a policy asks for is something that can be done, within what the policy allows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from molam.alerts.remediation import bounds
from molam.alerts.remediation.bounds import GIVEN, MAX, TARGETS, TOLD_WHY, OutOfBounds
from molam.alerts.remediation.model import Policy, PolicyOutOfBounds, PolicyRefused, Remedy
from molam.alerts.rules.model import TenantType
from molam.approvals.intents import read_params
from molam.platform.actions import ParamsRefused, Registry
from molam.sira.recommending import MANUAL_REVIEW

_PARTS = frozenset({"action_type", "params"})
_COMPLETED: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {"ROUTE_PAYOUT_OVERRIDE": {"mesh_region_id": "region", "currency": "XOF"}}
)
"""What an action type finds out by itself where it is left out."""


def check(policy: Policy, registry: Registry | None) -> None:
    """
    Make sure of each of a policy's remedies; without *registry*, of its form and bounds alone.

    Raises:
        PolicyOutOfBounds: names the bound.
        PolicyRefused: it could never be asked for.
    """
    _check_form(policy.auto_action, _PARTS | {"for_tenants"})
    own = policy.auto_action.get("for_tenants", {})
    if not isinstance(own, dict) or set(own) - set(get_args(TenantType)):
        raise PolicyRefused("for_tenants names kinds of tenants, such as bank.")
    for said in own.values():
        _check_form(said, _PARTS)
    for kind, remedy in policy.remedies():
        if remedy.action_type != MANUAL_REVIEW:
            _check_remedy(policy, kind, remedy, registry)


def _check_form(said: object, parts: frozenset[str]) -> None:
    if (
        not isinstance(said, dict)
        or set(said) - parts
        or not isinstance(said.get("action_type"), str)
        or not isinstance(said.get("params", {}), dict)
    ):
        raise PolicyRefused("auto_action has an action_type, and params.")


def _check_remedy(
    policy: Policy, kind: str | None, remedy: Remedy, registry: Registry | None
) -> None:
    name = remedy.action_type
    within = policy.bounds.get(name)
    if not isinstance(within, dict):
        raise PolicyRefused(f"bounds says within what {name[:64]} may be asked for.")
    about = TARGETS.get(name, (kind, None))[0]
    if kind not in {None, about}:
        raise PolicyRefused(f"{name} is about one {about}, and not about a {kind}.")
    try:
        _check_bounds(remedy, within)
    except OutOfBounds as error:
        raise PolicyOutOfBounds(
            f"{name}: {error}.", action_type=name, bound=error.bound or "bounds"
        ) from None
    if registry is None:
        return
    if name not in registry or registry.find(name).is_asked_by_code:
        raise PolicyRefused(f"Nothing here knows how to do {name[:64]}.")
    try:
        read_params(registry.find(name), _filled(remedy))
    except ParamsRefused as refusal:
        raise PolicyRefused(f"{name}: {refusal.detail}", action_type=name) from None


def _check_bounds(remedy: Remedy, within: Mapping[str, object]) -> None:
    """Hold what is asked for against every bound: an amount of no currency against all of them."""
    for name, most in within.items():
        if name == "amount" + MAX and not isinstance(most, Mapping):
            raise OutOfBounds("it says for each currency how much", name)
        if name.endswith(MAX):
            for each in most.values() if isinstance(most, Mapping) else (most,):
                _measurable(name, each)
    currency = remedy.params.get("currency")
    for name, value in remedy.params.items():
        most = within.get(name + MAX)
        if isinstance(most, Mapping) and currency is None:
            for each in most:
                bounds.check(name, value, within, each)
        else:
            bounds.check(name, value, within, str(currency))


def _measurable(name: str, most: object) -> None:
    try:
        bounds.measure(most)
    except OutOfBounds as error:
        raise OutOfBounds(str(error), name) from None


def _filled(remedy: Remedy) -> dict[str, Any]:
    """Add what is known only of an alert, so that the rest can be read as the type has it."""
    params = dict(remedy.params)
    target = TARGETS.get(remedy.action_type, (None, None))[1]
    names = {*GIVEN.get(remedy.action_type, {}), *({target} if target else ())}
    why = {"reason": "an alert"} if remedy.action_type in TOLD_WHY else {}
    filled = {
        **_COMPLETED.get(remedy.action_type, {}),
        **dict.fromkeys(names, "somebody"),
        **why,
        **params,
    }
    amount = params.get("amount")
    if isinstance(amount, int) and not isinstance(amount, bool):
        currency = filled.pop("currency", "XOF")
        filled["amount"] = {"currency": currency, "minor": amount}
    return filled
