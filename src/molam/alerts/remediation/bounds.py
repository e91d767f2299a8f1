"""What a recommendation may say: the type its policy allows, and params within its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from molam.alerts.episodes.model import AlertRow
from molam.alerts.remediation.model import Policy, Remedy
from molam.approvals.policy.durations import DurationMalformed, read_duration, seconds_of
from molam.sira.recommending import MANUAL_REVIEW

MAX = "_max"
TARGETS: Mapping[str, tuple[str, str | None]] = {
    "ADJUST_FLOAT": ("agent", "agent_id"),
    "FREEZE_MERCHANT": ("merchant", "merchant_id"),
    "PAUSE_PAYOUT": ("merchant", "merchant_id"),
    "EMERGENCY_CIRCUIT_BREAK": ("bank", "bank_profile_id"),
    "ROUTE_PAYOUT_OVERRIDE": ("bank", None),
    "REQUEUE_DLQ": ("platform", None),
}
"""About which kind of tenant an action type is, and by which of its params it names it."""

GIVEN: Mapping[str, Mapping[str, str]] = {
    "ROUTE_PAYOUT_OVERRIDE": {
        "bank_profile_id": "no other bank is known of which it is sure that fewer payouts fail"
    }
}
"""What a recommendation says although no policy could know it, and what it means if it does not."""

TOLD_WHY = frozenset({"FREEZE_MERCHANT", "PAUSE_PAYOUT", "EMERGENCY_CIRCUIT_BREAK"})


class OutOfBounds(Exception):
    """The recommendation says what it may not; the text says what, and *bound* by which bound."""

    def __init__(self, text: str, bound: str | None = None) -> None:
        super().__init__(text)
        self.bound = bound


def params_for(alert: AlertRow, policy: Policy, said: Mapping[str, object]) -> dict[str, Any]:
    """
    Join what the policy says with what is recommended, and name the target.

    Raises:
        OutOfBounds: more than the policy lets SIRA say, or about somebody else.
    """
    remedy = policy.remedy_for(alert.tenant_type)
    type_ = remedy.action_type
    if type_ == MANUAL_REVIEW:
        raise OutOfBounds("nothing that could be asked for would help; people have to look")
    bounds = policy.bounds.get(type_)
    if not isinstance(bounds, Mapping):
        raise OutOfBounds(f"the policy allows no {type_}")
    target = _target(alert, type_)
    known = {*remedy.params, *(name.removesuffix(MAX) for name in bounds)} - {"currency"}
    given = GIVEN.get(type_, {})
    for name in said:
        if name not in known | given.keys():
            raise OutOfBounds(f"{name} is not for SIRA to say")
    params = {**_own(remedy, bounds, alert.currency), **said}
    for name, value in params.items():
        check(name, value, bounds, alert.currency)
    for name in remedy.params.keys() - params.keys() - {"currency"}:
        raise OutOfBounds(f"the policy says {name} in {remedy.params['currency']} alone")
    for name in given.keys() - params.keys():
        raise OutOfBounds(given[name])
    return {**_in_currency(params, bounds, alert.currency), **target, **_reason(alert, type_)}


def _own(
    remedy: Remedy, bounds: Mapping[str, object], currency: str | None
) -> Mapping[str, object]:
    """Return what the policy says by itself: an amount only if it is in the alert's currency."""
    if remedy.params.get("currency", currency) == currency:
        return remedy.params
    return {
        name: value
        for name, value in remedy.params.items()
        if name != "currency" and not is_amount(name, bounds)
    }


def is_amount(name: str, bounds: Mapping[str, object]) -> bool:
    return name == "amount" or isinstance(bounds.get(name + MAX), Mapping)


def _in_currency(
    params: Mapping[str, object], bounds: Mapping[str, object], currency: str | None
) -> dict[str, object]:
    """
    Write amounts in the currency they were checked in: bare, they would be read in the target's.

    Raises:
        OutOfBounds: the alert is in no currency, or an amount is in another one.
    """
    bound = dict(params)
    for name in [name for name in params if is_amount(name, bounds)]:
        value = params[name]
        if isinstance(value, Mapping):
            if value.get("currency") != currency:
                raise OutOfBounds(f"{name} is in another currency than the alert", name)
            continue
        if currency is None:
            raise OutOfBounds(f"nothing says in which currency {name} is", name)
        bound[name] = {"currency": currency, "minor": value}
        bound.pop("currency", None)
    return bound


def _target(alert: AlertRow, type_: str) -> dict[str, Any]:
    if type_ not in TARGETS:
        return {}
    kind, name = TARGETS[type_]
    if alert.tenant_type != kind or (name is not None and alert.tenant_id is None):
        raise OutOfBounds(f"it is about one {kind}, and the alert is about a {alert.tenant_type}")
    return {} if name is None else {name: alert.tenant_id}


def _reason(alert: AlertRow, type_: str) -> dict[str, Any]:
    return {"reason": alert.title} if type_ in TOLD_WHY else {}


def check(name: str, value: object, bounds: Mapping[str, object], currency: str | None) -> None:
    """
    Raises:
        OutOfBounds: *value* is not one of those allowed, or more than that.
    """
    allowed = bounds.get(name)
    if isinstance(allowed, list) and value not in allowed:
        raise OutOfBounds(f"{name} is one of {', '.join(map(str, allowed))}", name)
    most = bounds.get(name + MAX)
    if most is None:
        return
    if is_amount(name, bounds):
        most = most.get(currency or "") if isinstance(most, Mapping) else None
        if most is None:
            raise OutOfBounds(f"nothing says how much {name} may be in {currency}", name + MAX)
    if measure(value) > measure(most):
        raise OutOfBounds(f"{name} is at most {most}, and not {value}", name + MAX)


def measure(value: object) -> Decimal:
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
