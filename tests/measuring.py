"""What tests of measurements begin with: rules, samples, and the log they pass through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from molam.alerts.rules import commands, intake, series, settling
from molam.alerts.rules.model import Rule, Sample, Transition, fingerprint
from molam.alerts.rules.state import SeriesState
from molam.alerts.runtime import Watch
from molam.approvals.runtime import Runtime
from molam.kernel.clock import Clock, ManualClock
from molam.platform.db import Database, Tx
from molam.platform.events.consumer import Patience
from molam.platform.events.postgres_source import PostgresSource
from molam.platform.settings import Secret

T0 = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
KEY = Secret("a key of SIRA's for the tests alone")
AGENT = "agent-123"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def a_rule(**changed: Any) -> Rule:
    """An agent's float below a million francs, critical at half of it."""
    known: dict[str, Any] = {
        "id": "float_low",
        "alert_type": "float_low",
        "metric": "float_available",
        "comparison": "below",
        "tenant_type": "agent",
        "tenant_id": None,
        "currency": "XOF",
        "unit": "amount",
        "fire_at": Decimal(1_000_000),
        "clear_at": Decimal(1_100_000),
        "critical_at": Decimal(500_000),
        "for_s": 0,
        "keep_firing_s": 60,
        "no_data_s": None,
        "severity": "warning",
        "notify_roles": ("finance_ops",),
        "escalation": (),
        "enabled": True,
        "version": 1,
        "updated_by": "system",
        "updated_at": T0,
    }
    return Rule(**{**known, **changed})


def a_sample(value: float | Decimal, seconds: float = 0, **changed: Any) -> Sample:
    known: dict[str, Any] = {
        "metric": "float_available",
        "value": Decimal(str(value)),
        "tenant_type": "agent",
        "tenant_id": AGENT,
        "currency": "XOF",
        "at": at(seconds),
    }
    return Sample(**{**known, **changed})


def begun(rule: Rule, first: Sample) -> SeriesState:
    name = fingerprint(
        rule.alert_type, rule.metric, rule.tenant_type, first.tenant_id, currency=first.currency
    )
    return series.fresh(rule, name, first, until=first.at - timedelta(seconds=5))


def judged(
    rule: Rule, told: Sequence[tuple[float, float]], *, until: float
) -> tuple[SeriesState, list[Transition]]:
    """Judge values at seconds, all heard at once, up to *until*."""
    samples = [a_sample(value, seconds) for seconds, value in told]
    first = min(samples, key=lambda each: each.at)
    return series.fold(begun(rule, first), samples, rule, until=at(until))


def said(transitions: Sequence[Transition]) -> list[tuple[str, float]]:
    """Name what became true, and when, in seconds."""
    return [(each.moved, (each.at - T0).total_seconds()) for each in transitions]


def a_watch(clock: Clock | None = None) -> Watch:
    return Watch(cast("Runtime", None), clock or ManualClock(T0), KEY)


class Followed:
    """Stands for what lets alerts follow: writes down what became true."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []

    async def __call__(self, tx: Tx, watch: Watch, transitions: Sequence[Transition]) -> None:
        del tx, watch
        self.transitions.extend(transitions)


async def tell(db: Database, *samples: Sample, now: datetime) -> None:
    async with db.transaction("tests.tell") as tx:
        await commands.publish(tx, samples, now=now)


async def drain(db: Database, watch: Watch, follow: intake.Follow) -> int:
    """Let one worker read all that waits in the log."""
    source = PostgresSource(db, intake.consumer(watch, follow), asyncio.Event())
    await source.open()
    count, patience = 0, Patience()
    while moved := await source.step(patience):
        count += moved
    return count


async def settle(db: Database, watch: Watch, follow: intake.Follow) -> None:
    """Let the clock's round and the reader do what is due."""
    await settling.settle(db, watch.clock)
    await drain(db, watch, follow)
