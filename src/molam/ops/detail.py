"""Everything the page of one action shows, put together for one reader."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from starlette.datastructures import State

from molam.approvals import ballot_checks, queries
from molam.approvals.electorate import people_named, roles_asked
from molam.approvals.list_store import CommentRow, VoteRow
from molam.approvals.locked import rules_of
from molam.approvals.model import Actor
from molam.approvals.policy import criteria
from molam.approvals.policy.decision import Missing
from molam.approvals.policy.quorum import Stages
from molam.approvals.policy.rules import at_level
from molam.approvals.store import ActionRow
from molam.kernel.clock import Instant
from molam.kernel.digests import check_words
from molam.kernel.refusals import Refusal
from molam.kernel.shown import masked_facts
from molam.ops import policy_store, statistics_store
from molam.ops.forms import free_texts
from molam.ops.near_misses import NearMiss, near_misses
from molam.ops.policy_pages import compiled
from molam.ops.views import (
    Line,
    PlanView,
    amount_of,
    changes_of,
    differences,
    line,
    names_of,
    needed_by,
    plan_view,
)
from molam.platform.actions import Change
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.platform.web import Caller
from molam.platform.web.l10n import Formats, Language

ENTRIES_SHOWN = 200
HASTE_VOTES = 3
HASTE = timedelta(seconds=5)
HASTE_LASTS = timedelta(minutes=1)
_SEEN_LENGTH_MAX = 32_768

Hue = Literal["green", "red", "blue", "orange"]

_WITH_CAUSE = frozenset({"action.stale", "failed", "execution.failed"})

_HUES: dict[str, Hue] = {
    "approved": "green",
    "executed": "green",
    "action.verified": "green",
    "rejected": "red",
    "failed": "red",
    "expired": "red",
    "cancelled": "red",
    "action.stale": "red",
    "escalated": "orange",
    "action.blocked": "orange",
    "action.sent_back": "orange",
    "action.break_glass": "orange",
}


@dataclass(frozen=True, slots=True)
class Voted:
    name: str
    roles: tuple[str, ...]
    vote: str
    comment: str | None
    at: Instant
    counts: bool


@dataclass(frozen=True, slots=True)
class Commented:
    name: str
    kind: str
    text: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Happened:
    """One entry of the record, as the timeline shows it."""

    seq: int
    event: str
    actor: str | None
    at: datetime
    hash: str
    cause: str
    """The code of why, where the event has one."""
    hue: Hue


@dataclass(frozen=True, slots=True)
class Typed:
    """What must be typed to approve something critical."""

    how: Literal["amount", "target"]
    shown: str
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    line: Line
    plan: PlanView
    outcome: tuple[Change, ...]
    origin: str
    from_ai: bool
    context: Mapping[str, object]
    params: Mapping[str, object]
    execute_by: Instant | None
    attempts: int
    error: str | None
    cause: str
    """The code of why it went out of date; empty in any other state."""
    texts: Mapping[str, str]
    """What people wrote into the action itself, such as the reason its target is told."""
    policy_id: UUID | None
    policy_name: str
    policy_version: int
    policy_words: str
    policy_when: str
    policy_notes: tuple[str, ...]
    nearly: tuple[NearMiss, ...]
    auto_execute: bool
    missing: tuple[Missing, ...]
    completions: tuple[tuple[str, ...], ...]
    votes: tuple[Voted, ...]
    comments: tuple[Commented, ...]
    timeline: tuple[Happened, ...]
    can: Mapping[str, str | None]
    my_vote: str | None
    last_approver: bool
    typed: Typed | None
    friction: bool
    step_up_s: int | None
    is_proved: bool
    """Whether the reader has just shown a second factor, as an emergency asks of them."""
    check_words: str
    intent_hash: str
    view_hash: str
    seen: str

    @property
    def key(self) -> str:
        """
        Name what the reader was shown and may do.

        When it changes under an open page, that page's buttons no longer fit it.
        """
        standing = json.dumps([self.view_hash, self.line.state, sorted(self.can.items(), key=str)])
        return hashlib.sha256(standing.encode()).hexdigest()[:16]


async def detail_of(
    state: State, action_id: UUID, caller: Caller, *, actor: Actor, language: Language
) -> Detail:
    """
    Read one action for one reader.

    Raises:
        ActionAbsent: there is no such action.
    """
    runtime = state.runtime
    page = await queries.action_page(runtime, action_id, actor, locale=language)
    row, names = page.row, page.names
    entries = await state.db.read(
        statistics_store.ENTRIES_OF_ACTION, action_id=action_id, limit=ENTRIES_SHOWN
    )
    mine = next((each for each in page.votes if _is_mine(each, caller)), None)
    return Detail(
        line=line(row, language, asked_by=names.get(row.created_by), needed=needed_by(page.rules)),
        plan=plan_view(row.plan),
        outcome=changes_of((row.result or {}).get("changes")),
        origin=row.origin,
        from_ai=row.origin == "sira" or any(key.startswith("sira_") for key in row.context),
        context=masked_facts(row.context),
        params=masked_facts(row.params),
        execute_by=row.execution_deadline if row.state in {"approved", "scheduled"} else None,
        attempts=row.attempts,
        error=row.error_message,
        cause=row.reason or "" if row.state == "stale" else "",
        texts=free_texts(row.params),
        policy_id=row.policy_id,
        policy_name=row.policy_name,
        policy_version=row.policy_version,
        policy_words=page.policy_sentence,
        policy_when=await _when(state, row, language),
        policy_notes=_notes(row),
        nearly=await near_misses(state, row.policy_trace, language),
        auto_execute=row.auto_execute,
        missing=tuple(_named(each, names) for each in page.missing),
        completions=tuple(names_of(people, names) for people in page.completions),
        votes=tuple(map(_voted, page.votes)),
        comments=tuple(map(_commented, page.comments)),
        timeline=tuple(_happened(each, names) for each in entries),
        can=_can(page, caller),
        my_vote=None if mine is None else mine.vote,
        last_approver=page.is_last_vote,
        typed=_typed(row, language),
        friction=await _is_hasty(state.db, caller, page.now),
        step_up_s=_step_up(row, caller, page.now),
        is_proved=_is_proved(caller, page.now, max_age_s=STEP_UP_MAX_AGE_S),
        check_words=check_words(row.intent_hash),
        intent_hash=row.intent_hash.hex(),
        view_hash=page.view_hash,
        seen=_sealed(_shown(row)),
    )


def compare(seen: str, detail: Detail) -> list[Change]:
    """Say how what a form had shown differs from what is there now."""
    before, now = _opened(seen), _opened(detail.seen)
    return [] if before is None or now is None else differences(before, now)


def _shown(row: ActionRow) -> dict[str, object]:
    return {
        "changes": row.plan.get("changes", []),
        "amount": row.plan.get("amount"),
        "policy": f"{row.policy_name} {row.policy_version}",
        "deadline": row.expires_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "level": row.level,
    }


def _sealed(shown: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(shown).encode()).decode()


def _opened(seen: str) -> dict[str, Any] | None:
    """
    Read back what a form carried.

    It only ever comes back to the person who sends it, so nothing but its shape
    is checked; what is decided depends on the hash beside it.
    """
    if len(seen) > _SEEN_LENGTH_MAX:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(seen.encode()))
    except (ValueError, binascii.Error):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("changes"), list):
        return None
    whole = all(isinstance(each, dict) and "what" in each for each in found["changes"])
    return found if whole else None


def _is_mine(vote: VoteRow, caller: Caller) -> bool:
    return vote.is_current and vote.voter_id == caller.subject and vote.vote != "withdrawn"


def _voted(row: VoteRow) -> Voted:
    return Voted(
        row.voter_name,
        tuple(row.voter_roles),
        row.vote,
        row.comment,
        row.created_at,
        row.is_current and row.vote != "withdrawn",
    )


def _commented(row: CommentRow) -> Commented:
    return Commented(row.author_name, row.kind, row.text, row.created_at)


def _happened(row: statistics_store.AuditRow, names: Mapping[str, str]) -> Happened:
    actor = None if row.actor is None else names.get(row.actor, row.actor_name or row.actor)
    decision = row.snapshot.get("decision")
    return Happened(
        seq=row.seq,
        event=f"vote_{decision}" if row.action == "voted" and decision else row.action,
        actor=actor,
        at=row.created_at,
        hash=row.hash.hex(),
        cause=_code(row) if row.action in _WITH_CAUSE else "",
        hue=_HUES.get(row.action, "blue"),
    )


def _code(row: statistics_store.AuditRow) -> str:
    code = row.snapshot.get("code")
    return code if isinstance(code, str) else ""


def _named(missing: Missing, names: Mapping[str, str]) -> Missing:
    users = names_of(missing.users, names)
    # Where any role would do as well, the people need not be listed as well.
    return Missing(missing.roles, () if missing.roles else users, missing.count, missing.stage)


def _can(page: queries.ActionPage, caller: Caller) -> dict[str, str | None]:
    """Take the engine's answers, and say more of why somebody may not vote."""
    can = dict(page.can)
    for verb, code in can.items():
        if code == "not-eligible":
            can[verb] = _why_not_eligible(page.row, caller)
    return {**can, "comment": None, "retry": can.get("execute")}


