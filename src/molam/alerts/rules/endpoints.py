"""Posting what is measured, and reading and tightening the rules that judge it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request

from molam.alerts.permissions import CHANGE_POLICIES, POST_METRICS, VIEW
from molam.alerts.rules import changing, commands, folding, messages, metrics, tenants, views
from molam.alerts.rules.changing import RuleChange
from molam.alerts.rules.messages import AGE_MAX, MetricEvent, MetricName
from molam.alerts.rules.model import (
    AlertType,
    MetricMalformed,
    RuleAbsent,
    RuleLoosened,
    RuleMalformed,
    Sample,
    TenantType,
)
from molam.approvals.requests import actor_of
from molam.kernel import canonical
from molam.kernel.clock import Instant
from molam.kernel.currency import UnknownCurrency
from molam.platform.web import Caller, Routes
from molam.platform.web.wire import CurrencyCode, Identifier, Moment, convert

routes = Routes()

EVENTS_MAX = 1000
_BODY_BYTES_MAX = 2 * 1024 * 1024


class MetricsPosted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One measurement, or up to 1,000 of them in `events`: all are taken, or none."""

    events: Annotated[list[MetricEvent], Meta(min_length=1, max_length=EVENTS_MAX)] | UnsetType = (
        UNSET
    )
    metric: MetricName | UnsetType = UNSET
    value: int | float | UnsetType = UNSET
    tenant_type: TenantType | UnsetType = UNSET
    timestamp: Moment | UnsetType = UNSET
    threshold: int | float | UnsetType | None = UNSET
    tenant_id: Identifier | UnsetType | None = UNSET
    currency: CurrencyCode | UnsetType | None = UNSET
    event_id: Identifier | UnsetType | None = UNSET
    context: dict[str, Any] | UnsetType | None = UNSET


class UnknownTenant(msgspec.Struct, frozen=True):
    tenant_type: TenantType
    tenant_id: str


class MetricsTaken(msgspec.Struct, frozen=True):
    """Nobody has registered `unknown_tenants`; what is told of them is kept all the same."""

    accepted: int
    unknown_tenants: list[UnknownTenant] | UnsetType = UNSET
    success: bool = True


class RulesAsked(msgspec.Struct, forbid_unknown_fields=True):
    alert_type: AlertType | None = None
    metric: MetricName | None = None
    tenant_type: TenantType | None = None
    tenant_id: Identifier | None = None
    currency: CurrencyCode | None = None


class RuleList(msgspec.Struct, frozen=True):
    rules: list[views.RuleView]
    success: bool = True


class RuleAnswer(msgspec.Struct, frozen=True):
    rule: views.RuleView
    success: bool = True


@routes.post(
    "/api/ops/metrics/events",
    needs=POST_METRICS,
    body=MetricsPosted,
    answers=MetricsTaken,
    status=202,
    refuses=(canonical.JsonMalformed, MetricMalformed, UnknownCurrency),
    body_bytes_max=_BODY_BYTES_MAX,
)
async def post_metrics(request: Request, _caller: Caller, body: MetricsPosted) -> MetricsTaken:
    """
    Tell what was measured. Rules judge it soon after, in the order of its own time.

    A measurement with an `event_id` that came before, of the same metric and tenant, is
    taken once. Amounts are in minor units; merchants and agents have their own currency
    unless one is given.
    """
    watch = request.app.state.watch
    now = watch.clock.now()
    samples = [_sample(event, now) for event in _events(body)]
    whose = [(each.tenant_type, each.tenant_id) for each in samples]
    async with request.app.state.db.transaction("alerts.post_metrics") as tx:
        rules = await watch.rules.current(tx)
        for sample in samples:
            folding.check_unit(sample, rules)
        await tenants.check_floats(tx, samples)
        unknown = await tenants.unknown(
            tx, ((each.tenant_type, each.tenant_id) for each in samples)
        )
        await commands.publish(tx, samples, now=now)
    names = {(row.kind, row.id) for row in unknown}
    metrics.UNKNOWN.inc(sum(each in names for each in whose))
    named = [UnknownTenant(row.kind, row.id) for row in unknown]
    return MetricsTaken(len(samples), named or UNSET)


def _events(body: MetricsPosted) -> list[MetricEvent]:
    alone = {
        name: value
        for name in MetricEvent.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }
    if body.events is UNSET:
        return [convert(alone, MetricEvent)]
    if alone:
        raise MetricMalformed("Send one measurement, or a list of them as events; not both.")
    return body.events


def _sample(event: MetricEvent, now: Instant) -> Sample:
    sample = messages.sample_of(event, now=now)
    if sample.at < now - AGE_MAX:
        raise MetricMalformed("It is more than eight days old, and says nothing of now.")
    return sample


@routes.get("/api/alerts/rules", needs=VIEW, query=RulesAsked, answers=RuleList)
async def list_rules(request: Request, _caller: Caller, query: RulesAsked) -> RuleList:
    """List rules. Of those for one type and metric, the most specific judges a tenant."""
    async with request.app.state.db.transaction("alerts.list_rules", readonly=True) as tx:
        rules = (await request.app.state.watch.rules.current(tx)).all
    wanted = {name: value for name in query.__struct_fields__ if (value := getattr(query, name))}
    return RuleList(
        [
            views.rule(rule)
            for rule in rules
            if all(getattr(rule, name) == value for name, value in wanted.items())
        ]
    )


@routes.put(
    "/api/alerts/rules",
    needs=CHANGE_POLICIES,
    body=RuleChange,
    answers=RuleAnswer,
    refuses=(canonical.JsonMalformed, RuleAbsent, RuleMalformed, RuleLoosened, UnknownCurrency),
)
async def put_rule(request: Request, caller: Caller, body: RuleChange) -> RuleAnswer:
    """
    Tighten a rule for all, for a currency, or for one tenant; what is left out stays.

    What would let more through than now is refused: ask for the action
    `UPDATE_RISK_THRESHOLD`, which others approve.
    """
    now = request.app.state.watch.clock.now()
    async with request.app.state.db.transaction("alerts.put_rule") as tx:
        changed = await changing.change(tx, body, by=actor_of(caller), now=now)
    return RuleAnswer(views.rule(changed.after))
