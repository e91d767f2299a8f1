"""The rules that raise alerts: their levels for every currency and tenant, and tightening them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.alerts import permissions as alerts
from molam.alerts.episodes import sentences
from molam.alerts.rules import changing
from molam.alerts.rules.changing import LOOSEN, RuleChange, Weighed
from molam.alerts.rules.messages import number
from molam.alerts.rules.model import (
    Rule,
    RuleAbsent,
    RuleLoosened,
    RuleMalformed,
    is_in_range,
)
from molam.kernel.currency import currency
from molam.kernel.money import AmountMalformed
from molam.ops import permissions
from molam.ops.propose_pages import actor_of
from molam.ops.shell import framed, may, said
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language, parse_amount
from molam.platform.web.templating import language_of

routes = Routes()

_HERE = "/alerts/rules"
_MINUTE_S = 60
_LEVELS = {"threshold": "fire_at", "critical_at": "critical_at", "clear_at": "clear_at"}
"""What the action that loosens calls each level."""
Typed = Annotated[str, Meta(max_length=40)]
Minutes = Annotated[int, Meta(ge=0, le=1440)]


class RulesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


class RuleQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[str, Meta(min_length=1, max_length=140)]


class Changed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A form about rule *id*; with *tenant_id* about that tenant alone. *sure* follows a look."""

    id: Annotated[str, Meta(min_length=1, max_length=140)]
    tenant_id: Annotated[str, Meta(max_length=255)] | None = None
    fire_at: Typed = ""
    clear_at: Typed = ""
    critical_at: Typed = ""
    for_minutes: Minutes | None = None
    keep_minutes: Minutes | None = None
    sure: Literal["yes"] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One rule in the list."""

    rule: Rule
    fire: str
    clear: str
    critical: str | None


@dataclass(frozen=True, slots=True)
class Effect:
    """
    What a change would do: levels that move, and what would let more through.

    *asking* fills in the form by which others are asked for it.
    """

    moved: list[tuple[str, str, str]]
    loosened: tuple[str, ...]
    asking: dict[str, str]


@routes.get(_HERE, needs=permissions.USE_CONSOLE, page=True, query=RulesQuery)
async def show(request: Request, caller: Caller, query: RulesQuery) -> Response:
    """List the rules; of those for one metric the most specific judges."""
    language = language_of(request, caller)
    async with request.app.state.db.transaction("ops.alert_rules", readonly=True) as tx:
        rules = (await request.app.state.watch.rules.current(tx)).all
    return await framed(
        request,
        caller,
        "alert_rules.html",
        place="alerts",
        lines=[_line(rule, language) for rule in rules],
        can_change=may(caller, alerts.CHANGE_POLICIES),
        said=said(query.said),
    )


@routes.get(
    _HERE + "/edit",
    needs=alerts.CHANGE_POLICIES,
    page=True,
    query=RuleQuery,
    refuses=(RuleAbsent,),
)
async def edit(request: Request, caller: Caller, query: RuleQuery) -> Response:
    """Show the form for one rule."""
    rule = await _rule(request, query.id)
    return await _form(request, caller, rule, Changed(id=rule.id))


@routes.post(
    _HERE + "/edit",
    needs=alerts.CHANGE_POLICIES,
    page=True,
    form=True,
    body=Changed,
    refuses=(RuleAbsent,),
)
async def change(request: Request, caller: Caller, form: Changed) -> Response:
    """Say first what it would change; then, asked again, change what only tightens."""
    state = request.app.state
    rule = await _rule(request, form.id)
    try:
        asked = _asked(rule, form)
        async with state.db.transaction("ops.change_alert_rule") as tx:
            if form.sure is None:
                weighed = await changing.weigh(tx, asked, book=state.watch.rules)
            else:
                weighed = await changing.change(
                    tx, asked, by=actor_of(caller), now=state.watch.clock.now()
                )
    except (_Mistyped, RuleMalformed, RuleLoosened) as refusal:
        return await _form(request, caller, rule, form, wrong=refusal)
    if form.sure is not None:
        return RedirectResponse(f"{_HERE}?said=rule-saved", status_code=HTTPStatus.SEE_OTHER)
    effect = _effect(weighed, language_of(request, caller))
    return await _form(request, caller, rule, form, effect=effect)


class _Mistyped(ValueError):
    """Field *name* says nothing that could be a level."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


