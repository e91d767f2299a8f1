"""The statements that add votes and comments."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class RepeatedRow:
    id: UUID
    vote: str
    comment: str | None


INSERT_VOTE = Query(
    """
    /* approvals.insert_vote */
    insert into approvals.ops_approvals (
        id, ops_action_id, seq, voter_id, voter_name, voter_email, voter_roles, seat, vote,
        comment, signed_jwt, jwt_fingerprint, client_vote_id, intent_hash, view_hash, auth,
        channel, ip_address, user_agent, prev_vote_id, created_at, updated_at)
    values (
        :id, :ops_action_id, :seq, :voter_id, :voter_name, :voter_email, :voter_roles, :seat, :vote,
        :comment, :signed_jwt, :jwt_fingerprint, :client_vote_id, :intent_hash, :view_hash, :auth,
        :channel, :ip_address, :user_agent, :prev_vote_id, :created_at, :created_at)
    """,
    row=Nothing,
)

FIND_CLIENT_VOTE = Query(
    """
    /* approvals.find_client_vote */
    select id, vote, comment
      from approvals.ops_approvals
     where ops_action_id = :ops_action_id
       and voter_id = :voter_id
       and client_vote_id = :client_vote_id
    """,
    row=RepeatedRow,
)

INSERT_COMMENT = Query(
    """
    /* approvals.insert_comment */
    insert into approvals.action_comments (
        id, ops_action_id, author_id, author_name, kind, text, created_at)
    values (:id, :ops_action_id, :author_id, :author_name, :kind, :text, :created_at)
    """,
    row=Nothing,
)
