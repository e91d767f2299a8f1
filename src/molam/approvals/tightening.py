"""Policies that became stricter since an action was asked for hold for it too."""

from __future__ import annotations

from collections.abc import Sequence

from molam.approvals import binding
from molam.approvals.electorate import electorate, people_named, pinned, roles_asked
from molam.approvals.intents import facts_of
from molam.approvals.locked import LockedAction, standing_of
from molam.approvals.policy.book import PolicyBook
from molam.approvals.policy.rules import Rules, at_level, levels, strictest
from molam.approvals.policy.store import LATEST_CHANGE
from molam.approvals.store import ActionRow, StandingRow
from molam.platform.db import Tx

RULED = "ruled"
"""In the trace of an action whose rules no stored policy gave."""


async def tighten(
    tx: Tx, book: PolicyBook, action: LockedAction, standing: StandingRow
) -> StandingRow:
    """
    Make a locked action's rules the stricter of those pinned and those in force.

    A loosened policy changes nothing. What is returned replaces *standing*, because
    a stricter policy may ask for people that nobody has looked up yet.
    """
    row = action.row
    if row.policy_trace.get(RULED) or _is_unchanged(row, standing):
        return standing
    selection = await book.select(tx, _facts(row), asked_at=row.created_at)
    barred = frozenset(row.excluded) | frozenset(standing.excluded_too)
    joined = strictest(action.rules, _pinned(selection.rules, standing, barred))
    asked = roles_asked(joined) | roles_asked(at_level(joined, len(levels(joined))))
    if not (asked <= set(row.voter_roles) and people_named(joined) <= set(row.voter_ids)):
        action.change(
            voter_roles=sorted(asked | set(row.voter_roles)),
            voter_ids=sorted(people_named(joined) | set(row.voter_ids)),
        )
        standing = await standing_of(tx, action, standing.voter)
        joined = strictest(action.rules, _pinned(selection.rules, standing, barred))
    action.rules = joined
    return standing


async def overtaken(tx: Tx, rows: Sequence[ActionRow]) -> list[ActionRow]:
    """Pick the actions that were asked for before the latest change of a policy."""
    found = await tx.one(LATEST_CHANGE)
    assert found is not None
    at = None if found.at is None else binding.instant_text(found.at)
    return [row for row in rows if row.policy_trace.get("policies_changed_at") != at]


def _is_unchanged(row: ActionRow, standing: StandingRow) -> bool:
    changed = standing.policies_changed_at
    text = None if changed is None else binding.instant_text(changed)
    return bool(row.policy_trace.get("policies_changed_at") == text)


def _pinned(rules: Rules, standing: StandingRow, barred: frozenset[str]) -> Rules:
    electors = electorate(rules, standing, excluded=barred)
    return pinned(rules, electors)


def _facts(row: ActionRow) -> dict[str, object]:
    return facts_of(
        origin=row.origin,
        risk=row.risk_level,
        intent=intent_document(row),
        plan=row.plan,
        context=row.context,
    )


def intent_document(row: ActionRow) -> dict[str, object]:
    """Write the intent anew from what is stored; its hash must be the stored one."""
    return binding.intent_of(
        action_type=row.action_type,
        schema=row.schema,
        params=row.params,
        target=(row.target_tenant_type, row.target_tenant_id),
    )
