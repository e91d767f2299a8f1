"""One action under its row lock: what it becomes, and the audit entries that say so."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec

from molam.approvals import binding, lifecycle, store
from molam.approvals.electorate import ballots_of, electorate
from molam.approvals.model import ActionAbsent, Actor
from molam.approvals.policy.decision import Ballot, Elector, Verdict, decide
from molam.approvals.policy.rules import Rules, at_level, read_rules
from molam.approvals.store import ActionRow, StandingRow
from molam.audit import chain
from molam.audit.commands import append
from molam.kernel.clock import Instant
from molam.platform.db import Tx
from molam.platform.jobs import enqueue

AUTO_EXECUTE = "approvals.auto_execute_action"
TELL_END = "approvals.tell_end"
FOLLOW_ALERT = "alerts.follow_action"
"""The job by which alerting hears what became of an action that an alert led to."""
FOLLOW_RECOMMENDATION = "dashboard.follow_action"
"""The same, for the dashboard and what SIRA recommended on it."""

_IN_VAIN = frozenset(
    {
        lifecycle.State.REJECTED,
        lifecycle.State.EXPIRED,
        lifecycle.State.CANCELLED,
        lifecycle.State.SUPERSEDED,
        lifecycle.State.STALE,
        lifecycle.State.FAILED,
    }
)
_FOLLOWED = frozenset({*_IN_VAIN, lifecycle.State.EXECUTED})


class ActionFollows(msgspec.Struct, frozen=True):
    """Arguments of the jobs that an action's new state asks for, version 1."""

    action_id: str
    state: str


def ended_in_vain(row: ActionRow) -> bool:
    """Tell whether an action ended without its effect; a failure to be tried again has not."""
    return lifecycle.State(row.state) in _IN_VAIN and row.next_attempt_at is None


_PLACES = {each.name: place for place, each in enumerate(fields(ActionRow))}
_VALUES = attrgetter(*_PLACES)

_RULES_REMEMBERED_MAX = 1024
_remembered: OrderedDict[bytes, Rules] = OrderedDict()


def rules_of(row: ActionRow) -> Rules:
    """Return the rules pinned to an action, read once for each policy hash."""
    found = _remembered.get(row.policy_hash)
    if found is None:
        found = read_rules(row.policy_snapshot["rules"])
        _remembered[row.policy_hash] = found
        if len(_remembered) > _RULES_REMEMBERED_MAX:
            _remembered.popitem(last=False)
    return found


