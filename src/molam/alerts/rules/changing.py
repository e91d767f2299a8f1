"""Changing rules: what only tightens holds at once, what loosens others have to agree to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from molam.alerts.rules import series_store, settling, store
from molam.alerts.rules.book import RuleBook
from molam.alerts.rules.messages import MetricName
from molam.alerts.rules.model import (
    SEVERITIES,
    AlertType,
    Escalation,
    Family,
    Rule,
    RuleAbsent,
    RuleLoosened,
    RuleMalformed,
    Severity,
    TenantType,
    exact,
    is_in_range,
)
from molam.approvals.model import Actor
from molam.approvals.permissions import STAFF
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.currency import currency as known_currency
from molam.kernel.ids import show, uuid8
from molam.platform.db import Tx
from molam.platform.web.wire import CurrencyCode, Identifier

LOOSEN = "UPDATE_RISK_THRESHOLD"
"""The action by which others agree to loosening."""

CHAIN = "alerts"

_DAY_S = 86_400
_Seconds = Annotated[int, Meta(ge=0, le=_DAY_S)]
_Roles = Annotated[list[Identifier], Meta(min_length=1, max_length=10)]
_Steps = Annotated[list[Escalation], Meta(max_length=10)]


class RuleChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A rule for one tenant, one currency, or all; what is left out stays as it is there.

    Where there is none yet for exactly this, it starts as the one that judges now.
    """

    alert_type: AlertType
    metric: MetricName
    tenant_type: TenantType
    tenant_id: Identifier | None = None
    currency: CurrencyCode | None = None
    fire_at: int | float | UnsetType = UNSET
    clear_at: int | float | UnsetType = UNSET
    critical_at: int | float | UnsetType | None = UNSET
    for_s: _Seconds | UnsetType = UNSET
    keep_firing_s: _Seconds | UnsetType = UNSET
    no_data_s: Annotated[int, Meta(ge=30, le=7 * _DAY_S)] | UnsetType | None = UNSET
    severity: Severity | UnsetType = UNSET
    notify_roles: _Roles | UnsetType = UNSET
    escalation: _Steps | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a change comes to: *before* judges now, and *loosened* lets more through."""

    before: Rule | None
    after: Rule
    loosened: tuple[str, ...]


async def weigh(tx: Tx, asked: RuleChange, *, book: RuleBook | None = None) -> Weighed:
    """
    Say what *asked* would change, and change nothing.

    Raises:
        RuleAbsent: nothing of this kind is judged.
        RuleMalformed: its levels contradict each other, or their unit.
        UnknownCurrency: the product keeps no money in it.
    """
    if asked.currency is not None:
        known_currency(asked.currency)
    rules = await (book or RuleBook()).current(tx)
    family: Family = (asked.alert_type, asked.metric, asked.tenant_type)
    kin = [rule for rule in rules.all if rule.family == family]
    if not kin:
        raise RuleAbsent("Rules that there are can be listed by GET /api/alerts/rules.")
    scope = asked.tenant_id, asked.currency
    own = next((rule for rule in kin if (rule.tenant_id, rule.currency) == scope), None)
    judging = rules.judge_of(family, asked.tenant_id, asked.currency)
    start = own or judging
    if start is None:
        if UNSET in (asked.fire_at, asked.clear_at):
            raise RuleMalformed("Nothing is judged here yet: give fire_at and clear_at.")
        start = replace(kin[0], critical_at=None, no_data_s=None)
    after = _checked(_after(asked, start, own))
    looser = {
        name for rule in _shadowed(kin, asked, judging, own) for name in loosened(rule, after)
    }
    return Weighed(judging, after, tuple(sorted(looser)))


async def change(
    tx: Tx, asked: RuleChange, *, by: Actor, now: Instant, may_loosen: bool = False
) -> Weighed:
    """
    Change a rule, in the record, and let it judge what holds already.

    *may_loosen* is for what others have agreed to. It locks the end of the record: call
    this last.

    Raises:
        RuleLoosened: it would let more through.
        RuleAbsent, RuleMalformed, UnknownCurrency: see `weigh`.
    """
    await tx.one(store.LOCK_RULES)
    weighed = await weigh(tx, asked)
    if weighed.loosened and not may_loosen:
        raise RuleLoosened(
            f"{', '.join(weighed.loosened)} would let more through than now. Ask for the action"
            f" {LOOSEN}, which others approve.",
            action_type=LOOSEN,
        )
    await _write(tx, weighed.after, by=by.id)
    await _judge_again(tx, weighed.after, now=now)
    written = (await RuleBook().current(tx)).by_id(weighed.after.id)
    assert written is not None
    await _record(tx, weighed, by=by, now=now)
    return replace(weighed, after=written)


async def _write(tx: Tx, rule: Rule, *, by: str) -> None:
    await tx.run(
        store.WRITE_RULE,
        id=rule.id,
        alert_type=rule.alert_type,
        metric=rule.metric,
        comparison=rule.comparison,
        tenant_type=rule.tenant_type,
        tenant_id=rule.tenant_id,
        currency=rule.currency,
        unit=rule.unit,
        fire_at=rule.fire_at,
        clear_at=rule.clear_at,
        critical_at=rule.critical_at,
        for_s=rule.for_s,
        keep_firing_s=rule.keep_firing_s,
        no_data_s=rule.no_data_s,
        severity=rule.severity,
        notify_roles=list(rule.notify_roles),
        escalation=msgspec.to_builtins(rule.escalation),
        enabled=rule.enabled,
        by=by,
    )


async def _judge_again(tx: Tx, rule: Rule, *, now: Instant) -> None:
    """Let every series of the rule's family look again at what it holds."""
    alert_type, metric, tenant_type = rule.family
    await tx.run(
        series_store.MAKE_DUE,
        alert_type=alert_type,
        metric=metric,
        tenant_type=tenant_type,
        now=now,
    )
    await settling.ask_to_settle(tx, now, now=now)


