"""Questions about actions: lists, pages, votes, history, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from molam.approvals import attempt_store, list_store, store
from molam.approvals.abilities import abilities
from molam.approvals.lifecycle import OPEN, State
from molam.approvals.list_store import AttemptRow, CommentRow, VoteRow
from molam.approvals.locked import LockedAction, rules_of, standing_of, view_hash_of
from molam.approvals.model import ActionAbsent, Actor
from molam.approvals.policy.decision import Missing, completions
from molam.approvals.policy.rules import Rules, at_level, sentence
from molam.approvals.runtime import Runtime
from molam.approvals.store import ActionRow, StandingRow
from molam.approvals.tightening import overtaken, tighten
from molam.approvals.timing import settle
from molam.approvals.voting import admit
from molam.kernel.clock import Instant
from molam.kernel.refusals import Refusal
from molam.platform.db import Database, Tx

Tab = Literal["turn", "waiting", "mine", "escalated", "executing", "done"]

COMPLETIONS_MAX = 12


@dataclass(frozen=True, slots=True)
class Counted:
    """An action with its votes, and what they come to now."""

    row: ActionRow
    votes: list[VoteRow]
    quorum_satisfied: bool
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class ActionPage:
    """Everything one person is shown of one action, read in one transaction."""

    row: ActionRow
    rules: Rules
    """What decides it, or decided it; of an open one, stricter policies since then included."""
    votes: list[VoteRow]
    comments: list[CommentRow]
    attempts: list[AttemptRow]
    verdict: str
    missing: tuple[Missing, ...]
    completions: list[tuple[str, ...]]
    names: Mapping[str, str]
    policy_sentence: str
    can: Mapping[str, str | None]
    is_last_vote: bool
    view_hash: str
    now: Instant


async def find(db: Database, action_id: UUID) -> ActionRow:
    """
    Raises:
        ActionAbsent: there is no such action.
    """
    rows = await db.read(store.FIND_ACTION, id=action_id)
    if not rows:
        raise ActionAbsent("Check the action's id.")
    return rows[0]


async def counted(runtime: Runtime, action_id: UUID) -> Counted:
    """
    Read an action with its votes, as the next decision would find it.

    Raises:
        ActionAbsent: there is no such action.
    """
    async with runtime.db.transaction("approvals.read", readonly=True) as tx:
        action, standing = await _as_of_now(tx, runtime, action_id, reader="")
        votes = await tx.all(list_store.LIST_VOTES, ids=[action_id])
    verdict = action.decide(standing)
    satisfied = verdict.state == "approved" or action.row.decided_at is not None
    return Counted(
        action.row,
        [each for each in votes if each.is_current],
        satisfied and action.row.state != "rejected",
        verdict.missing if action.is_open else (),
    )


async def action_page(
    runtime: Runtime, action_id: UUID, viewer: Actor, *, locale: str
) -> ActionPage:
    """
    Read all that an approver needs to decide.

    Raises:
        ActionAbsent: there is no such action.
    """
    async with runtime.db.transaction("approvals.page", readonly=True) as tx:
        action, standing = await _as_of_now(tx, runtime, action_id, reader=viewer.id)
        votes = await tx.all(list_store.LIST_VOTES, ids=[action_id])
        comments = await tx.all(list_store.LIST_COMMENTS, ops_action_id=action_id)
        attempts = await tx.all(list_store.LIST_ATTEMPTS, ops_action_id=action_id)
        names = await _names(tx, action, standing, votes)
        frozen = await tx.one(attempt_store.FIND_FREEZE, action_type=action.row.action_type)
        lacking = await _lacking(tx, runtime, action)
    can = abilities(action, viewer, standing, registry=runtime.registry, frozen=frozen)
    rules = at_level(action.rules, action.row.level)
    electors, ballots = action.electors(standing), action.ballots(standing)
    verdict = action.decide(standing)
    sets = completions(rules, electors, ballots, limit=COMPLETIONS_MAX) if action.is_open else []
    # What is decided was decided by its own rules, whatever came into force since.
    ruling = action.rules if action.is_open else rules_of(action.row)
    return ActionPage(
        row=action.row,
        rules=ruling,
        votes=votes,
        comments=comments,
        attempts=attempts,
        verdict=verdict.state,
        missing=verdict.missing if action.is_open else (),
        completions=sets,
        names=names,
        policy_sentence=sentence(ruling, "fr" if locale == "fr" else "en"),
        can={**can, "approve": can["approve"] or lacking},
        is_last_vote=(standing.voter,) in sets,
        view_hash=view_hash_of(action.row, locale).hex(),
        now=standing.now,
    )


async def rules_now(runtime: Runtime, rows: Sequence[ActionRow]) -> dict[UUID, Rules]:
    """Tell of each action what decides it now, or decided it."""
    rules = {row.id: rules_of(row) for row in rows}
    still_open = [row for row in rows if State(row.state) in OPEN]
    if still_open:
        async with runtime.db.transaction("approvals.rules_now", readonly=True) as tx:
            for row in await overtaken(tx, still_open):
                action, _ = await _as_of_now(tx, runtime, row.id, reader="")
                rules[row.id] = action.rules
    return rules


async def _lacking(tx: Tx, runtime: Runtime, action: LockedAction) -> str | None:
    """Say by its code what nobody may approve without, such as evidence."""
    if action.is_open:
        try:
            await admit(tx, runtime.registry, action.row)
        except Refusal as refusal:
            return refusal.code
    return None


async def _as_of_now(
    tx: Tx, runtime: Runtime, action_id: UUID, *, reader: str
) -> tuple[LockedAction, StandingRow]:
    """Let time and stricter policies have their effect on a copy that nobody saves."""
    row = await tx.one(store.FIND_ACTION, id=action_id)
    if row is None:
        raise ActionAbsent("Check the action's id.")
    action = LockedAction(row, rules_of(row))
    standing = await standing_of(tx, action, reader)
    settle(action, standing)
    standing = await tighten(tx, runtime.book, action, standing)
    return replace(action, entries=[]), standing


async def _names(
    tx: Tx, action: LockedAction, standing: StandingRow, votes: Sequence[VoteRow]
) -> dict[str, str]:
    """Find what to call everybody on the page."""
    row = action.row
    names = {each["id"]: each["name"] for each in standing.holders}
    names.update((each.voter_id, each.voter_name) for each in votes)
    others = {row.created_by, row.executed_by or "", row.on_behalf_of or "", *row.excluded}
    found = await tx.all(list_store.LIST_NAMES, ids=sorted(others - names.keys() - {""}))
    return {**names, **{each.id: each.name for each in found}}


async def pending(
    db: Database, roles: Sequence[str], *, person: str = "", limit: int = 50, offset: int = 0
) -> list[ActionRow]:
    """List open actions that holders of *roles* decide, the nearest deadline first."""
    return await db.read(
        list_store.LIST_PENDING,
        roles=list(roles),
        person=person,
        limit=limit,
        offset=offset,
    )


async def queue(
    db: Database, tab: Tab, *, person: str, roles: Sequence[str], limit: int = 50, offset: int = 0
) -> list[ActionRow]:
    """List one tab of a person's queue: what is open by its deadline, the rest newest first."""
    page = {"limit": limit, "offset": offset}
    match tab:
        case "turn":
            [lent] = await db.read(list_store.LIST_ROLES_LENT, person=person)
            asked = sorted({*roles, *lent.roles})
            return await db.read(list_store.LIST_VOTABLE, person=person, roles=asked, **page)
        case "waiting":
            return await db.read(list_store.LIST_VOTED, person=person, **page)
        case "mine":
            return await db.read(list_store.LIST_ASKED_FOR, person=person, **page)
        case "escalated":
            return await db.read(list_store.LIST_ESCALATED, **page)
        case "executing":
            return await db.read(list_store.LIST_GRANTED, **page)
        case "done":
            return await db.read(list_store.LIST_ENDED, **page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list of actions is narrowed to; None is anything."""

    status: str | None = None
    action_type: str | None = None
    origin: str | None = None
    created_by: str | None = None
    target_type: str | None = None
    target_id: str | None = None
    since: Instant | None = None
    until: Instant | None = None


async def search(
    db: Database, filters: Filters, *, limit: int, before: tuple[Instant, UUID] | None = None
) -> list[ActionRow]:
    """List actions, newest first, from just before the one that *before* names."""
    return await db.read(
        list_store.SEARCH_ACTIONS,
        status=filters.status,
        action_type=filters.action_type,
        origin=filters.origin,
        created_by=filters.created_by,
        target_type=filters.target_type,
        target_id=filters.target_id,
        since=filters.since,
        until=filters.until,
        before_at=None if before is None else before[0],
        before_id=None if before is None else before[1],
        limit=limit,
    )


async def user_actions(
    db: Database, person: str, *, limit: int = 50, offset: int = 0
) -> list[ActionRow]:
    """List the actions somebody asked for or carried out, newest first."""
    return await db.read(list_store.LIST_USER_ACTIONS, person=person, limit=limit, offset=offset)


async def user_votes(
    db: Database, person: str, *, limit: int = 50, offset: int = 0
) -> list[VoteRow]:
    """List somebody's votes, newest first."""
    return await db.read(list_store.LIST_USER_VOTES, person=person, limit=limit, offset=offset)


async def stats(db: Database) -> list[list_store.StatsRow]:
    """Count decisions by action type; times run from creation to decision."""
    return await db.read(list_store.LIST_STATS)


async def pending_summary(db: Database) -> list[list_store.PendingSummaryRow]:
    """Count what is open by type and status."""
    return await db.read(list_store.LIST_PENDING_SUMMARY)


async def votes_of(db: Database, action_ids: Sequence[UUID]) -> list[VoteRow]:
    """List every vote ever cast on some actions, oldest first."""
    return await db.read(list_store.LIST_VOTES, ids=list(action_ids))
