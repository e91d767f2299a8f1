"""What was asked for lately, for policies that add it up so that nobody can split a sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from molam.approvals import store
from molam.approvals.policy import durations, history_store
from molam.approvals.policy.criteria import Aggregate, aggregates
from molam.approvals.policy.selection import StoredPolicy
from molam.kernel.clock import Instant
from molam.platform.db import Tx


@dataclass(frozen=True, slots=True)
class History:
    """Sums and counts by `Aggregate.key`, this action included, and when they were read."""

    at: Instant
    sums: Mapping[str, int]


async def history_of(
    tx: Tx,
    policies: Sequence[StoredPolicy],
    facts: Mapping[str, Any],
    *,
    asked_at: Instant | None = None,
) -> History:
    """
    Read what *policies* need to know of the past to judge *facts*.

    If anything is added up, actions of the types it is added up over are created one
    after the other, so that two at the same moment cannot each overlook the other. One that stands
    already is judged by what was asked before it, at *asked_at*.
    """
    wanted = [
        each
        for each in dict.fromkeys(
            found for policy in policies for found in aggregates(policy.criteria)
        )
        if not each.action_types or facts["action_type"] in each.action_types
    ]
    if asked_at is None:
        for name in sorted({name for each in wanted for name in _types(each, facts)}):
            await tx.one(history_store.LOCK_HISTORY, action_type=name)
    now = await tx.one(store.NOW)
    assert now is not None
    return History(now.at, {each.key: await _sum(tx, each, facts, asked_at) for each in wanted})


async def _sum(
    tx: Tx, aggregate: Aggregate, facts: Mapping[str, Any], asked_at: Instant | None
) -> int:
    path = (aggregate.field or "").removeprefix("params.").split(".")
    own = _own(facts, aggregate.field)
    found = await tx.one(
        history_store.SUM_HISTORY,
        path=path,
        action_types=_types(aggregate, facts),
        window_s=float(durations.seconds_of(aggregate.window)),
        currency=own.get("currency") if isinstance(own, dict) else None,
        like=_like(aggregate.group_by, facts),
        before=asked_at,
    )
    assert found is not None
    if aggregate.function.endswith("count_over"):
        return found.count + 1
    minor = own.get("minor", 0) if isinstance(own, dict) else own
    return int(found.total) + int(minor or 0)


def _types(aggregate: Aggregate, facts: Mapping[str, Any]) -> list[str]:
    return list(aggregate.action_types) or [facts["action_type"]]


def _own(facts: Mapping[str, Any], field: str | None) -> Any:
    """Find this action's own share of a sum."""
    if field is None:
        return None
    value: Any = facts
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _like(group_by: Sequence[str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write a document that the rows of the same group contain."""
    like: dict[str, Any] = {}
    for path in group_by:
        value = _own(facts, path)
        *folders, leaf = path.split(".")
        inside = like
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[leaf] = value
    return like
