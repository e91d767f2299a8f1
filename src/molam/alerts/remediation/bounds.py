"""What a recommendation may say: the type its policy allows, and params within its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from molam.alerts.episodes.model import AlertRow
from molam.alerts.remediation.model import Policy
from molam.approvals.policy.durations import DurationMalformed, read_duration, seconds_of

_MAX = "_max"
_TARGETS = {
    "ADJUST_FLOAT": ("agent", "agent_id"),
    "FREEZE_MERCHANT": ("merchant", "merchant_id"),
    "PAUSE_PAYOUT": ("merchant", "merchant_id"),
}
"""Which kind of tenant an action type acts upon, and by which of its params."""

_GIVEN: Mapping[str, frozenset[str]] = {"ROUTE_PAYOUT_OVERRIDE": frozenset({"bank_profile_id"})}
"""What a recommendation says although no policy could know it."""

_TOLD_WHY = frozenset({"FREEZE_MERCHANT", "PAUSE_PAYOUT"})


class OutOfBounds(Exception):
    """The recommendation says what it may not; the text says what."""


def params_for(alert: AlertRow, policy: Policy, said: Mapping[str, object]) -> dict[str, Any]:
    """
    Join what the policy says with what is recommended, and name the target.

    Raises:
        OutOfBounds: more than the policy lets SIRA say, or about somebody else.
    """
    type_ = policy.action_type
    bounds = policy.bounds.get(type_)
    if not isinstance(bounds, Mapping):
        raise OutOfBounds(f"the policy allows no {type_}")
    known = {*policy.params, *(name.removesuffix(_MAX) for name in bounds)}
    for name in said:
        if name not in known | _GIVEN.get(type_, frozenset()):
            raise OutOfBounds(f"{name} is not for SIRA to say")
    params = {**policy.params, **said}
    for name, value in params.items():
        _check(name, value, bounds, alert.currency)
    return {**params, **_target(alert, type_), **_reason(alert, type_)}


def _target(alert: AlertRow, type_: str) -> dict[str, Any]:
    if type_ not in _TARGETS:
        return {}
    kind, name = _TARGETS[type_]
    if alert.tenant_type != kind or alert.tenant_id is None:
        raise OutOfBounds(f"{type_} acts upon a {kind}, and the alert is about none")
    return {name: alert.tenant_id}


def _reason(alert: AlertRow, type_: str) -> dict[str, Any]:
    return {"reason": alert.title} if type_ in _TOLD_WHY else {}


def _check(name: str, value: object, bounds: Mapping[str, object], currency: str | None) -> None:
    allowed = bounds.get(name)
    if isinstance(allowed, list) and value not in allowed:
        raise OutOfBounds(f"{name} is one of {', '.join(map(str, allowed))}")
    most = bounds.get(name + _MAX)
    if most is None:
        return
    if isinstance(most, Mapping):
        most = most.get(currency or "")
        if most is None:
            raise OutOfBounds(f"nothing says how much {name} may be in {currency}")
    if _measure(value) > _measure(most):
        raise OutOfBounds(f"{name} is at most {most}, and not {value}")


def _measure(value: object) -> Decimal:
    """
    Raises:
        OutOfBounds: neither a number nor how long something lasts.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal | float):
        raise OutOfBounds("a bound is a number, or a duration")
    if isinstance(value, str):
        try:
            return Decimal(seconds_of(read_duration(value)))
        except DurationMalformed as refusal:
            raise OutOfBounds("a bound is a number, or a duration") from refusal
    return Decimal(str(value))
