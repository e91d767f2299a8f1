"""Changing the level at which a value is an alert, once others agree."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from molam.alerts.episodes import sentences
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
from molam.platform.web.l10n import Language
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
    clear_at, critical_at = params.clear_at, params.critical_at
    if clear_at is None:
        clear_at = _moved(before, before.clear_at, params.threshold)
    if critical_at is None and before.critical_at is not None:
        critical_at = _moved(before, before.critical_at, params.threshold)
    asked = RuleChange(
        **scope,
        fire_at=_number(params.threshold),
        clear_at=_number(clear_at),
        critical_at=UNSET if critical_at is None else _number(critical_at),
    )
    return asked, await changing.weigh(tx, asked)


def _moved(before: Rule, level: Decimal, threshold: Decimal) -> Decimal:
    """Move *level* with the threshold: amounts in proportion, so that none falls below zero."""
    if before.unit != "amount" or before.fire_at <= 0:
        return level + threshold - before.fire_at
    return (level * threshold / before.fire_at).quantize(Decimal(1))


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
            *_changes(before, after),
            Change("alerts_of_30_days", had.count, would.count),
        ),
        reversible=True,
        expect={"levels": {name: _text(level) for name, level in _levels(before).items()}},
        effects=("fewer_alerts",) if weighed.loosened else (),
        title={"en": _said(params, before, after, "en"), "fr": _said(params, before, after, "fr")},
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
        _changes(before, done.after),
    )


def _levels(rule: Rule) -> dict[str, Decimal | None]:
    return {"fire_at": rule.fire_at, "clear_at": rule.clear_at, "critical_at": rule.critical_at}


def _text(level: Decimal | None) -> str | None:
    return None if level is None else f"{level.normalize():f}"


def _changes(before: Rule, after: Rule) -> tuple[Change, ...]:
    return tuple(
        Change(f"alert_rule.{name}", _shown(before, getattr(before, name)), _shown(after, level))
        for name, level in _levels(after).items()
        if level != getattr(before, name)
    )


def _shown(rule: Rule, level: Decimal | None) -> object:
    """Write a level so that whoever decides can read it: money, percent, or a number."""
    if level is None:
        return None
    if rule.unit == "amount" and rule.currency is not None:
        return {"currency": rule.currency, "minor": int(level)}
    return {"en": _worded(rule, level, "en"), "fr": _worded(rule, level, "fr")}


def _worded(rule: Rule, level: Decimal, language: Language) -> str:
    return sentences.value(level, {"unit": rule.unit, "currency": rule.currency}, language)


def _scope_of(params: UpdateRiskThreshold) -> str:
    where = params.tenant_id or params.currency or params.tenant_type
    return f"{params.alert_type} / {where}"


_BEYOND = MappingProxyType(
    {
        ("below", "en"): "under",
        ("below", "fr"): "sous",
        ("above", "en"): "above",
        ("above", "fr"): "au-delà de",
    }
)
_MOVED = MappingProxyType(
    {
        ("clear_at", "en"): "over again at {level}",
        ("clear_at", "fr"): "fin à {level}",
        ("critical_at", "en"): "critical {beyond} {level}",
        ("critical_at", "fr"): "critique {beyond} {level}",
    }
)


def _said(params: UpdateRiskThreshold, before: Rule, after: Rule, language: Language) -> str:
    """Say from when it alerts, and whatever else moves with it."""
    beyond = _BEYOND[after.comparison, language]
    moved = [
        _MOVED[name, language].format(beyond=beyond, level=_worded(after, level, language))
        for name, level in _levels(after).items()
        if name != "fire_at" and level is not None and level != getattr(before, name)
    ]
    beside = f" ({', '.join(moved)})" if moved else ""
    level, what = _worded(after, after.fire_at, language), _named(params, language)
    if language == "fr":
        return f"Alerter {beyond} {level}{beside} pour {what}"
    return f"Alert {beyond} {level}{beside} for {what}"


def _named(params: UpdateRiskThreshold, language: Language) -> str:
    where = ", ".join(filter(None, (params.tenant_id, params.currency)))
    return sentences.type_word(params.alert_type, language) + (f", {where}" if where else "")


def _title(params: UpdateRiskThreshold, locale: str) -> str:
    if locale == "fr":
        return f"Changer le seuil d'alerte pour {_named(params, 'fr')}"
    return f"Change when it alerts for {_named(params, 'en')}"


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
