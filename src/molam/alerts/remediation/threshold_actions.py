"""Changing the level at which a value is an alert, once others agree."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from molam.alerts.remediation import evidence_store
from molam.alerts.rules import changing
from molam.alerts.rules.changing import RuleChange, Weighed
from molam.alerts.rules.model import AlertType, Rule, TenantType, is_in_range
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
from molam.platform.web.wire import CurrencyCode, Identifier


class UpdateRiskThreshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    *threshold* is the level that fires; the others stay as far from it as they were.

    Without *tenant_id* it is that of all of *currency*, or of all.
    """

    threshold: Decimal
    alert_type: AlertType
    metric: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.]{0,63}\Z")]
    tenant_type: TenantType
    tenant_id: Identifier | None = None
    currency: CurrencyCode | None = None
    clear_at: Decimal | None = None
    critical_at: Decimal | None = None

    def __post_init__(self) -> None:
        levels = (self.threshold, self.clear_at, self.critical_at)
        if not all(is_in_range(each) for each in levels if each is not None):
            raise ValueError("a level is out of range")


async def _complete(_tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Read levels as numbers, however they are written."""
    levels = {
        name: Decimal(str(raw[name]))
        for name in ("threshold", "clear_at", "critical_at")
        if isinstance(raw.get(name), int | float | Decimal) and not isinstance(raw[name], bool)
    }
    return {**raw, **levels}


async def _weighed(tx: Tx, params: UpdateRiskThreshold) -> tuple[RuleChange, Weighed]:
    scope: dict[str, Any] = {
        "alert_type": params.alert_type,
        "metric": params.metric,
        "tenant_type": params.tenant_type,
        "tenant_id": params.tenant_id,
        "currency": params.currency,
    }
    now = await changing.weigh(tx, RuleChange(**scope))
    before = now.before or now.after
    moved = params.threshold - before.fire_at
    clear_at = before.clear_at + moved if params.clear_at is None else params.clear_at
    critical_at = params.critical_at
    if critical_at is None and before.critical_at is not None:
        critical_at = before.critical_at + moved
    asked = RuleChange(
        **scope,
        fire_at=_number(params.threshold),
        clear_at=_number(clear_at),
        critical_at=UNSET if critical_at is None else _number(critical_at),
    )
    return asked, await changing.weigh(tx, asked)


def _number(level: Decimal) -> int | float:
    return int(level) if level == int(level) else float(level)


async def _plan(tx: Tx, params: UpdateRiskThreshold) -> Plan:
    _, weighed = await _weighed(tx, params)
    before, after = weighed.before or weighed.after, weighed.after
    if _levels(before) == _levels(after):
        raise ParamsRefused("This is the level already.")
    scope = {
        "alert_type": params.alert_type,
        "tenant_type": params.tenant_type,
        "tenant_id": params.tenant_id,
        "currency": params.currency,
    }
    had = await tx.one(
        evidence_store.HIT_BY_THRESHOLD, **scope, below=None, threshold=after.fire_at
    )
    would = await tx.one(
        evidence_store.HIT_BY_THRESHOLD,
        **scope,
        below=after.comparison == "below",
        threshold=after.fire_at,
    )
    assert had is not None
    assert would is not None
    return Plan(
        target_name=_scope_of(params),
        changes=(
            *(
                Change(f"alert_rule.{name}", _text(getattr(before, name)), _text(level))
                for name, level in _levels(after).items()
                if level != getattr(before, name)
            ),
            Change("alerts_of_30_days", had.count, would.count),
        ),
        reversible=True,
        expect={"levels": {name: _text(level) for name, level in _levels(before).items()}},
        effects=("fewer_alerts",) if weighed.loosened else (),
    )


async def _apply(tx: Tx, execution: Execution[UpdateRiskThreshold]) -> Outcome:
    params = execution.params
    asked, weighed = await _weighed(tx, params)
    before = weighed.before or weighed.after
    found = {name: _text(level) for name, level in _levels(before).items()}
    if execution.expect.get("levels") != found:
        raise PreconditionChanged("The level was changed since.")
    done = await changing.change(
        tx, asked, by=Actor(execution.executed_by), now=execution.at, may_loosen=True
    )
    return Outcome(
        {"updated": True, "threshold": _text(done.after.fire_at), "rule_id": done.after.id},
        (Change("alert_rule.fire_at", found["fire_at"], _text(done.after.fire_at)),),
    )


def _levels(rule: Rule) -> dict[str, Decimal | None]:
    return {"fire_at": rule.fire_at, "clear_at": rule.clear_at, "critical_at": rule.critical_at}


def _text(level: Decimal | None) -> str | None:
    return None if level is None else f"{level.normalize():f}"


def _scope_of(params: UpdateRiskThreshold) -> str:
    where = params.tenant_id or params.currency or params.tenant_type
    return f"{params.alert_type} / {where}"


def _title(params: UpdateRiskThreshold, locale: str) -> str:
    level = _text(params.threshold)
    if locale == "fr":
        return f"Alerter à {level} pour {_scope_of(params)}"
    return f"Alert at {level} for {_scope_of(params)}"


ACTIONS = (
    ActionType(
        name=changing.LOOSEN,
        params=UpdateRiskThreshold,
        risk="high",
        title=_title,
        target=lambda params: Target("alert_rule", _target_id(params)),
        complete=_complete,
        plan=_plan,
        apply=_apply,
    ),
)


def _target_id(params: UpdateRiskThreshold) -> str:
    parts = (
        params.alert_type,
        params.metric,
        params.tenant_type,
        params.tenant_id,
        params.currency,
    )
    return "/".join(filter(None, parts))[:255]
