"""Who has agreed to what the mesh would do, who could still, and whether the reader may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.approvals import queries
from molam.approvals.model import Actor, Auth
from molam.approvals.runtime import Runtime
from molam.platform.web import Caller

OPEN = frozenset({"pending", "blocked"})


@dataclass(frozen=True, slots=True)
class Cast:
    name: str
    vote: str
    comment: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Ballot:
    """The approval engine's action behind a decision, as the control room shows it."""

    action_id: UUID
    state: str
    votes: tuple[Cast, ...]
    approvals: int
    missing: int
    roles: tuple[str, ...]
    could: tuple[tuple[str, ...], ...]
    """Sets of people of whom any one would decide it."""
    why_not: str | None
    """Why the reader may not approve; None: they may."""
    mine: str | None
    is_last: bool
    expires_at: datetime

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


def actor_of(caller: Caller) -> Actor:
    """Say who acts, and how they proved who they are, to the approval engine."""
    return Actor(
        id=caller.subject,
        roles=caller.roles,
        auth=Auth(acr=caller.acr, auth_time=caller.auth_time),
        channel="control room",
        ip=caller.ip,
        user_agent=caller.user_agent,
    )


async def ballot_of(
    runtime: Runtime, action_id: str | None, caller: Caller, *, locale: str
) -> Ballot | None:
    """Read what was voted; None while nobody has been asked."""
    if action_id is None:
        return None
    page = await queries.action_page(runtime, UUID(action_id), actor_of(caller), locale=locale)
    current = [each for each in page.votes if each.is_current]
    mine = next((each.vote for each in current if each.voter_id == caller.subject), None)
    return Ballot(
        action_id=page.row.id,
        state=page.row.state,
        votes=tuple(
            Cast(each.voter_name, each.vote, each.comment, each.created_at) for each in current
        ),
        approvals=page.row.votes_approve,
        missing=sum(each.count for each in page.missing),
        roles=tuple(sorted({role for each in page.missing for role in each.roles})),
        could=tuple(_named(people, page) for people in page.completions),
        why_not=page.can["approve"],
        mine=mine,
        is_last=page.is_last_vote,
        expires_at=page.row.expires_at,
    )


def _named(people: Sequence[str], page: queries.ActionPage) -> tuple[str, ...]:
    return tuple(page.names.get(each, each) for each in people)
