"""The statements about links, votes and evidence of risk-aware approvals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing

INSERT_TOKENS = Query(
    """
    /* risk.insert_tokens */
    insert into approvals.approvals_tokens (
        id, approval_id, token_hash, approver_id, decision, intent_hash, expires_at, created_at)
    select t.id, :approval_id, t.token_hash, t.approver_id, t.decision, :intent_hash, :expires_at,
           :created_at
      from unnest(:ids::uuid[], :hashes::text[], :approvers::text[], :decisions::text[])
           as t (id, token_hash, approver_id, decision)
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class TokenRow:
    id: UUID
    approval_id: UUID
    approver_id: str
    decision: str
    intent_hash: bytes
    used: bool
    is_over: bool
    created_at: datetime


FIND_TOKEN = Query(
    """
    /* risk.find_token */
    select id, approval_id, approver_id, decision, intent_hash, used,
           expires_at <= clock_timestamp() as is_over, created_at
      from approvals.approvals_tokens
     where token_hash = :token_hash
    """,
    row=TokenRow,
)

FIND_TOKEN_BY_ID = Query(
    """
    /* risk.find_token_by_id */
    select id, approval_id, approver_id, decision, intent_hash, used,
           expires_at <= clock_timestamp() as is_over, created_at
      from approvals.approvals_tokens
     where id = :id
    """,
    row=TokenRow,
)

LIST_TOKENS = Query(
    """
    /* risk.list_tokens */
    select id, approval_id, approver_id, decision, intent_hash, used,
           expires_at <= clock_timestamp() as is_over, created_at
      from approvals.approvals_tokens
     where approval_id = :approval_id
       and approver_id = :approver_id
     order by decision
     limit 10
    """,
    row=TokenRow,
)

SPEND_TOKEN = Query(
    """
    /* risk.spend_token */
    update approvals.approvals_tokens
       set used = true,
           used_at = clock_timestamp(),
           used_by_ip = :ip
     where id = :id
       and not used
       and expires_at > clock_timestamp()
    """,
    row=Nothing,
)

PURGE_TOKENS = Query(
    """
    /* risk.purge_tokens */
    delete from approvals.approvals_tokens
     where expires_at < clock_timestamp() - make_interval(days => :days)
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class VoteRow:
    approver_id: str
    decision: str
    comment: str | None
    voted_at: datetime


LIST_VOTES = Query(
    """
    /* risk.list_votes */
    select approver_id, decision, comment, voted_at
      from approvals.approvals_vote
     where approval_id = :approval_id
     order by voted_at, approver_id
     limit 100
    """,
    row=VoteRow,
)


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    id: UUID
    uploaded_by: str
    file_name: str
    file_size: int
    file_type: str
    storage_url: str
    checksum: str
    description: str
    created_at: datetime


LIST_EVIDENCE = Query(
    """
    /* risk.list_evidence */
    select id, uploaded_by, file_name, file_size, file_type, storage_url, checksum, description,
           created_at
      from approvals.approvals_evidence
     where approval_id = :approval_id
     order by created_at, id
     limit 100
    """,
    row=EvidenceRow,
)

INSERT_EVIDENCE = Query(
    """
    /* risk.insert_evidence */
    insert into approvals.approvals_evidence (
        id, approval_id, uploaded_by, file_name, file_size, file_type, storage_url, checksum,
        description, created_at)
    values (
        :id, :approval_id, :uploaded_by, :file_name, :file_size, :file_type, :storage_url,
        :checksum, :description, :created_at)
    on conflict (approval_id, checksum) do nothing
    """,
    row=Nothing,
)

SET_EVIDENCE = Query(
    """
    /* risk.set_evidence */
    update approvals.approvals_action
       set evidence_uploaded = true,
           updated_at = clock_timestamp()
     where id = :id
       and not evidence_uploaded
    """,
    row=Nothing,
)


# The one person with this address may decide it, so the link is made for them.
FIND_LINK_OF_READER = Query(
    """
    /* risk.find_link_of_reader */
    select t.id, t.approval_id, t.approver_id, t.decision, t.intent_hash, t.used,
           t.expires_at <= clock_timestamp() as is_over, t.created_at
      from approvals.approvals_action as a
      join approvals.approvals_tokens as t on t.approval_id = a.id
      join tenancy.people as p on p.id = t.approver_id
     where a.ops_action_id = :ops_action_id
       and a.status = 'pending'
       and p.email = :email
       and t.decision = 'approve'
       and not t.used
       and t.expires_at > clock_timestamp()
     order by t.id
     limit 2
    """,
    row=TokenRow,
)


@dataclass(frozen=True, slots=True)
class ForcedRow:
    forced: bool


IS_FORCED = Query(
    """
    /* risk.is_forced */
    select exists (
           select
             from approvals.break_glass_uses
            where ops_action_id = :ops_action_id) as forced
    """,
    row=ForcedRow,
)