def _why_not_eligible(row: ActionRow, caller: Caller) -> str:
    rules = at_level(rules_of(row), row.level)
    if caller.subject in row.excluded:
        return "excluded"
    if caller.roles.isdisjoint(roles_asked(rules)) and caller.subject not in people_named(rules):
        return "not-in-electorate"
    in_stages = any(isinstance(each.quorum, Stages) for each in rules.demands)
    return "not-your-stage" if in_stages else "role-too-new"


def _typed(row: ActionRow, language: Language) -> Typed | None:
    if row.risk_level != "critical" and not rules_of(row).typed_confirmation:
        return None
    accepted = tuple(sorted(ballot_checks.confirmations(row)))
    amount = amount_of(row.plan)
    if amount is not None:
        return Typed("amount", Formats(language).money(amount.minor, amount.currency), accepted)
    return Typed("target", row.target_tenant_id, accepted)


async def _is_hasty(db: Database, caller: Caller, now: Instant) -> bool:
    """Tell whether the reader has just approved several actions without reading them."""
    votes = await queries.user_votes(db, caller.subject, limit=HASTE_VOTES)
    return is_hasty([each.created_at for each in votes if each.vote == "approve"], now)


def is_hasty(approved_at: Sequence[Instant], now: Instant) -> bool:
    if len(approved_at) < HASTE_VOTES or now - approved_at[0] > HASTE_LASTS:
        return False
    return all(later - earlier < HASTE for later, earlier in itertools.pairwise(approved_at))


