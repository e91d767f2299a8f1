"""Asking for payouts back from the mesh: whose votes it takes, and which a route left sent."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

from molam.approvals import commands as engine
from molam.approvals import store as action_store
from molam.approvals.drafts import Ruling
from molam.approvals.lifecycle import State
from molam.approvals.model import Actor as Voter
from molam.approvals.model import NewAction, TwinOpen, VoteRequest
from molam.approvals.policy.durations import Duration
from molam.approvals.policy.quorum import AllOf, Role
from molam.approvals.policy.rules import Rules
from molam.approvals.store import ActionRow
from molam.approvals.tightening import RULED
from molam.mesh import permissions
from molam.mesh.control.commands import ASKER, vote_and_carry_out
from molam.mesh.routing import queries as proposals
from molam.mesh.runtime import Mesh
from molam.payments.payouts.recall_actions import RECALL_PAYOUTS, RecallPayouts

_ASKED_FOR_S = 24 * 3600
_WINDOW_S = 3600


@dataclass(frozen=True, slots=True)
class Recalling:
    """Where a wish to have payouts back stands; *is_done*: banks are being asked."""

    action: ActionRow
    is_done: bool


def ruling() -> Ruling:
    """Ask one of the treasury and one of operations; neither's own policy makes that less."""
    both = AllOf(
        (
            Role(frozenset({permissions.TREASURY}), 1),
            Role(frozenset({permissions.OPS_ADMIN}), 1),
        )
    )
    rules = Rules(
        quorum=both,
        ratio=Fraction(1),
        timeout=Duration(seconds=_ASKED_FOR_S),
        auto_execute=True,
        execution_window=Duration(seconds=_WINDOW_S),
        reject_threshold=1,
        voters_may_execute=True,
    )
    return Ruling("Recall of payouts", 1, rules, {RULED: True, "votes": 2})


async def recall(mesh: Mesh, wish: RecallPayouts, voter: Voter) -> Recalling:
    """
    Record *voter*'s wish; the second person's, of the other role, has the banks asked.

    Raises:
        NothingToRecall: no bank can be asked for any of them.
        ProposalAbsent: there is no such proposal.
        NotEligible and whatever else refuses a vote.
    """
    asked = NewAction(
        origin="module",
        origin_id=wish.proposal_id,
        action_type=RECALL_PAYOUTS,
        params={
            "payout_ids": list(wish.payout_ids),
            "reason_code": wish.reason_code,
            "reason": wish.reason,
            **({} if wish.proposal_id is None else {"proposal_id": wish.proposal_id}),
        },
    )
    async with mesh.approvals.db.transaction("mesh.ask_to_recall") as tx:
        if wish.proposal_id is not None:
            await proposals.get(tx, wish.proposal_id)
        try:
            created = await engine.create_in(tx, mesh.approvals, asked, ASKER, ruling=ruling())
            action_id = created.row.id
        except TwinOpen as twin:
            # Somebody has asked for the same payouts: this is another vote for it.
            action_id = UUID(str(twin.facts["action_id"]))
    return await agree(mesh, action_id, voter, comment=wish.reason)


async def agree(
    mesh: Mesh, action_id: UUID, voter: Voter, *, comment: str | None = None
) -> Recalling:
    """
    Record *voter*'s agreement to a recall that somebody asked for.

    Raises:
        NotEligible and whatever else refuses a vote.
    """
    vote = VoteRequest(vote="approve", comment=comment)
    state = await vote_and_carry_out(mesh, action_id, voter, vote)
    async with mesh.approvals.db.transaction("mesh.read_recall", readonly=True) as tx:
        row = await tx.one(action_store.FIND_ACTION, id=action_id)
    assert row is not None
    return Recalling(row, state in {State.EXECUTED, State.VERIFIED})