@dataclass(slots=True)
class LockedAction:
    """
    An action whose row this transaction holds.

    Nothing is written until `save`, which writes the row, its audit entries and the
    notification together.
    """

    row: ActionRow
    rules: Rules
    entries: list[chain.Entry] = field(default_factory=list)
    found: ActionRow = field(init=False)
    """The row as it was locked."""

    def __post_init__(self) -> None:
        self.found = self.row

    def change(self, **fields: Any) -> None:
        # By place, since `dataclasses.replace` takes twice as long: what one action goes
        # through changes its row two dozen times.
        values = list(_VALUES(self.row))
        for name, value in fields.items():
            values[_PLACES[name]] = value
        state, level, cast = (values[_PLACES[name]] for name in ("state", "level", "votes_cast"))
        # PostgreSQL generates it; whoever shows this row must not wait for that.
        status = lifecycle.status_of(lifecycle.State(state), level, cast)
        values[_PLACES["status"]] = status
        self.row = ActionRow(*values)

    def move(self, event: str, *, reason: str | None = None) -> None:
        """
        Take the transition *event*.

        Raises:
            TransitionRefused: the state does not allow it.
        """
        state = lifecycle.transition(lifecycle.State(self.row.state), event)
        self.change(state=state.value, reason=reason)

    def check(self, event: str) -> None:
        """
        Make sure that *event* could happen now.

        Raises:
            TransitionRefused: the state does not allow it.
        """
        lifecycle.transition(lifecycle.State(self.row.state), event)

    def record(self, event: str, actor: Actor, at: Instant, **data: object) -> None:
        """Add an entry to the action's chain."""
        row = self.row
        entry = chain.entry_of(
            chain=str(row.id),
            seq=row.chain_seq + 1,
            prev=row.chain_hash,
            ts=at,
            event=event,
            action_id=str(row.id),
            actor_kind=actor.kind,
            actor_id=actor.id,
            intent_hash=row.intent_hash.hex(),
            data={"state": row.state, **data},
        )
        self.entries.append(entry)
        self.change(chain_seq=entry.seq, chain_hash=entry.hash)

    async def save(self, tx: Tx, at: Instant) -> None:
        self.change(version=self.row.version + 1, updated_at=at)
        await tx.all(store.UPDATE_ACTION, **_mutable(self.row))
        await append(tx, self.entries)
        self.entries = []
        if self.row.state != self.found.state:
            await self._ask_for_what_follows(tx)

    async def _ask_for_what_follows(self, tx: Tx) -> None:
        """Have an approved action carried out, and the domain told of one that will not be."""
        row = self.row
        follows = ActionFollows(str(row.id), row.state)
        if row.state == lifecycle.State.APPROVED and row.auto_execute:
            await enqueue(tx, AUTO_EXECUTE, follows, once=f"{AUTO_EXECUTE}/{row.id}")
        elif row.plan.get("tells_end") and ended_in_vain(row):
            await enqueue(tx, TELL_END, follows, once=f"{TELL_END}/{row.id}/{row.state}")
        if "alert_id" in row.context and row.state in _FOLLOWED:
            await enqueue(tx, FOLLOW_ALERT, follows, once=f"{FOLLOW_ALERT}/{row.id}/{row.state}")
        if "sira_recommendation_id" in row.context and row.state in _FOLLOWED:
            once = f"{FOLLOW_RECOMMENDATION}/{row.id}/{row.state}"
            await enqueue(tx, FOLLOW_RECOMMENDATION, follows, once=once)

    @property
    def is_open(self) -> bool:
        return lifecycle.State(self.row.state) in lifecycle.OPEN

    def excluded(self, standing: StandingRow) -> frozenset[str]:
        """Return who may not vote: those named at creation, and who stands in for them now."""
        return frozenset(self.row.excluded) | frozenset(standing.excluded_too)

    def electors(self, standing: StandingRow) -> list[Elector]:
        rules = at_level(self.rules, self.row.level)
        return electorate(rules, standing, excluded=self.excluded(standing))

    def ballots(self, standing: StandingRow) -> list[Ballot]:
        return ballots_of(standing, excluded=self.excluded(standing))

    def decide(self, standing: StandingRow) -> Verdict:
        """Count the votes under the rules of the action's present level."""
        return decide(
            at_level(self.rules, self.row.level), self.electors(standing), self.ballots(standing)
        )


async def lock(tx: Tx, action_id: UUID, *also: UUID) -> list[LockedAction]:
    """
    Lock actions in the order of their ids; the first asked for comes first.

    Raises:
        ActionAbsent: there is none of an id.
    """
    rows = {row.id: row for row in await tx.all(store.LOCK_ACTIONS, ids=[action_id, *also])}
    asked = (action_id, *also)
    if any(each not in rows for each in asked):
        raise ActionAbsent("Check the action's id.")
    return [LockedAction(rows[each], rules_of(rows[each])) for each in asked]


async def standing_of(tx: Tx, action: LockedAction, voter: str) -> StandingRow:
    """Read the clock, the electorate, the votes and *voter*'s delegations, after the lock."""
    row = action.row
    standing = await tx.one(
        store.STANDING,
        voter=voter,
        roles=row.voter_roles,
        people=row.voter_ids,
        action_id=row.id,
        action_type=row.action_type,
        excluded=row.excluded,
    )
    assert standing is not None
    return standing


def view_hashes(row: ActionRow) -> set[bytes]:
    """Return what a voter may have been shown: the present view, in each language."""
    return {view_hash_of(row, locale) for locale in binding.LOCALES}


def view_hash_of(row: ActionRow, locale: str) -> bytes:
    return binding.view_hash(
        intent=row.intent_hash,
        plan=row.plan,
        policy=(row.policy_name, row.policy_version, row.policy_hash),
        expires_at=row.expires_at,
        level=row.level,
        locale=locale,
    )


_MUTABLE = (
    "id",
    "state",
    "level",
    "reason",
    "votes_approve",
    "votes_reject",
    "votes_abstain",
    "votes_cast",
    "expires_at",
    "escalates_at",
    "escalated_at",
    "decided_at",
    "not_before",
    "execution_deadline",
    "superseded_by",
    "fence",
    "lease_owner",
    "lease_until",
    "attempts",
    "next_attempt_at",
    "executed_at",
    "executed_by",
    "verify_at",
    "result",
    "reconciliation",
    "voter_roles",
    "voter_ids",
    "error_code",
    "error_message",
    "chain_seq",
    "chain_hash",
    "version",
    "updated_at",
)


def _mutable(row: ActionRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in _MUTABLE}
