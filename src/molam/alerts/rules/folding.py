"""Taking measurements in: each moves its series, and its minute, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from molam.alerts.rules import keeping, metrics, points, series, series_store
from molam.alerts.rules.book import Rules
from molam.alerts.rules.messages import Heard
from molam.alerts.rules.model import (
    MetricMalformed,
    Rule,
    Sample,
    TenantType,
    Transition,
    key_of,
)
from molam.alerts.rules.series import LATENESS
from molam.alerts.rules.state import SeriesState
from molam.kernel.clock import Instant
from molam.platform.db import Tx

Tenant = tuple[TenantType, str | None]


@dataclass(slots=True)
class Work:
    """What is to be done about one series."""

    rule: Rule
    tenant_id: str | None
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Folded:
    """What became true, and the next moment at which something may by time alone."""

    transitions: list[Transition]
    due_at: Instant | None


async def first_heard(tx: Tx, heard: Sequence[Heard]) -> list[Heard]:
    """Pass over what has come before: producers, and the way through Kafka, may repeat it."""
    named = {each.event_id: each for each in heard if each.event_id is not None}
    for row in await tx.all(series_store.TAKE_EVENTS, ids=list(named)):
        del named[str(row.id)]
    return [*named.values(), *(each for each in heard if each.event_id is None)]


def check_unit(sample: Sample, rules: Rules) -> None:
    """
    Raises:
        MetricMalformed: it is not in the unit that rules for its metric are in.
    """
    unit = rules.units.get(sample.metric)
    if unit == "amount" and sample.value % 1:
        raise MetricMalformed(
            f"{sample.metric} is in whole minor units of a currency, without decimal point."
        )
    if unit == "share" and not 0 <= sample.value <= 1:
        raise MetricMalformed(f"{sample.metric} is a share, from 0 to 1.")


async def take(
    tx: Tx,
    rules: Rules,
    samples: Sequence[Sample],
    *,
    clocks: dict[Tenant, Instant],
    ticks: Iterable[Tenant] = (),
    settle: bool = False,
) -> Folded:
    """
    Judge *samples*, each once, and keep them by the minute.

    *clocks* says for each tenant how far the log has come. *settle* waits for nothing.
    """
    metrics.TAKEN_IN.inc(len(samples))
    await points.add(tx, samples)
    works = _works(samples, rules)
    idle = await _timed(tx, rules, works, ticks)
    if not works and not idle:
        return Folded([], None)
    before = await _locked(tx, works, idle, clocks)
    after: list[SeriesState] = []
    transitions: list[Transition] = []
    for fingerprint, state in before.items():
        work = works.get(fingerprint)
        if work is None:
            rule = idle[fingerprint]
            now, said = series.release(state, rule, at=clocks[rule.tenant_type, state.tenant_id])
        else:
            clock = clocks[work.rule.tenant_type, work.tenant_id]
            now, said = _judged(state, work, clock, settle=settle)
        after.append(now)
        transitions.extend(said)
    await keeping.write(tx, after)
    _count(before.values(), after, transitions)
    transitions.sort(key=lambda each: each.at)
    dues = [state.due_at for state in after if state.due_at is not None]
    return Folded(transitions, min(dues, default=None))


def _works(samples: Sequence[Sample], rules: Rules) -> dict[bytes, Work]:
    works: dict[bytes, Work] = {}
    for sample in samples:
        for rule, fingerprint in rules.judging(key_of(sample)):
            work = works.get(fingerprint)
            if work is None:
                work = works[fingerprint] = Work(rule, sample.tenant_id)
            work.samples.append(sample)
    return works


def _judged(
    state: SeriesState, work: Work, clock: Instant, *, settle: bool
) -> tuple[SeriesState, list[Transition]]:
    if settle:
        return series.judge_now(state, work.samples, work.rule, now=clock)
    return series.fold(state, work.samples, work.rule, until=clock - LATENESS)


async def _timed(
    tx: Tx, rules: Rules, works: dict[bytes, Work], ticks: Iterable[Tenant]
) -> dict[bytes, Rule]:
    """Add what time may move; return series that no rule judges any more, by their last."""
    tenants = sorted({(kind, tenant_id) for kind, tenant_id in ticks if tenant_id is not None})
    with_platform = any(tenant_id is None for _, tenant_id in ticks)
    idle: dict[bytes, Rule] = {}
    if not tenants and not with_platform:
        return idle
    rows = await tx.all(
        series_store.LIST_TIMED,
        tenant_types=[kind for kind, _ in tenants],
        tenant_ids=[tenant_id for _, tenant_id in tenants],
        with_platform=with_platform,
    )
    for row in rows:
        family = (row.alert_type, row.metric, row.tenant_type)
        rule = rules.judge_of(family, row.tenant_id, row.currency)
        last = rules.by_id(row.rule_id)
        if rule is not None:
            works.setdefault(row.fingerprint, Work(rule, row.tenant_id))
        elif last is not None:
            idle[row.fingerprint] = last
    return idle


async def _locked(
    tx: Tx,
    works: dict[bytes, Work],
    idle: dict[bytes, Rule],
    clocks: dict[Tenant, Instant],
) -> dict[bytes, SeriesState]:
    """Lock every series there is work on, and begin those that there are not yet."""
    found = await keeping.lock(tx, [*works, *idle])
    missing = [
        series.fresh(
            work.rule,
            fingerprint,
            min(work.samples, key=lambda sample: sample.at),
            until=clocks[work.rule.tenant_type, work.tenant_id] - LATENESS,
        )
        for fingerprint, work in works.items()
        if fingerprint not in found and work.samples
    ]
    if missing:
        kinds = {state.fingerprint: works[state.fingerprint].rule for state in missing}
        found |= await keeping.begin(tx, missing, kinds)
    return found


def _count(
    before: Iterable[SeriesState], after: Iterable[SeriesState], transitions: Sequence[Transition]
) -> None:
    late = sum(one.late_samples for one in after) - sum(one.late_samples for one in before)
    metrics.LATE.inc(late)
    for transition in transitions:
        metrics.TRANSITIONS.labels(transition.moved).inc()
