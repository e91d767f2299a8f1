"""Measurements told and taken in, and episodes that people open and end."""

from __future__ import annotations

from collections.abc import Sequence

from molam.alerts.rules import folding, keeping, messages, series, tenants
from molam.alerts.rules.book import RuleBook
from molam.alerts.rules.folding import Tenant
from molam.alerts.rules.model import (
    AlertType,
    Family,
    RuleAbsent,
    Sample,
    Severity,
    Transition,
    fingerprint,
)
from molam.alerts.rules.settling import ask_to_settle
from molam.kernel.clock import Instant, SystemClock
from molam.platform.db import Tx
from molam.platform.events import publish as append


async def publish(tx: Tx, samples: Sequence[Sample], *, now: Instant | None = None) -> None:
    """Tell what was measured, in the transaction that made it true; it is judged soon after."""
    if samples:
        await append(tx, messages.write(samples, now=now or SystemClock().now()))


async def take_in(
    tx: Tx,
    samples: Sequence[Sample],
    *,
    now: Instant,
    settle: bool = False,
    book: RuleBook | None = None,
) -> list[Transition]:
    """
    Judge *samples* in *tx*, and return what became true, in order.

    With *settle* at once; otherwise what is younger than the lateness allowed waits for
    earlier ones, or for a tick. One whose event_id has come before counts no more.

    Raises:
        MetricMalformed: one of them is not in the unit of its metric.
    """
    heard = [messages.heard(sample, clock=now) for sample in samples]
    return await apply(tx, heard, book or RuleBook(), now=now, settle=settle)


async def apply(
    tx: Tx, heard: Sequence[messages.Heard], book: RuleBook, *, now: Instant, settle: bool = False
) -> list[Transition]:
    """Take in what the log says; see `take_in`."""
    rules = await book.current(tx)
    clocks: dict[Tenant, Instant] = {}
    for each in heard:
        tenant = each.tenant_type, each.tenant_id
        clocks[tenant] = max(clocks.get(tenant, each.clock), each.clock)
    new = await folding.first_heard(tx, [each for each in heard if each.sample is not None])
    samples = [each.sample for each in new if each.sample is not None]
    for sample in samples:
        folding.check_unit(sample, rules)
    folded = await folding.take(
        tx,
        rules,
        await tenants.with_currency(tx, samples),
        clocks=clocks,
        ticks={(each.tenant_type, each.tenant_id) for each in heard if each.sample is None},
        settle=settle,
    )
    if folded.due_at is not None:
        await ask_to_settle(tx, folded.due_at, now=now)
    return folded.transitions


async def open_episode(
    tx: Tx,
    alert_type: AlertType,
    sample: Sample,
    *,
    severity: Severity,
    now: Instant,
    book: RuleBook | None = None,
) -> Transition | None:
    """
    Open an episode because somebody says so; None if one is open already.

    *sample* says of what, and its value. It ends as others do, once values clear.

    Raises:
        RuleAbsent: nothing says when such a value is an alert.
        MetricMalformed: it is of a float in a currency that its agent has none in.
    """
    rules = await (book or RuleBook()).current(tx)
    await tenants.check_floats(tx, [sample])
    (sample,) = await tenants.with_currency(tx, [sample])
    family: Family = (alert_type, sample.metric, sample.tenant_type)
    rule = rules.judge_of(family, sample.tenant_id, sample.currency)
    if rule is None:
        raise RuleAbsent(f"No rule judges {sample.metric} of this {sample.tenant_type}.")
    name = fingerprint(
        alert_type, sample.metric, sample.tenant_type, sample.tenant_id, currency=sample.currency
    )
    found = await keeping.lock(tx, [name])
    if not found:
        first = series.fresh(rule, name, sample, until=now)
        found = await keeping.begin(tx, [first], {name: rule})
    state = series.holding(found[name], sample, at=now)
    after, opened = series.begin_episode(state, rule, severity=severity, at=now)
    if opened is not None:
        await keeping.write(tx, [after])
        if after.due_at is not None:
            await ask_to_settle(tx, after.due_at, now=now)
    return opened


async def end_episode(tx: Tx, name: bytes, *, episode: int, now: Instant) -> None:
    """End *episode* because somebody says so; if the value is still bad, the next one begins."""
    found = await keeping.lock(tx, [name])
    state = found.get(name)
    if state is not None and state.episode == episode and state.opened_by is not None:
        await keeping.write(tx, [series.end_episode(state, at=now)])
