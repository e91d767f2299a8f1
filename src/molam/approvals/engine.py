"""The approval engine as other code calls it, by the specification's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from molam.approvals import commands, execution, queries, sweeps, views, voting
from molam.approvals.drafts import check_bounds, read_id
from molam.approvals.model import Actor, FieldsRefused, NewAction, VoteRequest, parsed
from molam.approvals.policy import policies
from molam.approvals.policy.book import PolicyBook
from molam.approvals.policy.wire import policy_json
from molam.approvals.runtime import Runtime
from molam.audit.queries import entries_of_action
from molam.platform.actions import Registry
from molam.platform.db import Database

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Engine:
    """
    The approval engine inside this process.

    Whoever calls it vouches for the ids it passes: there is no token to check. Roles
    are never taken from the caller; the directory says who holds which.
    """

    runtime: Runtime

    @classmethod
    def of(cls, db: Database, registry: Registry, *, worker: str = "in-process") -> Engine:
        return cls(Runtime(db, registry, PolicyBook(registry), worker))

    async def create_ops_action(self, **fields: object) -> Document:
        """
        Ask for an action. *fields* are those of the specification, ``created_by`` among them.

        Raises: as `commands.create`.
        """
        created_by = fields.pop("created_by", None)
        if not isinstance(created_by, str) or not created_by:
            raise FieldsRefused("created_by says who asks.", field="created_by")
        request = read_request(fields)
        runtime = self.runtime
        created = await commands.create(runtime, request, Actor(created_by))
        return views.action_json(created.row)

    async def vote_on_action(
        self,
        action_id: str,
        voter_id: str,
        voter_roles: Sequence[str],
        vote: str,
        comment: str | None = None,
    ) -> Document:
        """
        Vote for *voter_id*. *voter_roles* is accepted and ignored: the directory decides.

        Raises: as `voting.vote`.
        """
        del voter_roles
        request = _vote_request(vote, comment)
        runtime = self.runtime
        cast = await voting.vote(runtime, read_id(action_id), request, Actor(voter_id))
        return {
            "approval": None if cast.vote_id is None else {"id": str(cast.vote_id), "vote": vote},
            "action": await self.get_action_with_votes(action_id),
        }

    async def get_action_with_votes(self, action_id: str) -> Document:
        """
        Raises:
            ActionAbsent: there is no such action.
        """
        return views.counted_json(await queries.counted(self.runtime, read_id(action_id)))

    async def get_pending_actions(
        self, roles: Sequence[str], limit: int = 50, offset: int = 0
    ) -> list[Document]:
        """List open actions that holders of *roles* decide, with what their votes come to."""
        rows = await queries.pending(self.runtime.db, roles, limit=limit, offset=offset)
        return [views.action_json(row) for row in rows]

    async def execute_action(self, action_id: str, executor_id: str) -> Document:
        """
        Carry out an approved action; a failure is an answer, a refusal is raised.

        Raises: as `execution.execute`.
        """
        done = await execution.execute(self.runtime, read_id(action_id), Actor(executor_id))
        return views.executed_json(done)

    async def get_audit_trail(self, action_id: str) -> list[Document]:
        """List what happened to an action, oldest first, each entry with its hash."""
        entries = await entries_of_action(self.runtime.db, read_id(action_id))
        return [views.audit_json(each) for each in entries]

    async def get_user_action_history(
        self, user_id: str, limit: int = 50, offset: int = 0
    ) -> list[Document]:
        rows = await queries.user_actions(self.runtime.db, user_id, limit=limit, offset=offset)
        return [views.action_json(row) for row in rows]

    async def get_user_vote_history(
        self, user_id: str, limit: int = 50, offset: int = 0
    ) -> list[Document]:
        rows = await queries.user_votes(self.runtime.db, user_id, limit=limit, offset=offset)
        return [views.vote_json(row) for row in rows]

    async def create_approval_policy(self, **fields: object) -> Document:
        """
        Add a policy as ``created_by``; see `policies.create_policy`.

        The answer is the policy, or the action that waits for votes if it would let
        more through than before.

        Raises:
            PolicyMalformed, CriteriaMalformed, PolicyRefused, PolicyNameTaken
        """
        created_by = fields.pop("created_by", None)
        if not isinstance(created_by, str) or not created_by:
            raise FieldsRefused("created_by says who asks.", field="created_by")
        changed = await policies.create_policy(self.runtime, parsed(fields), Actor(created_by))
        if changed.policy is None:
            assert changed.action is not None
            return {"policy": None, "action": views.action_json(changed.action)}
        return policy_json(changed.policy, self.runtime.registry)

    async def list_policies(self, *, enabled_only: bool = False) -> list[Document]:
        rows = await policies.list_policies(self.runtime.db, enabled_only=enabled_only)
        return [policy_json(row, self.runtime.registry) for row in rows]

    async def get_approval_stats(self) -> list[Document]:
        return [views.plain(row) for row in await queries.stats(self.runtime.db)]

    async def get_pending_summary(self) -> list[Document]:
        return [views.plain(row) for row in await queries.pending_summary(self.runtime.db)]

    async def get_dashboard_ops_data(
        self, user_roles: Sequence[str], user_id: str = ""
    ) -> Document:
        """Gather the specification's console: ten pending actions, five votes, the figures."""
        return {
            "pending_actions": await self.get_pending_actions(user_roles, 10, 0),
            "user_votes": await self.get_user_vote_history(user_id, 5, 0),
            "stats": await self.get_approval_stats(),
        }

    async def escalate_expired_actions(self) -> Mapping[str, int]:
        """Escalate and expire what is due; return how many of each."""
        return await sweeps.escalate_expired(self.runtime)

    async def auto_execute_approved_actions(self) -> Mapping[str, int]:
        """Carry out what its policy lets run by itself; return how many went well and ill."""
        return await sweeps.auto_execute(self.runtime)

    async def run_escalation_job(self) -> Mapping[str, int]:
        return await self.escalate_expired_actions()

    async def run_auto_execute_job(self) -> Mapping[str, int]:
        return await self.auto_execute_approved_actions()


def read_request(fields: Mapping[str, object]) -> NewAction:
    """
    Read a request from what code passes.

    Raises:
        FieldsRefused: a field is unknown, missing, or not of its kind.
    """
    try:
        request = msgspec.convert(parsed(fields), NewAction)
    except msgspec.ValidationError as error:
        raise FieldsRefused(f"{error}.") from None
    check_bounds(request)
    return request


def _vote_request(vote: str, comment: str | None) -> VoteRequest:
    try:
        return msgspec.convert({"vote": vote, "comment": comment}, VoteRequest)
    except msgspec.ValidationError as error:
        raise FieldsRefused(f"{error}.") from None