def _step_up(row: ActionRow, caller: Caller, now: Instant) -> int | None:
    """Return the age a proof of identity may have, if the reader's is too old to approve."""
    max_age_s = rules_of(row).step_up_max_age_s
    if max_age_s is None and row.plan.get("moves_money"):
        max_age_s = STEP_UP_MAX_AGE_S
    if max_age_s is None:
        return None
    return None if _is_proved(caller, now, max_age_s=max_age_s) else max_age_s


def _is_proved(caller: Caller, now: Instant, *, max_age_s: int) -> bool:
    at = caller.auth_time
    fresh = at is not None and now - at <= timedelta(seconds=max_age_s)
    return fresh and caller.acr == AAL2


async def _when(state: State, row: ActionRow, language: Language) -> str:
    """Say when the policy applies, if it still exists in the version that was pinned."""
    if row.policy_id is None:
        return ""
    found = await state.db.read(policy_store.FIND_POLICY, id=row.policy_id)
    if not found or found[0].version != row.policy_version:
        return ""
    try:
        return criteria.sentence(compiled(found[0], state.runtime.registry), language)
    except Refusal:
        return ""


def _notes(row: ActionRow) -> tuple[str, ...]:
    merged = row.policy_trace.get("merged", [])
    return tuple(
        f"+ {each['name']} ({each['version']})" for each in merged if isinstance(each, dict)
    )