async def _form(
    request: Request,
    caller: Caller,
    rule: Rule,
    form: Changed,
    *,
    effect: Effect | None = None,
    wrong: _Mistyped | RuleMalformed | RuleLoosened | None = None,
) -> Response:
    response = await framed(
        request,
        caller,
        "alert_rule.html",
        place="alerts",
        rule=rule,
        line=_line(rule, language_of(request, caller)),
        form=form,
        effect=effect,
        wrong=wrong,
        mistyped=wrong.name if isinstance(wrong, _Mistyped) else None,
        loosening=f"/ops/propose/{LOOSEN}",
    )
    if wrong is not None:
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


async def _rule(request: Request, rule_id: str) -> Rule:
    async with request.app.state.db.transaction("ops.alert_rule", readonly=True) as tx:
        rules = await request.app.state.watch.rules.current(tx)
        found: Rule | None = rules.by_id(rule_id)
    if found is None:
        raise RuleAbsent("Choose one from the list.")
    return found


def _asked(rule: Rule, form: Changed) -> RuleChange:
    """
    Raises:
        _Mistyped: a level is no number.
    """

    def level(name: str) -> int | float | UnsetType:
        text: str = getattr(form, name)
        if not text.strip():
            return UNSET
        found = _level(rule, text)
        if found is None:
            raise _Mistyped(name)
        return found

    def seconds(minutes: int | None) -> int | UnsetType:
        return UNSET if minutes is None else minutes * _MINUTE_S

    return RuleChange(
        alert_type=rule.alert_type,
        metric=rule.metric,
        tenant_type=rule.tenant_type,
        tenant_id=form.tenant_id or rule.tenant_id,
        currency=rule.currency,
        fire_at=level("fire_at"),
        clear_at=level("clear_at"),
        critical_at=level("critical_at"),
        for_s=seconds(form.for_minutes),
        keep_firing_s=seconds(form.keep_minutes),
    )


def _level(rule: Rule, text: str) -> int | float | None:
    """Read a level as people type it: amounts in francs, shares in percent; None: it is none."""
    if rule.unit == "amount" and rule.currency is not None:
        try:
            return parse_amount(text, currency(rule.currency)).minor
        except AmountMalformed:
            return None
    try:
        typed = Decimal(text.replace(",", ".").replace("%", "").strip())
    except InvalidOperation:
        return None
    if not is_in_range(typed):
        return None
    return number(typed / 100 if rule.unit == "share" else typed)


def _effect(weighed: Weighed, language: Language) -> Effect:
    before, after = weighed.before or weighed.after, weighed.after
    facts = {"unit": after.unit, "currency": after.currency}
    moved = [
        (
            name,
            sentences.value(getattr(before, name), facts, language),
            sentences.value(getattr(after, name), facts, language),
        )
        for name in _LEVELS.values()
        if getattr(before, name) != getattr(after, name)
    ]
    for name in ("for_s", "keep_firing_s"):
        was, is_ = getattr(before, name), getattr(after, name)
        if was != is_:
            moved.append((name, f"{was // _MINUTE_S} min", f"{is_ // _MINUTE_S} min"))
    asking: dict[str, object] = {
        "alert_type": after.alert_type,
        "metric": after.metric,
        "tenant_type": after.tenant_type,
        "tenant_id": after.tenant_id,
        "currency": after.currency,
        **{field: getattr(after, name) for field, name in _LEVELS.items()},
    }
    return Effect(
        moved,
        weighed.loosened,
        {name: _plain(value) for name, value in asking.items() if value is not None},
    )


def _plain(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _line(rule: Rule, language: Language) -> Line:
    facts = {"unit": rule.unit, "currency": rule.currency}
    return Line(
        rule=rule,
        fire=sentences.value(rule.fire_at, facts, language),
        clear=sentences.value(rule.clear_at, facts, language),
        critical=None
        if rule.critical_at is None
        else sentences.value(rule.critical_at, facts, language),
    )
