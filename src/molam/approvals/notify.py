"""Whom the engine tells of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from molam.approvals import binding, permissions
from molam.approvals.locked import LockedAction
from molam.approvals.store import ActionRow, StandingRow
from molam.notices import commands as notices
from molam.notices.model import Kind, Notice
from molam.platform.db import Tx
from molam.tenancy import queries as tenancy

_AFTER_VOTE = {
    "approved": Kind.ACTION_APPROVED,
    "scheduled": Kind.ACTION_APPROVED,
    "rejected": Kind.ACTION_REJECTED,
    "blocked": Kind.ACTION_BLOCKED,
}
_UNBLOCKERS = ["ops_admin"]
_ENDED = {
    "executed": Kind.ACTION_EXECUTED,
    "failed": Kind.ACTION_FAILED,
    "execution_unknown": Kind.EXECUTION_UNKNOWN,
    "expired": Kind.ACTION_EXPIRED,
    "cancelled": Kind.ACTION_CANCELLED,
    "superseded": Kind.ACTION_CANCELLED,
    "stale": Kind.ACTION_STALE,
}


async def action_waiting(tx: Tx, row: ActionRow, people: Sequence[str]) -> None:
    """Ask the electorate for its votes."""
    await _tell(tx, row, Kind.ACTION_WAITING, people, key="waiting")


async def action_escalated(tx: Tx, action: LockedAction, standing: StandingRow) -> None:
    """Ask those who may decide from a new level on, whoever reached it; once for each level."""
    row = action.row
    if row.level > action.found.level and action.is_open:
        people = [each.id for each in action.electors(standing)]
        await _tell(tx, row, Kind.ACTION_ESCALATED, people, key=f"level-{row.level}")


async def action_sent_back(tx: Tx, row: ActionRow, people: Sequence[str]) -> None:
    await _tell(tx, row, Kind.ACTION_SENT_BACK, people, key=f"sent-back-{row.version}")


async def after_vote(tx: Tx, before: ActionRow, after: ActionRow) -> None:
    """
    Tell whoever asked for the action that it is decided, or cannot be.

    Of one that cannot be, the operations' administrators hear as well: they may cancel
    it or see to more voters, and a program may have asked.
    """
    kind = _AFTER_VOTE.get(after.state)
    if kind is None or after.state == before.state:
        return
    people = {after.created_by}
    if kind is Kind.ACTION_BLOCKED:
        people |= {each.person_id for each in await tenancy.electors_of(tx, _UNBLOCKERS)}
    await _tell(tx, after, kind, sorted(people), key=f"{after.state}-{after.version}")
    if after.state != "blocked":
        await notices.settle(tx, str(after.id))


async def action_ended(tx: Tx, row: ActionRow) -> None:
    """
    Tell whoever asked how it ended; nobody's vote is needed any more.

    Of an unknown outcome everybody hears who may find out: a program may have asked,
    and the worker carried it out.
    """
    kind = _ENDED.get(row.state)
    if kind is None:
        return
    await notices.settle(tx, str(row.id))
    people = {row.created_by, row.executed_by or row.created_by}
    if kind is Kind.EXECUTION_UNKNOWN:
        finders = await tenancy.electors_of(tx, sorted(permissions.EXECUTE.roles))
        people |= {each.person_id for each in finders}
    await _tell(tx, row, kind, sorted(people), key=f"{row.state}-{row.version}")


async def break_glass_used(tx: Tx, row: ActionRow, people: Sequence[str], *, by: str) -> None:
    """Tell everybody."""
    await _tell(tx, row, Kind.BREAK_GLASS_USED, people, key="break-glass", by=by)


async def review_due(tx: Tx, row: ActionRow, people: Sequence[str]) -> None:
    await _tell(tx, row, Kind.REVIEW_DUE, people, key="review-due")


async def _tell(
    tx: Tx, row: ActionRow, kind: Kind, people: Sequence[str], *, key: str, by: str | None = None
) -> None:
    who = by or row.created_by
    named = await tenancy.people_of(tx, [who])
    facts: dict[str, Any] = {
        "title": row.plan["title"],
        "action_type": row.action_type,
        "target": row.plan["target_name"],
        # A program that asked has no name but its own.
        "by": named[who].name if who in named else who,
        "deadline": binding.instant_text(row.expires_at),
        "intent_hash": row.intent_hash.hex(),
    }
    if row.plan.get("amount"):
        facts["amount"] = row.plan["amount"]
    if row.state == "expired" and row.reason:
        facts["window"] = row.reason
    if row.error_message:
        facts["error"] = row.error_message
    notice = Notice(
        kind=kind,
        key=f"{row.id}/{key}",
        people=people,
        subject=str(row.id),
        link=f"/ops/actions/{row.id}",
        facts=facts,
        urgent=row.risk_level == "critical",
    )
    for each in await _by_app(tx, row, notice):
        await notices.tell(tx, each)


async def _by_app(tx: Tx, row: ActionRow, notice: Notice) -> list[Notice]:
    """Lead everybody to a page they can open: merchants' own people have no console."""
    page = row.plan.get("page")
    if page is None:
        return [notice]
    ours = await tenancy.platform_people(tx, notice.people)
    theirs = [each for each in notice.people if each not in ours]
    notices_ = []
    if ours:
        notices_.append(replace(notice, people=sorted(ours)))
    if theirs:
        key = f"{notice.key}/merchant"
        notices_.append(replace(notice, key=key, people=theirs, link=page, for_merchants=True))
    return notices_
