"""What a transition says of an alert: its facts, its words, and what it belongs with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from molam.alerts.episodes import sentences, store
from molam.alerts.rules.messages import number
from molam.alerts.rules.model import Transition
from molam.approvals.binding import instant_text
from molam.kernel.clock import Instant
from molam.platform.db import Tx

_KEY_MAX = 400
_TITLE_MAX = 200
_OF_A_FINDING = (
    "finding",
    "observed",
    "expected",
    "score",
    "hours",
    "trials",
    "window_s",
    "parts",
)

Tenant = tuple[str, str | None]


async def names_of(tx: Tx, transitions: Sequence[Transition]) -> dict[Tenant, str]:
    """Read what the tenants are called, in one statement."""
    asked = {
        kind: sorted({each.tenant_id or "" for each in transitions if each.tenant_type == kind})
        for kind in ("agent", "merchant", "bank")
    }
    if not any(asked.values()):
        return {}
    rows = await tx.all(
        store.LIST_NAMES,
        agents=asked["agent"],
        merchants=asked["merchant"],
        banks=asked["bank"],
    )
    return {(row.kind, row.id): row.name for row in rows}


def metric_of(transition: Transition) -> dict[str, Any]:
    """Write what was measured; the threshold is the rule's, and what the source said is context."""
    previous = transition.previous_value
    return {
        "metric": transition.metric,
        "value": number(transition.value),
        "threshold": number(transition.rule.fire_at),
        "previous_value": None if previous is None else number(previous),
        "context": dict(transition.context),
    }


def facts_of(
    transition: Transition, name: str | None, *, since: str | None = None
) -> dict[str, Any]:
    rule = transition.rule
    return {
        "name": name or transition.tenant_id,
        "value": number(transition.value),
        "fire_at": number(rule.fire_at),
        "clear_at": number(rule.clear_at),
        "critical_at": None if rule.critical_at is None else number(rule.critical_at),
        "comparison": rule.comparison,
        "unit": rule.unit,
        "currency": transition.currency,
        "since": since or instant_text(transition.at),
        "cause": transition.cause,
        **_unusual(transition),
    }


def _unusual(transition: Transition) -> dict[str, Any]:
    """Take what says how an hour is out of the ordinary, where that is what was measured."""
    if not transition.metric.endswith(".unusual"):
        return {}
    return {"unusual": {key: transition.context.get(key) for key in _OF_A_FINDING}}


def words_of(
    transition: Transition, facts: Mapping[str, object], *, now: Instant
) -> tuple[str, str]:
    """Return title and description, in English, as the API shows them."""
    title = sentences.subject(transition.alert_type, facts, "en")[:_TITLE_MAX]
    return title, sentences.sentence(transition.alert_type, facts, "en", now=now)


def group_key_of(transition: Transition) -> str:
    """Name what is told together: one kind of trouble of one kind of tenant, by bank and region."""
    key = f"{transition.alert_type}/{transition.tenant_type}"
    if transition.tenant_type in {"bank", "region"}:
        key += f"/{transition.tenant_id}"
    region = transition.context.get("region")
    if isinstance(region, str) and region:
        key += f"/{region[:64]}"
    return key[:_KEY_MAX]


def chain_of(transition: Transition) -> list[dict[str, Any]]:
    chain: list[dict[str, Any]] = msgspec.to_builtins(transition.rule.escalation)
    return chain
