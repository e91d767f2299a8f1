"""Trying a policy before it is saved: on intents somebody makes up, and on the past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from molam.approvals.intents import facts_of, intent_of, plan_json, rehearse
from molam.approvals.model import NewAction
from molam.approvals.policy.durations import seconds_of
from molam.approvals.policy.lint import people_least
from molam.approvals.policy.quorum import roles_in, users_in
from molam.approvals.policy.rules import Rules, is_tighter, sentence
from molam.approvals.policy.selection import META_TYPES, Selection, StoredPolicy, select
from molam.approvals.policy.store import LIST_PAST_ACTIONS, PastActionRow
from molam.kernel.clock import Instant
from molam.kernel.refusals import Refusal
from molam.platform.actions import Registry
from molam.platform.db import Tx

PAST_MAX = 500
SAMPLES_MAX = 20
_EXAMPLES_MAX = 10


@dataclass(frozen=True, slots=True)
class Trial:
    """How an intent would be decided under two sets of policies; or why it could not be."""

    title: str | None
    before: Selection | None
    after: Selection | None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Backtest:
    """
    What a change would have meant for past actions.

    *fewer* and *more* count people; *other* are those whom other people would have
    decided; *looser* those under rules that are not provably as strict. Of
    *decided*, so many took longer than the new time allows: *late*.
    """

    actions: int
    fewer: int
    more: int
    other: int
    looser: int
    decided: int
    late: int
    examples: tuple[str, ...]

    @property
    def late_share(self) -> Fraction:
        return Fraction(self.late, self.decided) if self.decided else Fraction(0)


async def simulate(
    tx: Tx,
    registry: Registry,
    requests: Sequence[NewAction],
    sets: tuple[Sequence[StoredPolicy], Sequence[StoredPolicy]],
    *,
    at: Instant,
) -> list[Trial]:
    """Decide made-up requests under both *sets*; *tx* is read-only, and nothing is stored."""
    return [await _trial(tx, registry, request, sets, at=at) for request in requests[:SAMPLES_MAX]]


async def _trial(
    tx: Tx,
    registry: Registry,
    request: NewAction,
    sets: tuple[Sequence[StoredPolicy], Sequence[StoredPolicy]],
    *,
    at: Instant,
) -> Trial:
    try:
        intent = await intent_of(tx, registry, request)
        plan = plan_json(intent, await rehearse(tx, intent))
    except Refusal as refusal:
        return Trial(None, None, None, refusal)
    facts = facts_of(
        origin=request.origin,
        risk=intent.type.risk,
        intent=intent.document,
        plan=plan,
        context=intent.context,
    )
    before, after = (select(each, facts, at) for each in sets)
    return Trial(intent.type.title(intent.params, "en"), before, after)


async def backtest(
    tx: Tx,
    sets: tuple[Sequence[StoredPolicy], Sequence[StoredPolicy]],
    *,
    types: frozenset[str] | None,
    limit: int = PAST_MAX,
) -> Backtest:
    """Decide the last actions of *types* under both *sets*, each as it stood when asked for."""
    rows = await tx.all(
        LIST_PAST_ACTIONS,
        action_types=None if types is None else sorted(types - META_TYPES),
        limit=min(limit, PAST_MAX),
    )
    return backtest_of(rows, sets)


def backtest_of(
    rows: Sequence[PastActionRow], sets: tuple[Sequence[StoredPolicy], Sequence[StoredPolicy]]
) -> Backtest:
    fewer = more = other = looser = decided = late = 0
    examples: list[str] = []
    for row in rows:
        facts = past_facts(row)
        old, new = (select(_timeless(each), facts, row.created_at).rules for each in sets)
        difference = _people(new) - _people(old)
        fewer += difference < 0
        more += difference > 0
        other += difference == 0 and _who(new) != _who(old)
        looser += not is_tighter(new, old)
        if new != old and len(examples) < _EXAMPLES_MAX:
            examples.append(str(row.id))
        if row.decided_after_s is not None:
            decided += 1
            late += row.decided_after_s > seconds_of(new.timeout)
    return Backtest(len(rows), fewer, more, other, looser, decided, late, tuple(examples))


def past_facts(row: PastActionRow) -> dict[str, Any]:
    """Put together what was known of a past action when its policy was chosen."""
    tenant = {"type": row.target_tenant_type, "id": row.target_tenant_id}
    plan: dict[str, Any] = {"amount": None, "country": None, **row.plan}
    facts = facts_of(
        origin=row.origin,
        risk=row.risk_level,
        intent={"action_type": row.action_type, "tenant": tenant, "params": row.params},
        plan=plan,
        context=row.context,
    )
    return facts | {"history": row.policy_trace.get("history", {})}


def backtest_json(tried: Backtest) -> dict[str, Any]:
    return {
        "actions": tried.actions,
        "fewer": tried.fewer,
        "more": tried.more,
        "other": tried.other,
        "looser": tried.looser,
        "decided": tried.decided,
        "late": tried.late,
        "late_share": str(tried.late_share),
        "examples": list(tried.examples),
        "sentence": {
            "en": f"{tried.fewer} of {tried.actions} past actions would have needed fewer people,"
            f" {tried.more} more.",
            "fr": f"{tried.fewer} actions passées sur {tried.actions} auraient demandé moins de"
            f" personnes, {tried.more} davantage.",
        },
    }


def trial_json(trial: Trial) -> dict[str, Any]:
    if trial.refusal is not None:
        return {"error": {"code": trial.refusal.code, "detail": trial.refusal.detail}}
    assert trial.before is not None
    assert trial.after is not None
    return {
        "title": trial.title,
        "before": selection_json(trial.before),
        "after": selection_json(trial.after),
        "looser": not is_tighter(trial.after.rules, trial.before.rules),
    }


def selection_json(selection: Selection) -> dict[str, Any]:
    return {
        "policy": {"name": selection.policy.name, "version": selection.policy.version},
        "sentence": {
            "en": sentence(selection.rules, "en"),
            "fr": sentence(selection.rules, "fr"),
        },
        "auto_execute": selection.rules.auto_execute,
        "people": _people(selection.rules),
        "trace": selection.trace,
    }


def _timeless(held: Sequence[StoredPolicy]) -> list[StoredPolicy]:
    """Take policies as if they had always been: the past is tried, not retold."""
    return [each.timeless() for each in held]


def _people(rules: Rules) -> int:
    return max(people_least(each.quorum) for each in rules.demands)


def _who(rules: Rules) -> tuple[frozenset[str], frozenset[str]]:
    quorums = [each.quorum for each in rules.demands]
    return frozenset().union(*map(roles_in, quorums)), frozenset().union(*map(users_in, quorums))