def loosened(before: Rule, after: Rule) -> list[str]:
    """Name what lets more through in *after* than in *before*: all that is not provably tighter."""
    sign = 1 if before.comparison == "below" else -1

    def later(old: Decimal | None, new: Decimal | None) -> bool:
        return old is not None and (new is None or sign * new < sign * old)

    longer_silence = before.no_data_s is not None and (
        after.no_data_s is None or after.no_data_s > before.no_data_s
    )
    found = {
        "fire_at": later(before.fire_at, after.fire_at),
        "clear_at": later(before.clear_at, after.clear_at),
        "critical_at": later(before.critical_at, after.critical_at),
        "for_s": after.for_s > before.for_s,
        "keep_firing_s": after.keep_firing_s < before.keep_firing_s,
        "no_data_s": longer_silence,
        "severity": SEVERITIES.index(after.severity) < SEVERITIES.index(before.severity),
        "notify_roles": not set(before.notify_roles) <= set(after.notify_roles),
        "escalation": not all(_is_kept(step, after.escalation) for step in before.escalation),
        "enabled": before.enabled and not after.enabled,
    }
    return [name for name, is_looser in found.items() if is_looser]


def _is_kept(step: Escalation, steps: Sequence[Escalation]) -> bool:
    return any(each.role == step.role and each.after_s <= step.after_s for each in steps)


def _shadowed(
    kin: Sequence[Rule], asked: RuleChange, judging: Rule | None, own: Rule | None
) -> list[Rule]:
    """List what would judge no more where this rule does."""
    found = [] if judging is None else [judging]
    if asked.tenant_id is not None and asked.currency is None and (own is None or not own.enabled):
        found += [one for one in kin if one.enabled and not one.tenant_id and one.currency]
    return found


def _after(asked: RuleChange, start: Rule, own: Rule | None) -> Rule:
    given: dict[str, Any] = {}
    for name in ("fire_at", "clear_at", "critical_at"):
        level = getattr(asked, name)
        if level is not UNSET:
            given[name] = None if level is None else exact(_bounded(level))
    for name in ("for_s", "keep_firing_s", "no_data_s", "severity", "enabled"):
        value = getattr(asked, name)
        if value is not UNSET:
            given[name] = value
    if asked.notify_roles is not UNSET:
        given["notify_roles"] = tuple(dict.fromkeys(asked.notify_roles))
    if asked.escalation is not UNSET:
        given["escalation"] = tuple(asked.escalation)
    scope = [*start.family, asked.tenant_id, asked.currency]
    name = show("rule", uuid8(msgspec.json.encode(scope).decode()))
    base = replace(
        start,
        id=name if own is None else own.id,
        tenant_id=asked.tenant_id,
        currency=asked.currency,
        enabled=start.enabled or own is None,
    )
    return replace(base, **given)


def _bounded(level: float) -> float:
    if not is_in_range(level):
        raise RuleMalformed("A level is out of range.")
    return level


def _checked(rule: Rule) -> Rule:
    """
    Raises:
        RuleMalformed: see `weigh`.
    """
    levels = [rule.fire_at, rule.clear_at, *filter(None, [rule.critical_at])]
    if rule.unit == "amount" and rule.currency is None:
        raise RuleMalformed("Amounts are in a currency: say which.")
    if rule.unit == "amount" and any(level % 1 for level in levels):
        raise RuleMalformed("Levels of amounts are whole minor units, without decimal point.")
    if rule.unit == "share" and not all(0 <= level <= 1 for level in levels):
        raise RuleMalformed("Levels of shares are from 0 to 1.")
    sign = 1 if rule.comparison == "below" else -1
    if sign * rule.clear_at < sign * rule.fire_at:
        raise RuleMalformed("A value that clears must not be one that fires.")
    if rule.critical_at is not None and sign * rule.critical_at > sign * rule.fire_at:
        raise RuleMalformed("What is critical must be worse than what fires.")
    if (rule.tenant_type == "platform") and rule.tenant_id is not None:
        raise RuleMalformed("The platform is no tenant.")
    _check_people(rule)
    return rule


def _check_people(rule: Rule) -> None:
    unknown = sorted({*rule.notify_roles, *(step.role for step in rule.escalation)} - STAFF)
    if unknown:
        raise RuleMalformed(f"Nobody of operations has the role {unknown[0][:64]}.")
    waits = [step.after_s for step in rule.escalation]
    if waits != sorted(waits) or any(not 0 < wait <= 7 * _DAY_S for wait in waits):
        raise RuleMalformed("Steps of an escalation come one after the other, within a week.")


async def _record(tx: Tx, weighed: Weighed, *, by: Actor, now: Instant) -> None:
    fact = Fact(
        event="alert_rule.changed",
        actor_kind=by.kind,
        actor_id=by.id,
        data={
            "rule_id": weighed.after.id,
            "before": None if weighed.before is None else _told(weighed.before),
            "after": _told(weighed.after),
            "loosened": list(weighed.loosened),
        },
    )
    await append_to(tx, CHAIN, [fact], at=now)


def _told(rule: Rule) -> dict[str, object]:
    told = {name: getattr(rule, name) for name in Rule.__slots__ if name != "updated_at"}
    document: dict[str, object] = msgspec.json.decode(msgspec.json.encode(told))
    return document
